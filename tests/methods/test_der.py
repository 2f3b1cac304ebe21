from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import DER, Replay
from lifelong.models import MLP
from lifelong.tasks import Batch, Name, Scenario, Task
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned
from lifelong.testing.data import vector_tasks
from toys import FEATURES, blobs, same, sgd, weights

Seen = Callable[[Learner, Batch, Tensor, Tensor], None]


class Watch(Method):
    """Calls a function with each step's batch, outputs and loss; to stand after DER in the list."""

    def __init__(self, action: Seen) -> None:
        super().__init__()
        self.action = action

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self.action(learner, batch, output.detach(), loss.detach())
        return loss


def der_of(learner: Learner) -> DER:
    return next(method for method in learner.methods if isinstance(method, DER))


def names_of(scenario: Scenario, t: int) -> list[Name]:
    """Three classes in task 0, two in task 1, four in task 2; the same in every task in the scenario "domain"."""
    return ["a", "b", "c"] if scenario == "domain" else [f"{t}{c}" for c in range((3, 2, 4)[t])]


def three(scenario: Scenario) -> list[Task]:
    return [blobs(str(t), seed=t, classes=names_of(scenario, t)) for t in range(3)]


def key(x: Tensor) -> tuple[float, ...]:
    return tuple(x.tolist())


# What is kept


@pytest.mark.parametrize("from_current", [False, True])
@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_logits_are_those_of_the_step_in_which_the_example_was_kept(scenario: Scenario, from_current: bool) -> None:
    """In one pass every example is the step's own once: what the network said of it then is written down, outputs and all."""
    said: dict[tuple[float, ...], tuple[Tensor, int, int]] = {}

    def note(learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> None:
        own = min(10, len(batch))
        head = len(learner.tasks) if scenario == "task" else 0
        outputs = len(learner.heads.classes[head])
        for n in range(own):
            assert key(batch.x[n]) not in said
            said[key(batch.x[n])] = output[n, :outputs].clone(), head, len(learner.tasks)

    methods = [DER(capacity=30, from_current=from_current, beta=0.5), Watch(note)]
    learner = Learner(MLP(FEATURES, [5]), methods, scenario, batch_size=10)
    for t, task in enumerate(three(scenario)):
        learner.learn(task)
        memory = der_of(learner).memory
        assert memory.filled == 30
        assert memory.counts[:3].tolist() == [30, 60 * (t + 1), t + 1]
        assert memory.x.shape == (30, FEATURES)
        for slot in range(30):
            logits, head, number = said[key(memory.x[slot])]
            assert torch.equal(memory.logits[slot, : len(logits)], logits)
            assert not memory.logits[slot, len(logits) :].isfinite().any(), "nothing was said of other outputs"
            assert (int(memory.head[slot]), int(memory.task[slot])) == (head, number)
        assert set(memory.task.tolist()) == set(range(t + 1))


def test_what_another_method_adds_is_not_kept_as_the_tasks_own() -> None:
    alone = learned(Learner(MLP(FEATURES, [5]), [DER(capacity=500)], batch_size=7), three("class"))
    after = learned(Learner(MLP(FEATURES, [5]), [Replay(capacity=50), DER(capacity=500)], batch_size=7), three("class"))
    memories = der_of(alone).memory, next(m for m in after.methods if isinstance(m, DER)).memory
    assert memories[0].counts.tolist() == memories[1].counts.tolist()
    assert sorted(memories[0].x[:, 0].tolist()) == sorted(memories[1].x[:, 0].tolist())


@pytest.mark.parametrize("capacity", [1, 7, 500])
def test_the_memory_is_never_over_its_capacity(capacity: int) -> None:
    sizes: list[int] = []
    watch = Watch(lambda learner, batch, output, loss: sizes.append(len(der_of(learner).memory)))
    learner = learned(Learner(MLP(FEATURES, [5]), [DER(capacity=capacity), watch], batch_size=7), three("class"))
    memory = der_of(learner).memory
    assert max(sizes) <= memory.filled == min(capacity, 180)
    assert len(memory.x) == len(memory.logits) == capacity
    assert learner.kept_bytes() == memory.x.nbytes + memory.logits.nbytes + memory.counts.nbytes + memory.seed.nbytes + 3 * 8 * capacity


# The loss


def by_hand(method: DER, learner: Learner, batch: Batch, own: int, task_of_batch: int) -> float:
    """Cross-entropy of the own examples + alpha (z - h)^2, a mean over elements, + beta cross-entropy of the second draw."""
    size = own if method.replayed is None else method.replayed
    memory, network = method.memory, learner.network
    slots = {key(memory.x[slot]): slot for slot in range(memory.filled)}
    replayed = [slots[key(x)] for x in batch.x[own:]]
    loss = float(cross_entropy(network(batch.x[:own], task_of_batch), batch.y[:own]))
    if not replayed:
        return loss
    assert len(replayed) == (2 if method.beta else 1) * size
    squares: list[float] = []
    for slot in replayed[:size]:
        answer = network(memory.x[slot][None], int(memory.head[slot]))[0].tolist()
        kept = [z for z in memory.logits[slot].tolist() if abs(z) < float("inf")]
        squares += [(z - h) ** 2 for z, h in zip(kept, answer, strict=False)]
    loss += method.alpha * sum(squares) / len(squares)
    second = [float(cross_entropy(network(memory.x[slot][None], int(memory.head[slot])), memory.y[slot][None])) for slot in replayed[size:]]
    return loss + (method.beta * sum(second) / len(second) if second else 0.0)


@pytest.mark.parametrize("arguments", [{}, {"beta": 0.7}, {"beta": 0.7, "replayed": 3, "from_current": True}, {"alpha": 0.0, "beta": 1.0}])
@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_the_loss_is_the_formula(scenario: Scenario, arguments: dict[str, Any]) -> None:
    """Outputs that came later, and those of other heads, are not asked for; heads have 3, 2 and 4 outputs."""
    replayed: list[int] = []

    @torch.no_grad()
    def check(learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> None:
        task = len(learner.tasks)
        expected = by_hand(der_of(learner), learner, batch, 10, task if scenario == "task" else 0)
        assert float(loss) == pytest.approx(expected, rel=1e-5)
        replayed.append(len(batch) - 10)

    methods = [DER(**{"capacity": 20, "alpha": 0.3, **arguments}), Watch(check)]
    learned(Learner(MLP(FEATURES, [5]), methods, scenario, batch_size=10), three(scenario))
    assert len(replayed) == 18
    assert all(replayed[6:])
    assert replayed[:6] == ([0] + [6] * 5 if "replayed" in arguments else [0] * 6)


def test_the_logits_term_does_not_reach_outputs_that_came_later() -> None:
    """Alone in the loss, it leaves their rows without a gradient, and those of the known ones not."""

    class OnlyTheTerm(Method):
        """The loss without the batch's own: what DER adds to 0."""

        def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
            return loss * 0 if learner.tasks else loss

    starts: list[Tensor] = []

    class Start(Method):
        def begin_task(self, learner: Learner, task: Task) -> None:
            starts.append(learner.heads.layers[0].state_dict()["weight"].clone())

    learner = Learner(MLP(FEATURES, [5]), [Start(), OnlyTheTerm(), DER(capacity=20)], optimizer=sgd(0.5), steps=3)
    learned(learner, three("class")[:2])
    changed = (starts[1] != learner.heads.layers[0].state_dict()["weight"]).any(1)
    assert changed.tolist() == [True, True, True, False, False]


def test_the_two_draws_are_independent_and_uniform() -> None:
    """A table of 5 x 5 kept examples from 5,000 pairs. Chi-square of 16 for independence, of 4 for each margin: far in the tails."""
    learner = Learner(MLP(FEATURES, [5]), [DER(capacity=5, replayed=5000, beta=1.0)], "domain")
    learner.learn(blobs("first"))
    method = der_of(learner)
    own = Batch(torch.zeros(1, FEATURES), torch.zeros(1, dtype=torch.int64))
    mixed = method.mix(learner, own)
    slots = {key(x): slot for slot, x in enumerate(method.memory.x)}
    drawn = torch.tensor([slots[key(x)] for x in mixed.x[1:]]).reshape(2, 5000)
    table = (5 * drawn[0] + drawn[1]).bincount(minlength=25).reshape(5, 5).double()
    expected = table.sum(1, keepdim=True) * table.sum(0) / 5000
    assert float(((table - expected) ** 2 / expected).sum()) < 40
    for margin in (table.sum(0), table.sum(1)):
        assert float(((margin - 1000) ** 2 / 1000).sum()) < 20


def test_the_labels_of_the_second_draw_are_the_examples_own() -> None:
    first, second, _ = three("task")
    learner = Learner(MLP(FEATURES, [5]), [DER(capacity=60, beta=1.0)], "task")
    learner.learn(first)
    method = der_of(learner)
    labels = dict(zip(map(key, first.train.x), first.train.y.tolist(), strict=True))
    learner.fresh = 20
    mixed = method.mix(learner, Batch(second.train.x[:20], second.train.y[:20], 1))
    assert isinstance(mixed.head, Tensor)
    assert mixed.head.tolist() == [1] * 20 + [0] * 40
    assert mixed.y[20:].tolist() == [labels[key(x)] for x in mixed.x[20:]]


# Fine-tuning


def trained(count: int, *methods: Method, scenario: Scenario = "task") -> dict[str, Tensor]:
    learner = Learner(MLP(FEATURES, [5]), methods, scenario, optimizer=sgd(0.1, momentum=0.9, weight_decay=0.1), batch_size=10)
    return weights(learned(learner, three(scenario)[:count]).network)


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
def test_switched_off_it_is_fine_tuning_bit_for_bit(scenario: Scenario) -> None:
    """Without weights, too, whatever is kept: other heads are not trained, so that weight decay can't move them."""
    plain = trained(3, scenario=scenario)
    assert same(trained(3, DER(capacity=0, beta=1.0), scenario=scenario), plain)
    assert same(trained(3, DER(capacity=30, alpha=0.0, beta=0.0), scenario=scenario), plain)
    assert not same(trained(3, DER(capacity=30), scenario=scenario), plain)
    assert not same(trained(3, DER(capacity=30, alpha=0.0, beta=0.1), scenario=scenario), plain)


def test_one_task_is_fine_tuning_unless_the_current_task_is_replayed() -> None:
    assert same(trained(1, DER(capacity=30, beta=1.0)), trained(1))
    assert not same(trained(1, DER(capacity=30, beta=1.0, from_current=True)), trained(1))


def test_it_forgets_less_than_fine_tuning() -> None:
    tasks = vector_tasks(2, 0, size=200)

    def accuracies(*methods: Method) -> list[float]:
        learner = learned(Learner(MLP(12, [32]), methods, "domain", epochs=10), tasks)
        return [float(value) for value in learner.evaluate(tasks).values[2]]

    (lost, _), found = accuracies(), [accuracies(DER(capacity=50)), accuracies(DER(capacity=50, beta=0.5))]
    for kept, new in found:
        assert kept > lost + 0.1
        assert new > 0.9


# Precision, saving, errors


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_halved_precision_gives_nearly_the_same(precision: Any) -> None:
    got = []
    for each in ("float32", precision):
        learner = Learner(MLP(FEATURES, [5]), [DER(capacity=30, beta=0.5)], precision=each, batch_size=10)
        got.append(learned(learner, three("class")).theta.value)
    assert (got[0] - got[1]).norm() < 0.1 * got[0].norm(), "float16 skips steps that overflow"


def test_a_network_in_float64() -> None:
    learner = Learner(MLP(FEATURES, [5]).double(), [DER(capacity=30, beta=0.5)])
    for t in range(2):
        learner.learn(blobs(str(t), seed=t, classes=[2 * t, 2 * t + 1], transform=torch.Tensor.double))
    assert der_of(learner).memory.logits.dtype is torch.float64


@pytest.mark.parametrize("from_current", [False, True])
@pytest.mark.parametrize("scenario", ["class", "task"])
def test_it_goes_on_inside_a_task(scenario: Scenario, from_current: bool, tmp_path: Path) -> None:
    """A growing head's logits, a memory that takes new examples in every step, and draws."""
    tasks = three(scenario)

    def fresh() -> Learner:
        method = DER(capacity=25, beta=0.5, from_current=from_current)
        return learned(Learner(MLP(FEATURES, [5]), [method], scenario, batch_size=10, optimizer=sgd(0.1, momentum=0.9)), tasks[:2])

    whole, stopped = fresh(), fresh()
    die_at_checkpoint(stopped, tasks[2], tmp_path, 4)
    opened = Learner.open(tmp_path)
    assert der_of(opened).memory.counts[:3].tolist() == [25, 160, 2]
    for learner in (whole, opened):
        learner.learn(tasks[2])
    assert differing(bits(whole), bits(opened)) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"capacity": -1}, "a memory's size is -1; expected an integer >= 0, where 0 keeps nothing"),
        ({"alpha": -0.1}, "DER: alpha is -0.1; expected a finite number >= 0, where 0 switches the method off"),
        ({"beta": float("nan")}, "DER: beta is nan; expected a finite number >= 0, where 0 switches the method off"),
        ({"replayed": 0}, "DER: replayed is 0; expected an integer >= 1, or None for as many as the batch has"),
        ({"replayed": 2.5}, "DER: replayed is 2.5; expected an integer >= 1, or None for as many as the batch has"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(MethodError) as caught:
        DER(**arguments)
    assert str(caught.value) == text
