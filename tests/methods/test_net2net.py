"""Net2Net as a method: when it grows, by how much, and that it goes on where it was killed."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

import lifelong as ll
from lifelong.errors import MethodError
from lifelong.methods import EWC, Net2Net
from lifelong.models import MLP
from lifelong.testing.comparing import bits, die_at_checkpoint, differing
from toys import blobs, same, sgd, weights

ADAM = functools.partial(torch.optim.Adam, lr=0.01)


def widths(learner: ll.Learner) -> list[int]:
    return [layer.out_features for layer in learner.network.features.modules() if isinstance(layer, torch.nn.Linear)]


def grower(*others: ll.Method, hidden: list[int] | None = None, **arguments: Any) -> ll.Learner:
    return ll.Learner(MLP(6, hidden or [4, 2]), [Net2Net(**arguments), *others], "task", optimizer=sgd(0.05), epochs=2, batch_size=10)


def test_it_grows_only_when_the_task_is_not_learned_well_enough() -> None:
    task = blobs(seed=3)
    plain = ll.Learner(MLP(6, [4, 2]), [], "task", optimizer=sgd(0.05), epochs=2, batch_size=10)
    plain.learn(task)
    reached = float((plain.predict(task.train.x, "first") == task.train.y.numpy()).mean())
    enough, more = grower(until_accuracy=reached - 1e-9), grower(until_accuracy=reached + 1e-9)
    for learner in (enough, more):
        learner.learn(task)
    assert same(weights(enough.network), weights(plain.network))
    assert widths(enough) == [4, 2]
    assert widths(more) != [4, 2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"grow_by": 0.5, "max_growths": 1}, [6, 3]),
        ({"grow_by": 0.5, "max_growths": 2}, [9, 5]),  # round(1.5) is 2
        ({"grow_by": 0.01, "max_growths": 1}, [5, 3]),  # at least one unit
        ({"grow_by": 1.0, "max_growths": 0}, [4, 2]),
        ({"grow_by": 1.0, "max_growths": 3, "max_parameters": 120}, [8, 4]),  # 56 + 36 + 15 = 107; then 112 + 136 + 27
        ({"grow_by": 1.0, "max_growths": 3, "max_parameters": 60}, [4, 2]),
    ],
)
def test_how_much_it_grows(arguments: dict[str, Any], expected: list[int]) -> None:
    learner = grower(until_accuracy=2.0, **arguments)
    learner.learn(blobs())
    assert widths(learner) == expected


def test_each_growth_is_followed_by_a_training_as_long_as_the_first() -> None:
    learner = grower(until_accuracy=2.0, max_growths=2)
    learner.learn(blobs())
    assert learner.cost.steps == 3 * 2 * 6
    learner.learn(blobs("second", seed=1))
    assert learner.cost.steps == 2 * 3 * 2 * 6  # the count of growths starts anew with a task


def test_its_journal_says_what_grew() -> None:
    learner = grower(until_accuracy=2.0, max_growths=1, grow_by=0.5, noise=0.2)
    learner.learn(blobs())
    grown = [each for each in learner.journal if each["operation"] == "widen"]
    assert [(each["layer"], each["width"], each["noise"]) for each in grown] == [("layers.0", 6, 0.2), ("layers.1", 3, 0.2)]


@pytest.mark.parametrize("checkpoint", [3, 12, 13, 20, 24])  # 12 steps a round
def test_killed_before_at_and_after_a_growth_it_goes_on_bit_for_bit(checkpoint: int, tmp_path: Path) -> None:
    def learner() -> ll.Learner:
        methods = [Net2Net(until_accuracy=2.0, max_growths=2), EWC(strength=10.0)]
        return ll.Learner(MLP(6, [4, 2]), methods, "task", optimizer=ADAM, epochs=2, batch_size=10, reset_optimizer=False)

    first, second = blobs(), blobs("second", seed=1)
    never_stopped = learner()
    stopped = learner()
    for each in (never_stopped, stopped):
        each.learn(first)
    never_stopped.learn(second)
    die_at_checkpoint(stopped, second, tmp_path, checkpoint)
    again = ll.Learner.open(tmp_path)
    assert again.in_progress == "second"
    again.learn(second)
    assert widths(again) == widths(never_stopped)
    assert differing(bits(again), bits(never_stopped)) == []


def test_growth_gives_ewc_room() -> None:
    """Where EWC alone holds a small network so firmly that it can't learn any more, growing lets it."""
    stream = ll.streams.permuted_mnist(tasks=6, examples=1000, scenario="task")
    found = {}
    for name, methods in {
        "fixed": [EWC(strength=100.0)],
        "grown": [Net2Net(until_accuracy=0.9, max_growths=2), EWC(strength=100.0)],
    }.items():
        learner = ll.Learner(MLP(784, [12]), methods, stream.scenario, optimizer=functools.partial(torch.optim.Adam, lr=0.002), epochs=4)
        for task in stream:
            learner.learn(task, evaluate=False)
        found[name] = learner.evaluate(stream).accuracy
        if name == "grown":
            sizes = [each["parameters"] for each in learner.sizes]
            assert sizes[0] < sizes[-1]
    assert found["grown"] > found["fixed"] + 0.05, found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"until_accuracy": -0.1}, "Net2Net: until_accuracy is -0.1; expected a share from 0, never, to 1, or above for always"),
        ({"grow_by": 0}, "Net2Net: grow_by is 0; expected a share of a layer's units > 0, as 0.5 for half as many more"),
        ({"max_growths": -1}, "Net2Net: max_growths is -1; expected an integer >= 0"),
        ({"max_growths": None}, "Net2Net: max_growths is None; expected an integer >= 0"),
        ({"max_parameters": 0}, "Net2Net: max_parameters is 0; expected an integer >= 1"),
        ({"examples": 1.5}, "Net2Net: examples is 1.5; expected an integer >= 1"),
        ({"noise": -1}, "Net2Net: noise is -1; expected a number >= 0, where 0 keeps copies alike"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError) as error:
        Net2Net(**arguments)
    assert message == str(error.value)
