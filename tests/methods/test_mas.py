from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lifelong import per_example
from lifelong.errors import Interrupted, MethodError, ScenarioError, TaskError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, MAS
from lifelong.models import MLP, ConvNet
from lifelong.quadratic import Step
from lifelong.tasks import Batch, Scenario, Task
from lifelong.testing.comparing import bits, differing, learned
from lifelong.testing.data import image_tasks, vector_tasks
from toys import FEATURES, AfterStep, blobs, same, sgd, weights


def mas_of(learner: Learner) -> MAS:
    return next(method for method in learner.methods if isinstance(method, MAS))


def by_hand(learner: Learner, x: Tensor, head: int = 0) -> dict[str, Tensor]:
    """The mean of |d ||F(x)||^2 / d theta| by name, one backward pass an example, in evaluation mode."""
    learner.network.eval()
    named = learner.trained()
    total = {name: torch.zeros_like(p) for name, p in named.items()}
    for n in range(len(x)):
        value = (learner.network(x[n : n + 1], head) ** 2).sum()
        gradients = torch.autograd.grad(value, list(named.values()), allow_unused=True)
        for name, gradient in zip(named, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.abs()
    return {name: value / len(x) for name, value in total.items()}


def importance(learner: Learner) -> dict[str, Tensor]:
    return {name: part.clone() for name, part in learner.theta.layout.split(mas_of(learner).importance).items()}


def assert_close(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, value in got.items():
        assert torch.allclose(value, expected[name], rtol=1e-4, atol=1e-7), name


# Importance


@pytest.mark.parametrize("network", ["mlp", "convnet"])
@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_equals_a_loop_over_examples(scenario: Scenario, network: str) -> None:
    """And is summed over tasks; what grew started at 0. The convolutional network's batch norm is in evaluation mode."""
    model: nn.Module = MLP(64, [6, 5]) if network == "mlp" else ConvNet(1, [2, 3])
    learner = Learner(nn.Sequential(model, nn.Dropout(0.3)), [MAS(examples=None)], scenario, batch_size=12)
    total: dict[str, Tensor] = {}
    for t, task in enumerate(image_tasks(3, scenario, size=24)):
        learner.learn(task, evaluate=False)
        expected = by_hand(learner, task.train.x, t if scenario == "task" else 0)
        for name, old in total.items():
            if name in expected:
                expected[name][tuple(map(slice, old.shape))] += old
        got = importance(learner)
        assert_close(got, expected)
        assert torch.equal(mas_of(learner).center, learner.theta.value)
        total = got


def test_it_is_not_the_absolute_gradient_of_the_batch() -> None:
    """The authors' code takes that; examples' gradients cancel in it."""
    task = blobs(size=40)
    learner = Learner(MLP(FEATURES, [5]), [MAS(examples=None)], "domain")
    learner.learn(task)
    summed = (learner.network(task.train.x, 0) ** 2).sum() / 40
    batch = learner.theta.flatten(torch.autograd.grad(summed, learner.theta.parameters)).abs()
    got = mas_of(learner).importance
    assert (got >= batch * (1 - 1e-4) - 1e-6).all()
    assert got.sum() > 1.1 * batch.sum()


@pytest.mark.parametrize("examples", [1, 7, 1000])
def test_examples_are_drawn_without_replacement(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    original = per_example.sum_of_gradients

    def spy(*arguments: Any) -> Tensor:
        seen.append(arguments[3][0])
        return original(*arguments)

    monkeypatch.setattr("lifelong.methods.mas.sum_of_gradients", spy)
    task = blobs(size=20)
    Learner(MLP(FEATURES, [5]), [MAS(examples=examples)]).learn(task)
    rows = {tuple(row) for row in seen[0].tolist()}
    assert len(rows) == len(seen[0]) == min(examples, 20)
    assert rows <= {tuple(row) for row in task.train.x.tolist()}


# Without labels


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_consolidate_adds_what_the_tasks_end_would(scenario: Scenario) -> None:
    """Called with the task's inputs, without its labels."""
    tasks = image_tasks(2, scenario)
    by_task = Learner(MLP(64, [6]), [MAS(examples=None)], scenario)
    by_inputs = Learner(MLP(64, [6]), [MAS(examples=0)], scenario)
    for task in tasks:
        by_task.learn(task)
        before = importance(by_inputs) if by_inputs.tasks else {}
        by_inputs.learn(task)
        after = importance(by_inputs)
        assert all(after[name].sum() == value.sum() for name, value in before.items() if name in after), "a task's end adds nothing"
        by_inputs.consolidate(task.train.x.numpy(), task.name)
        assert_close(importance(by_inputs), importance(by_task))
        assert torch.equal(mas_of(by_inputs).center, by_inputs.theta.value)


def test_consolidating_twice_counts_twice() -> None:
    task = blobs()
    learner = Learner(MLP(FEATURES, [5]), [MAS(examples=0)])
    learner.learn(task)
    for times in (1, 2):
        learner.consolidate(task.train.x)
        assert_close(importance(learner), {name: times * value for name, value in by_hand(learner, task.train.x).items()})


def test_consolidate_of_an_earlier_task_in_the_task_scenario() -> None:
    """Its head is not in theta: what it is for, the features, is protected."""
    tasks = image_tasks(2, "task")
    learner = learned(Learner(MLP(64, [6]), [MAS(examples=0)], "task"), tasks)
    learner.consolidate(tasks[0].train.x, "task 0")
    got = importance(learner)
    assert_close(got, by_hand(learner, tasks[0].train.x, head=0))
    assert got["features.layers.0.weight"].any()
    assert not got["heads.layers.1.weight"].any()


def test_consolidate_leaves_the_network_and_random_numbers_alone() -> None:
    tasks = image_tasks(1, "domain")
    learner = learned(Learner(nn.Sequential(ConvNet(1, [2, 3]), nn.Dropout(0.5)), [MAS(examples=0)], "domain"), tasks)
    before, modes, random = bits(learner), [module.training for module in learner.network.modules()], torch.get_rng_state()
    learner.consolidate(tasks[0].train.x)
    assert differing(before, bits(learner)) == ["method 0/importance"]
    assert [module.training for module in learner.network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in learner.network.parameters())


@pytest.mark.parametrize("step", ["implicit", "additive"])
def test_inputs_without_labels_protect(step: Step) -> None:
    tasks = vector_tasks(2, 0, size=200)

    def kept(*methods: Method, consolidate: bool = False) -> list[float]:
        learner = Learner(MLP(12, [32]), methods, "domain", epochs=10)
        learner.learn(tasks[0])
        if consolidate:
            learner.consolidate(tasks[0].train.x)
        learner.learn(tasks[1])
        return [float(value) for value in learner.evaluate(tasks).values[2]]

    lost = kept(MAS(examples=0, strength=0.1, step=step))
    protected = kept(MAS(examples=0, strength=0.1, step=step), consolidate=True)
    assert lost == kept()
    assert protected[0] > lost[0] + 0.1
    assert protected[1] > 0.9


def test_it_is_saved_and_goes_on(tmp_path: Path) -> None:
    *tasks, last = image_tasks(3, "class")
    learner = learned(Learner(MLP(64, [6]), [MAS(examples=5)]), tasks)
    learner.consolidate(tasks[0].train.x)
    learner.save(tmp_path)
    opened = Learner.open(tmp_path)
    for each in (learner, opened):
        each.consolidate(tasks[1].train.x)
        each.learn(last)
    assert differing(bits(learner), bits(opened)) == []


@pytest.mark.parametrize("step", ["implicit", "additive"])
def test_strength_0_is_fine_tuning_bit_for_bit(step: Step) -> None:
    def trained(*methods: Method) -> dict[str, Tensor]:
        learner = Learner(MLP(FEATURES, [8]), methods, optimizer=sgd(0.1, momentum=0.9, weight_decay=0.1))
        for t in range(3):
            learner.learn(blobs(str(t), seed=t, classes=[2 * t, 2 * t + 1]))
            if methods:
                learner.consolidate(torch.ones(2, FEATURES))
        return weights(learner.network)

    assert same(trained(MAS(strength=0, step=step)), trained())
    assert not same(trained(MAS(strength=0.1, step=step)), trained())


# Errors

X = torch.zeros(4, FEATURES)


def test_nothing_was_learned_yet() -> None:
    with pytest.raises(TaskError) as caught:
        Learner(MLP(FEATURES, [5]), [MAS()]).consolidate(X)
    assert str(caught.value) == "consolidate protects what was learned: call it between tasks, after learn(task)"


def test_a_task_is_in_progress() -> None:
    learner = Learner(MLP(FEATURES, [5]), [MAS(), AfterStep(stop)], "domain")
    learner.learn(blobs("first"), steps=1)
    with pytest.raises(Interrupted):
        learner.learn(blobs("second", seed=1))
    with pytest.raises(TaskError) as caught:
        learner.consolidate(X)
    assert str(caught.value) == (
        "consolidate protects what was learned: call it between tasks, after learn(task); task 'second' is in progress"
    )


def stop(learner: Learner) -> None:
    """Ctrl-C in the second task."""
    if learner.tasks:
        import signal

        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("methods", "said"), [([], "none"), ([EWC(examples=1)], "EWC")])
def test_no_method_can_use_them(methods: list[Method], said: str) -> None:
    learner = Learner(MLP(FEATURES, [5]), methods)
    learner.learn(blobs())
    with pytest.raises(MethodError) as caught:
        learner.consolidate(X)
    assert str(caught.value) == (
        f"consolidate needs a method that learns from inputs without labels, as MAS; this learner's methods: {said}"
    )


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (X[:0], "consolidate was given no inputs; expected at least one, shape (N, ...)"),
        (X + torch.nan, "consolidate: NaN or infinite inputs, first in example 0; clean the data or drop those examples"),
        (X[:, 1:], "MLP can't take inputs of shape ('N', 5) and torch.float32: mat1 and mat2 shapes"),
        (torch.tensor(1.0), "consolidate: the inputs are a single number; expected shape (N, ...)"),
    ],
)
def test_inputs_that_say_nothing(x: Tensor, text: str) -> None:
    learner = Learner(MLP(FEATURES, [5]), [MAS()])
    learner.learn(blobs())
    before = bits(learner)
    with pytest.raises(TaskError) as caught:
        learner.consolidate(x)
    assert str(caught.value).startswith(text)
    assert differing(before, bits(learner)) == []


def test_the_task_must_be_said_in_the_task_scenario() -> None:
    learner = Learner(MLP(FEATURES, [5]), [MAS()], "task")
    learner.learn(blobs("first"))
    with pytest.raises(ScenarioError, match="in the scenario 'task' the task must be said: .*Known: first"):
        learner.consolidate(X)
    with pytest.raises(ScenarioError, match="no task 'frist' was learned; did you mean 'first'"):
        learner.consolidate(X, "frist")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"examples": -1}, "MAS: examples is -1; expected an integer >= 0, or None for all of the task's"),
        ({"examples": 0.5}, "MAS: examples is 0.5; expected an integer >= 0, or None for all of the task's"),
        ({"strength": float("nan")}, "MAS: strength is nan; expected a finite number >= 0, where 0 switches the method off"),
        ({"step": "explicit"}, "MAS: step is 'explicit'; expected 'implicit' or 'additive'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(MethodError) as caught:
        MAS(**arguments)
    assert str(caught.value) == text


def test_an_own_method_can_use_inputs_without_labels() -> None:
    """Every method that overrides the moment is called, in order, with the inputs on the learner's device."""
    calls: list[tuple[tuple[int, ...], str | None]] = []

    class Listening(Method):
        def consolidate(self, learner: Learner, x: Tensor, task: str | None) -> None:
            calls.append((tuple(x.shape), task))

    class Batches(Method):
        def mix(self, learner: Learner, batch: Batch) -> Batch:
            return batch

    learner = Learner(MLP(FEATURES, [5]), [Batches(), Listening()])
    learner.learn(Task("t", (X, [0, 1, 0, 1])))
    learner.consolidate(X.double(), "t")
    assert calls == [((4, FEATURES), "t")]
