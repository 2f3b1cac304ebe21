"""Methods that people use together: each pair does what neither does alone, and is saved and goes on, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import AGEM, DER, EWC, SI, LwF, Replay
from lifelong.models import MLP
from lifelong.tasks import Scenario
from lifelong.testing.comparing import bits, die_at_checkpoint, differing, learned, weights
from lifelong.testing.data import vector_tasks
from toys import sgd


def ewc() -> Method:
    return EWC(strength=1.0, examples=20)


def replay() -> Method:
    return Replay(capacity=20)


def lwf() -> Method:
    return LwF(strength=1.0, warm_up=1)


def si() -> Method:
    return SI(strength=2.0, damping=0.01)


def agem() -> Method:
    return AGEM(capacity=20, replayed=16)


def der() -> Method:
    return DER(capacity=20, beta=0.5)


Parts = tuple[Callable[[], Method], Callable[[], Method]]
PAIRS: dict[str, tuple[Parts, tuple[Scenario, ...]]] = {
    "ewc + replay": ((ewc, replay), ("class", "domain", "task")),
    "lwf + replay": ((lwf, replay), ("class", "domain", "task")),
    "si + agem": ((si, agem), ("domain", "task")),
    "der + ewc": ((der, ewc), ("class", "domain", "task")),
}
CASES = [pytest.param(parts, scenario, id=f"{name}-{scenario}") for name, (parts, scenarios) in PAIRS.items() for scenario in scenarios]


def fresh(scenario: Scenario, *methods: Method) -> Learner:
    return Learner(MLP(12, [8]), methods, scenario, batch_size=9, optimizer=sgd(0.1, momentum=0.9), epochs=2, reset_optimizer=False)


@pytest.mark.parametrize(("parts", "scenario"), CASES)
def test_a_pair_does_what_neither_part_does_alone(parts: Parts, scenario: Scenario) -> None:
    tasks = vector_tasks(2, 0, size=45, scenario=scenario)
    one, other = parts
    made = [[one(), other()], [one()], [other()], []]
    found: list[dict[str, Tensor]] = [weights(learned(fresh(scenario, *methods), tasks)) for methods in made]
    for part in found[1:]:
        assert any(name.startswith("network/features") for name in differing(found[0], part))
    assert all(value.isfinite().all() for name, value in found[0].items() if name != "matrix")


@pytest.mark.parametrize("order", ["as listed", "the other way round"])
@pytest.mark.parametrize(("parts", "scenario"), CASES)
def test_a_pair_is_saved_and_goes_on(parts: Parts, scenario: Scenario, order: str, tmp_path: Path) -> None:
    """After two tasks, and inside the third."""
    *tasks, last = vector_tasks(3, 0, size=45, scenario=scenario)

    def made() -> list[Method]:
        methods = [make() for make in parts]
        return methods if order == "as listed" else methods[::-1]

    whole, stopped = (learned(fresh(scenario, *made()), tasks) for _ in range(2))
    stopped.save(tmp_path / "between")
    between = Learner.open(tmp_path / "between")
    assert differing(bits(whole), bits(between)) == []
    die_at_checkpoint(between, last, tmp_path / "inside", 2)
    inside = Learner.open(tmp_path / "inside")
    assert inside.in_progress == last.name
    whole.learn(last)
    inside.learn(last)
    assert differing(bits(whole), bits(inside)) == []


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_forgets_less_than_fine_tuning_and_still_learns(name: str) -> None:
    tasks = vector_tasks(2, 0, size=200)

    def accuracies(*methods: Method) -> list[float]:
        learner = learned(Learner(MLP(12, [32]), methods, "domain", epochs=10), tasks)
        return [float(value) for value in learner.evaluate(tasks).values[2]]

    (kept, new), (lost, _) = accuracies(*(make() for make in PAIRS[name][0])), accuracies()
    assert kept > lost + 0.1
    assert new > 0.9


def test_der_repeats_with_ewc_what_it_repeats_alone() -> None:
    """In the first task neither does anything, so that the same examples are kept with the same logits."""
    (task,) = vector_tasks(1, 0, scenario="class")
    memories = []
    for methods in ([der()], [der(), ewc()]):
        learner = learned(fresh("class", *methods), [task])
        method = learner.methods[0]
        assert isinstance(method, DER)
        memories.append(method.memory)
    assert torch.equal(memories[0].x, memories[1].x)
    assert torch.equal(memories[0].logits, memories[1].logits)
