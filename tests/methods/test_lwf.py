import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import LwF
from lifelong.models import MLP, ConvNet
from lifelong.models.heads import Network
from lifelong.tasks import Batch, Name, Scenario, Task
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned
from lifelong.testing.data import image_tasks, vector_tasks
from toys import FEATURES, AfterStep, Moment, blobs, same, sgd, weights


class BeginTask(Moment):
    def begin_task(self, learner: Learner, task: Task) -> None:
        self.action(learner)


class AfterWarmUp(BeginTask):
    """To stand after LwF in the list."""


class SeesLoss(Method):
    """Calls a function with the batch and the loss as the methods before it left it."""

    def __init__(self, action: Callable[[Learner, Batch, Tensor], object]) -> None:
        super().__init__()
        self.action = action

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self.action(learner, batch, loss)
        return loss


def lwf_of(learner: Learner) -> LwF:
    return next(method for method in learner.methods if isinstance(method, LwF))


def names_of(scenario: Scenario, t: int) -> list[Name]:
    """Two classes in task 0, three in task 1, two in task 2; the same in every task in the scenario "domain"."""
    return ["a", "b", "c"] if scenario == "domain" else [f"{t}{c}" for c in range(2 + t % 2)]


# The loss


def smooth() -> nn.Module:
    """A network in float64 without kinks, for finite differences."""
    model = nn.Sequential(nn.Linear(FEATURES, 3), nn.Tanh()).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def by_hand(network: Network, teacher: Network, batch: Batch, scenario: Scenario, tasks: int) -> Tensor:
    """Cross-entropy of the batch, plus 0.7 times -sum y' log yhat' for each old head, T = 2, with y' = y^(1/T) / sum y^(1/T)."""

    def tempered(logits: Tensor) -> Tensor:
        roots = logits.softmax(1) ** (1 / 2.0)
        return roots / roots.sum(1, keepdim=True)

    assert isinstance(batch.head, int)
    total = cross_entropy(network(batch.x, batch.head), batch.y)
    if scenario == "task":
        old = [(teacher(batch.x, head), network(batch.x, head)) for head in range(tasks)]
    else:
        count = 3 if scenario == "domain" else sum(len(names_of(scenario, t)) for t in range(tasks))
        old = [(teacher(batch.x)[:, :count], network(batch.x)[:, :count])]
    for before, after in old:
        total = total + 0.7 * -(tempered(before) * tempered(after).log()).sum(1).mean()
    return total


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_the_loss_and_its_gradient_are_the_formulas(scenario: Scenario) -> None:
    """The value, and the gradient by finite differences, in the third task when the network has left its teacher."""
    teachers: list[Network] = []
    checked: list[int] = []

    def check(learner: Learner, batch: Batch, loss: Tensor) -> None:
        if len(learner.tasks) < 2 or learner._run is None or learner._run.position.step != 3:
            return
        with torch.no_grad():
            expected = by_hand(learner.network, teachers[-1], batch, scenario, 2)
            assert torch.allclose(loss, expected, rtol=1e-12, atol=0)
            unmoved = by_hand(teachers[-1], teachers[-1], batch, scenario, 2)
            assert abs(float(expected - unmoved)) > 1e-3
        gradients = torch.autograd.grad(loss, learner.theta.parameters, retain_graph=True, allow_unused=True)
        gradient = learner.theta.flatten(gradients)
        theta = learner.theta.value.clone()
        with torch.no_grad():
            for i in range(len(theta)):
                values = []
                for nudge in (1e-5, -1e-5):
                    network = copy.deepcopy(learner.network)
                    moved = theta.clone()
                    moved[i] += nudge
                    for name, part in learner.theta.layout.split(moved).items():
                        network.get_parameter(name).copy_(part)
                    values.append(float(by_hand(network, teachers[-1], batch, scenario, 2)))
                checked.append(i)
                assert float(gradient[i]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-8)

    spies = BeginTask(lambda learner: teachers.append(copy.deepcopy(learner.network).eval())), SeesLoss(check)
    learner = Learner(smooth(), [spies[0], LwF(strength=0.7), spies[1]], scenario, batch_size=10)
    for t in range(3):
        task = blobs(str(t), seed=t, classes=names_of(scenario, t), transform=torch.Tensor.double)
        learner.learn(task, evaluate=False)
    assert checked == list(range(learner.theta.layout.size))


def test_the_teacher_is_asked_in_evaluation_mode_and_stays_as_it_was() -> None:
    """Its answers are those that the network gave before the task; dropout and batch norm train in the network only."""
    tasks = image_tasks(2, "class")
    before: list[Network] = []

    def check(learner: Learner) -> None:
        if not learner.tasks:
            return
        teacher = lwf_of(learner).teacher.network(learner.network)
        assert not any(module.training for module in teacher.modules())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        assert same(weights(teacher), weights(before[-1]))
        assert torch.equal(teacher(tasks[0].train.x), before[-1](tasks[0].train.x))
        assert learner.network.training
        assert not same(weights(learner.network), weights(teacher))

    model = nn.Sequential(ConvNet(1, [2, 3]), nn.Dropout(0.5))
    start = BeginTask(lambda learner: before.append(copy.deepcopy(learner.network).eval()))
    learned(Learner(model, [start, LwF(), AfterStep(check)], batch_size=12), tasks)
    assert len(before) == 2


def test_a_high_temperature_weighs_up_what_is_unlikely() -> None:
    def loss(temperature: float) -> list[float]:
        seen: list[float] = []
        spy = SeesLoss(lambda learner, batch, loss: seen.append(loss.item()))
        learner = Learner(MLP(FEATURES, [5]), [LwF(temperature=temperature), spy], "domain", batch_size=60)
        learner.learn(blobs("first"), epochs=20)
        learner.learn(blobs("second", seed=1), epochs=1)
        return seen

    low, high = loss(1.0), loss(5.0)
    assert low[:20] == high[:20]
    assert high[20] > low[20], "the entropy of softer answers is larger"


# Warm-up


def warm_up(scenario: Scenario, model: nn.Module, *tasks: Task, passes: int = 5, **arguments: Any) -> tuple[Learner, Network, Network]:
    """The network at the last task's start, before and after the warm-up."""
    networks: list[Network] = []
    spies = [kind(lambda learner: networks.append(copy.deepcopy(learner.network))) for kind in (BeginTask, AfterWarmUp)]
    learner = Learner(model, [spies[0], LwF(warm_up=passes), spies[1]], scenario, **{"batch_size": 12, **arguments})
    learned(learner, tasks)
    return learner, networks[-2], networks[-1]


def changed_rows(before: Network, after: Network) -> list[bool]:
    was, became = (network.get_parameter("heads.layers.0.weight") for network in (before, after))
    return [bool(changed) for changed in (was != became).any(1)]


@pytest.mark.parametrize("optimizer", [sgd(0.1), sgd(0.1, momentum=0.9, weight_decay=0.1)])
@pytest.mark.parametrize("scenario", ["class", "task"])
def test_the_warm_up_trains_the_new_outputs_only(scenario: Scenario, optimizer: Any) -> None:
    """Bit for bit the features, batch norm's statistics and the old outputs are as before; the new ones know the task better."""
    tasks = image_tasks(2, scenario)
    model = nn.Sequential(ConvNet(1, [2, 3]), nn.Dropout(0.5))
    learner, before, after = warm_up(scenario, model, *tasks, optimizer=optimizer)
    assert same(weights(before.features), weights(after.features))
    head, old = (1, 0) if scenario == "task" else (0, 3)
    for name in ("weight", "bias"):
        was, became = (network.get_parameter(f"heads.layers.{head}.{name}") for network in (before, after))
        assert torch.equal(was[:old], became[:old])
        assert (was[old:] != became[old:]).any(dim=-1).all()
    if scenario == "task":
        assert same(weights(before.heads.layers[0]), weights(after.heads.layers[0]))
    examples = learner.examples_of(tasks[1])
    losses = [cross_entropy(network.eval()(examples.x, head), examples.y).item() for network in (before, after)]
    assert losses[1] < losses[0]
    assert learner.theta.moved() is None


def test_the_warm_up_is_the_training_of_the_new_rows_alone() -> None:
    """Full batches, so that the order does not matter: the new rows by torch's own SGD, everything else held."""
    first, second = blobs("first", classes=["a", "b"]), blobs("second", seed=1, classes=["c", "d"])
    arguments: dict[str, Any] = {"passes": 4, "batch_size": 60, "optimizer": sgd(0.5, momentum=0.9)}
    _, network, after = warm_up("class", MLP(FEATURES, [5]), first, second, **arguments)
    optimizer = torch.optim.SGD(network.heads.parameters(), lr=0.5, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        cross_entropy(network(second.train.x), second.train.y + 2).backward()  # type: ignore[no-untyped-call]
        for parameter in network.heads.parameters():
            assert parameter.grad is not None
            parameter.grad[:2] = 0
        optimizer.step()
    for name, value in network.state_dict().items():
        assert torch.allclose(value, after.state_dict()[name], atol=1e-6), name


def test_without_new_outputs_there_is_nothing_to_warm_up() -> None:
    tasks = image_tasks(2, "domain")
    _, before, after = warm_up("domain", MLP(64, [5]), *tasks)
    assert same(weights(before), weights(after))
    again = [Task("first", (torch.randn(12, 5), [0, 1] * 6)), Task("second", (torch.randn(12, 5), [1, 0] * 6))]
    _, before, after = warm_up("class", MLP(5, [5]), *again)
    assert same(weights(before), weights(after)), "known classes again"


def test_a_class_that_comes_again_keeps_its_output_in_the_warm_up() -> None:
    first, second = blobs("first", classes=["a", "b"]), blobs("second", seed=1, classes=["b", "c"])
    _, before, after = warm_up("class", MLP(FEATURES, [5]), first, second)
    assert changed_rows(before, after) == [False, False, True]


def test_outputs_that_are_only_declared_are_not_warmed_up() -> None:
    first, second = blobs("first", classes=["a", "b"]), blobs("second", seed=1, classes=["d", "c"])
    _, before, after = warm_up("class", MLP(FEATURES, [5]), first, second, classes=["a", "b", "c", "d", "e"])
    assert changed_rows(before, after) == [False, False, True, True, False]


# What is kept


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_the_teacher_is_saved_inside_a_task_and_gone_after_it(scenario: Scenario, tmp_path: Path) -> None:
    first, second, third = image_tasks(3, scenario)

    def fresh() -> Learner:
        methods = [LwF(strength=2.0, warm_up=1)]
        return learned(Learner(MLP(64, [6]), methods, scenario, batch_size=8, optimizer=sgd(0.1, momentum=0.9)), [first, second])

    whole, stopped = fresh(), fresh()
    assert (whole.kept_bytes(), lwf_of(whole).state()) == (0, {})
    at_start = weights(whole.network)
    die_at_checkpoint(stopped, third, tmp_path, 3)
    opened = Learner.open(tmp_path)
    own = lwf_of(opened)
    assert own.kept_bytes() > 0
    teacher = weights(own.teacher.network(opened.network))
    assert all(torch.equal(teacher[name], at_start[name]) for name in at_start if name.startswith("features"))
    assert not same(teacher, weights(opened.network))
    for learner in (whole, opened):
        learner.learn(third)
    assert differing(bits(whole), bits(opened)) == []
    assert opened.kept_bytes() == 0


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_strength_0_and_a_first_task_are_fine_tuning_bit_for_bit(scenario: Scenario) -> None:
    tasks = image_tasks(2, scenario)

    def trained(count: int, *methods: Method) -> dict[str, Tensor]:
        learner = Learner(MLP(64, [6]), methods, scenario, optimizer=sgd(0.1, momentum=0.9, weight_decay=0.1))
        return weights(learned(learner, tasks[:count]).network)

    assert same(trained(2, LwF(strength=0, warm_up=2)), trained(2))
    assert same(trained(1, LwF(warm_up=2)), trained(1))
    assert not same(trained(2, LwF()), trained(2))


def test_it_forgets_less_than_fine_tuning() -> None:
    tasks = vector_tasks(2, 0, size=200)

    def accuracies(*methods: Method) -> list[float]:
        learner = learned(Learner(MLP(12, [32]), methods, "domain", epochs=10), tasks)
        return [float(value) for value in learner.evaluate(tasks).values[2]]

    (kept, new), (lost, _) = accuracies(LwF()), accuracies()
    assert kept > lost + 0.1
    assert new > 0.9


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"strength": -1.0}, "LwF: strength is -1.0; expected a finite number >= 0, where 0 switches the method off"),
        ({"temperature": 0}, "LwF: temperature is 0; expected a number > 0, where 1 leaves the answers as they are"),
        ({"temperature": float("inf")}, "LwF: temperature is inf; expected a number > 0, where 1 leaves the answers as they are"),
        ({"warm_up": -1}, "LwF: warm_up is -1; expected a number of passes, an integer >= 0"),
        ({"warm_up": 0.5}, "LwF: warm_up is 0.5; expected a number of passes, an integer >= 0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(MethodError) as caught:
        LwF(**arguments)
    assert str(caught.value) == text
