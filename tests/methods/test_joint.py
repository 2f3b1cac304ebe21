"""Joint training that does not train at every task."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

import lifelong as ll
from lifelong.errors import MethodError
from lifelong.methods import Joint
from toys import blobs, same, sgd, weights

TASKS = [blobs(f"task {i}", seed=i) for i in range(4)]


def learner_of(*, every: int = 1, restart: bool = True, **settings: Any) -> ll.Learner:
    network = ll.models.MLP(6, [5], seed=1)
    return ll.Learner(network, [Joint(every=every, restart=restart)], "domain", **{"epochs": 2, "optimizer": sgd(0.1), **settings})


@pytest.mark.parametrize("settings", [{}, {"epochs": 1, "steps": 7}, {"optimizer": functools.partial(torch.optim.Adam, lr=0.01)}])
def test_every_second_task_is_joint_training_of_two_at_a_time(settings: dict[str, Any]) -> None:
    learner = learner_of(every=2, **settings)
    for position, task in enumerate(TASKS):
        before = None if position == 0 else weights(learner.network)
        learner.learn(task)
        if position % 2 == 0 and before is not None:
            assert same(weights(learner.network), before)
    first = [learner.matrix.values[0, 0], learner.matrix.values[1, 0]]
    assert first[0] == first[1]  # the first task was not trained
    assert learner.cost.steps == (6 * 7 if "steps" in settings else 2 * (4 + 8))


def test_once_at_the_end_is_training_on_all_from_the_first_weights() -> None:
    """The same as one task with all the examples, in the same order."""
    joint, whole = learner_of(every=4), ll.Learner(ll.models.MLP(6, [5], seed=1), scenario="domain", epochs=2, optimizer=sgd(0.1))
    for task in TASKS:
        joint.learn(task)
    x, y = (torch.cat([getattr(task.train, part) for task in TASKS]) for part in ("x", "y"))
    whole.learn(ll.Task("all", (x, y)))
    assert same(weights(joint.network), weights(whole.network))


def test_it_goes_on_from_the_current_weights_where_it_does_not_restart() -> None:
    learners = {restart: learner_of(every=2, restart=restart) for restart in (True, False)}
    for learner in learners.values():
        for task in TASKS[:2]:
            learner.learn(task)
    assert same(weights(learners[True].network), weights(learners[False].network))
    for learner in learners.values():
        for task in TASKS[2:]:
            learner.learn(task)
    assert not same(weights(learners[True].network), weights(learners[False].network))


def test_saved_while_examples_wait_it_goes_on_the_same(tmp_path: Path) -> None:
    learner = learner_of(every=3)
    for task in TASKS[:2]:
        learner.learn(task)
    learner.save(tmp_path / "waiting.life")
    opened = ll.Learner.open(tmp_path / "waiting.life")
    for each in (learner, opened):
        each.learn(TASKS[2])
    assert same(weights(opened.network), weights(learner.network))
    assert learner.cost.steps > 0


@pytest.mark.parametrize("every", [0, 1.5, "2"])
def test_a_wrong_number_is_refused(every: Any) -> None:
    with pytest.raises(MethodError, match=rf"^Joint: every is {every!r}; expected an integer >= 1, where 1 trains at every task$"):
        Joint(every=every)
