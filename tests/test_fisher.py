import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lifelong import per_example
from lifelong.errors import MethodError
from lifelong.fisher import Labels, check_labels, diagonal_fisher
from lifelong.learner import Learner
from lifelong.models import MLP, ConvNet
from lifelong.tasks import Task
from toys import FEATURES, blobs, same, weights


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learned(model: nn.Module, task: Task) -> Learner:
    learner = Learner(model, scenario="task", epochs=2)
    learner.learn(task)
    return learner


def log_likelihood_gradients(learner: Learner, x: Tensor, label: int) -> Tensor:
    """The gradient (P,) of log p(label | x), for one example x (1, ...)."""
    log_p = learner.network(x, 0).log_softmax(1)[0, label]
    return learner.theta.flatten(torch.autograd.grad(log_p, learner.theta.parameters))


def by_hand(learner: Learner, task: Task, labels: Labels) -> Tensor:
    learner.network.eval()
    total = torch.zeros(learner.theta.layout.size)
    for x, y in zip(torch.split(task.train.take(torch.arange(len(task.train))), 1), task.train.y.tolist(), strict=True):
        if labels == "true":
            total += log_likelihood_gradients(learner, x, y) ** 2
        else:
            for label, p in enumerate(learner.network(x, 0).softmax(1)[0].tolist()):
                total += p * log_likelihood_gradients(learner, x, label) ** 2
    return total / len(task.train)


def test_exact_is_the_closed_form_for_softmax_regression() -> None:
    """For logits W x + b the Fisher of W[c, j] is E[x_j^2 p_c (1 - p_c)], and of b[c] E[p_c (1 - p_c)]."""
    task = blobs(size=90)
    learner = learned(nn.Identity(), task)
    got = diagonal_fisher(learner, task, "exact", None, seeded())
    x = task.train.x
    p = learner.network(x, 0).softmax(1).detach()
    variance = p * (1 - p)
    expected = torch.cat([(variance.T @ x**2).flatten(), variance.sum(0)]) / len(x)
    assert list(learner.theta.layout.shapes) == ["heads.layers.0.weight", "heads.layers.0.bias"]
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("labels", ["exact", "true"])
def test_equals_a_loop_over_examples_and_labels(labels: Labels) -> None:
    task = blobs(size=20)
    learner = learned(MLP(FEATURES, [5, 4]), task)
    assert torch.allclose(diagonal_fisher(learner, task, labels, None, seeded()), by_hand(learner, task, labels), rtol=1e-4, atol=1e-8)


def test_true_labels_of_softmax_regression() -> None:
    task = blobs(size=30)
    learner = learned(nn.Identity(), task)
    delta = functional.one_hot(task.train.y, 3) - learner.network(task.train.x, 0).softmax(1).detach()
    expected = torch.cat([(delta.square().T @ task.train.x.square()).flatten(), delta.square().sum(0)]) / 30
    assert torch.allclose(diagonal_fisher(learner, task, "true", None, seeded()), expected, rtol=1e-4, atol=1e-8)


def test_it_is_not_the_square_of_the_mean_gradient() -> None:
    task = blobs(size=40)
    learner = learned(MLP(FEATURES, [5]), task)
    mean = torch.stack([log_likelihood_gradients(learner, task.train.x[n : n + 1], int(task.train.y[n])) for n in range(40)]).mean(0)
    got = diagonal_fisher(learner, task, "true", None, seeded())
    assert (got >= mean**2 * (1 - 1e-3) - 1e-9).all(), "the mean of squares is never below the square of the mean"
    assert got.sum() > 3 * (mean**2).sum()


def test_sampled_labels_converge_to_the_expectation() -> None:
    """400 draws of all labels: each entry of the mean lies within 6 standard errors of the exact Fisher."""
    task = blobs(size=30)
    learner = learned(nn.Identity(), task)
    generator = seeded()
    draws = torch.stack([diagonal_fisher(learner, task, "sampled", None, generator) for _ in range(400)])
    exact = diagonal_fisher(learner, task, "exact", None, seeded())
    assert (draws[0] != exact).any()
    error = draws.std(0) / 400**0.5
    assert ((draws.mean(0) - exact).abs() <= 6 * error + 1e-7).all()


def test_sampled_labels_are_drawn_from_the_seed() -> None:
    task = blobs(size=30)
    learner = learned(MLP(FEATURES, [5]), task)
    first, again, other = (diagonal_fisher(learner, task, "sampled", 20, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_sampled_labels_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    task = blobs(size=30)
    learner = learned(MLP(FEATURES, [5]), task)
    whole = diagonal_fisher(learner, task, "sampled", None, seeded())
    for module in ("lifelong.per_example.CHUNK", "lifelong.fisher.CHUNK"):
        monkeypatch.setattr(module, 7)
    assert torch.allclose(diagonal_fisher(learner, task, "sampled", None, seeded()), whole, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("examples", [1, 7, 20, 1000])
def test_examples_are_drawn_without_replacement(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task = blobs(size=20)
    learner = learned(MLP(FEATURES, [5]), task)
    seen: list[Tensor] = []
    original = per_example.sum_of_gradients

    def spy(network: nn.Module, theta: object, scores: object, given: tuple[Tensor, Tensor]) -> Tensor:
        seen.append(given[0])
        return original(network, learner.theta, scores, given)  # type: ignore[arg-type]

    monkeypatch.setattr("lifelong.fisher.sum_of_gradients", spy)
    diagonal_fisher(learner, task, "exact", examples, seeded())
    rows = {tuple(row) for row in seen[0].tolist()}
    assert len(rows) == len(seen[0]) == min(examples, 20)
    assert rows <= {tuple(row) for row in task.train.x.tolist()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("labels", ["exact", "sampled", "true"])
def test_mode_and_statistics_of_the_network_stay(labels: Labels, training: bool) -> None:
    task = Task("images", (torch.rand(8, 1, 8, 8), [0, 1] * 4))
    learner = learned(nn.Sequential(ConvNet(1, [2, 3]), nn.Dropout(0.5)), task)
    learner.network.train(training)
    learner.network.get_submodule("features.0").eval()
    modes = [module.training for module in learner.network.modules()]
    before, random = weights(learner.network), torch.get_rng_state()
    first = diagonal_fisher(learner, task, labels, None, seeded())
    assert torch.equal(first, diagonal_fisher(learner, task, labels, None, seeded())), "dropout is off"
    assert [module.training for module in learner.network.modules()] == modes
    assert same(weights(learner.network), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in learner.network.parameters())


def test_a_model_that_is_certain_has_a_finite_fisher() -> None:
    task = blobs(size=12)
    learner = learned(nn.Identity(), task)
    with torch.no_grad():
        learner.theta.value.mul_(1e4)
    for labels in ("exact", "sampled", "true"):
        assert diagonal_fisher(learner, task, labels, None, seeded()).isfinite().all()


def test_wrong_labels_and_numbers() -> None:
    with pytest.raises(MethodError) as caught:
        check_labels("EWC", "model", None)
    assert str(caught.value) == "EWC: labels is 'model'; expected 'exact', 'sampled' or 'true'"
    with pytest.raises(MethodError) as caught:
        check_labels("EWC", "exact", 0)
    assert str(caught.value) == "EWC: examples is 0; expected an integer >= 1, or None for all of the task's"
