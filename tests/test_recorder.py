"""The record of theta's path."""

from pathlib import Path

import pytest
import torch

from lifelong.errors import MethodError, ScenarioError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, L2, Replay
from lifelong.models import MLP
from lifelong.recorder import Recorder
from lifelong.tasks import Scenario, Task
from lifelong.testing import check_method
from toys import FEATURES, AfterStep, blobs, everything, same, sgd


def learner(*methods: Method, scenario: Scenario = "domain", steps: int = 7) -> Learner:
    return Learner(MLP(FEATURES, [5]), methods, scenario, optimizer=sgd(0.1, momentum=0.9), steps=steps, batch_size=20)


TASKS = [blobs("first"), blobs("second", seed=1)]


@pytest.mark.parametrize("others", [[], [EWC(strength=3.0)], [L2(strength=0.1), Replay(capacity=10)]], ids=["none", "ewc", "l2 and replay"])
def test_training_is_the_same_bit_for_bit(others: list[Method]):
    with_it, without = learner(*others, Recorder(every=3)), learner(*others)
    for task in TASKS:
        with_it.learn(task)
        without.learn(task)
    everything_else = {name: value for name, value in everything(with_it).items() if f"method {len(others)}" not in name}
    random = {name: value for name, value in everything_else.items() if name != f"random {len(others) + 1}"}
    assert same(random, everything(without))


@pytest.mark.parametrize(("every", "kept"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6, 7]), (7, [0, 7]), (100, [0, 7])])
def test_the_path_is_theta_before_the_first_step_after_some_and_after_the_last(every: int, kept: list[int]):
    seen: list[torch.Tensor] = []
    subject = learner(EWC(strength=30.0), AfterStep(lambda one: seen.append(one.theta.value.clone())), Recorder(every=every))
    ends = []
    for task in TASKS:
        subject.learn(task)
        ends.append(subject.theta.value.clone())
    own = Recorder.of(subject)
    before = torch.cat([p.detach().flatten() for p in learner().model.parameters()])
    assert torch.equal(own.path(0)[0, : len(before)], before)
    for task in (0, 1):
        points = [own.path(task)[0], *seen[7 * task : 7 * task + 7]]
        assert torch.equal(own.path(task), torch.stack([points[step] for step in kept]))
        assert torch.equal(own.path(task)[-1], ends[task])
    assert torch.equal(own.path(1)[0], own.path(0)[-1])


def test_a_record_is_saved_and_goes_on(tmp_path: Path):
    straight, saved = learner(L2(strength=0.1), Recorder(every=2)), learner(L2(strength=0.1), Recorder(every=2))
    straight.learn(TASKS[0])
    saved.learn(TASKS[0])
    saved.save(tmp_path / "learner")
    opened = Learner.open(tmp_path / "learner", methods=[L2(strength=0.1), Recorder(every=2)], optimizer=sgd(0.1, momentum=0.9))
    for each in (straight, opened):
        each.learn(TASKS[1])
    assert torch.equal(Recorder.of(opened).points, Recorder.of(straight).points)
    assert Recorder.of(opened).kept_bytes() == Recorder.of(opened).points.nbytes + Recorder.of(opened).during.nbytes


@pytest.mark.slow
def test_it_passes_the_checks_of_methods():
    """But for `composes`, which gives it first in the list as well, and `runs_in_every_scenario`: class heads may grow."""
    checks = [
        "off_is_finetuning",
        "goes_on_between_tasks",
        "goes_on_inside_a_task",
        "touches_no_other_tasks_data",
        "callers_objects_stay",
        "keeps_batch_norm_statistics",
        "same_seed_same_bits",
        "describes_itself",
    ]
    refused = {"task": "scenario='domain'", "class": "'domain'"}
    check_method(Recorder, arguments={"every": 3}, off={}, baseline=True, rigid=False, grows=False, refuses=refused, checks=checks)


@pytest.mark.parametrize("every", [0, -1, 2.5])
def test_steps_between_copies(every: int):
    with pytest.raises(ValueError, match=f"Recorder: every is {every}; expected an integer >= 1, the steps between two copies"):
        Recorder(every=every)


def test_a_learner_without_one():
    with pytest.raises(MethodError) as caught:
        Recorder.of(learner(EWC()))
    expected = "this learner has no Recorder, its methods: EWC; make it with methods=[..., Recorder(every=10)]"
    assert str(caught.value) == expected
    with pytest.raises(MethodError, match="its methods: none;"):
        Recorder.of(learner())


def test_a_task_that_was_not_recorded():
    subject = learner(Recorder())
    subject.learn(TASKS[0])
    with pytest.raises(MethodError, match=r"nothing was recorded in task 1; recorded tasks: \[0\], counted from 0"):
        Recorder.of(subject).path(1)


def test_it_comes_last():
    with pytest.raises(MethodError, match="Recorder comes before EWC, and would not see what it does in a step; give Recorder last"):
        learner(Recorder(), EWC()).learn(TASKS[0])


def test_a_head_for_each_task_is_refused():
    with pytest.raises(ScenarioError, match="Recorder can't work in the scenario 'task': .* use scenario='domain'"):
        learner(Recorder(), scenario="task").learn(TASKS[0])


def test_a_head_that_grows_is_refused_and_the_learner_is_as_it_was():
    subject = learner(Recorder(), scenario="class")
    subject.learn(TASKS[0])
    before = everything(subject)
    other = Task("other", (TASKS[1].train.x, [3 + label for label in TASKS[1].train.y.tolist()]))
    with pytest.raises(MethodError, match="theta had 53 entries in an earlier task and has 71 in this one, .* use the scenario 'domain'"):
        subject.learn(other)
    assert same(everything(subject), before)
