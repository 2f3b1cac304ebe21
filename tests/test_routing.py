"""Predicting without being told the task: `route`, `predict`, `predict_task`, and what `evaluate` measures of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lifelong.errors import MethodError, NonFiniteError, ScenarioError, TaskError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, Independent
from lifelong.models import MLP
from lifelong.tasks import Name, Task
from lifelong.testing.comparing import learned
from toys import FEATURES, blobs, sgd


class Signs(Method):
    """Takes each input for the task whose number its last value rounds to, or for the last task where there is no such."""

    def route(self, learner: Learner, x: Tensor) -> Tensor:
        return x[:, -1].round().long().clamp(0, len(learner.tasks) - 1)


class Marked(nn.Module):
    """Features that don't see the last value, in which the tests write where an input is to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MLP(FEATURES, [16])

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.inner(x[:, :FEATURES])
        return features


def marked(name: str, sends: Sequence[int], *, seed: int = 0, classes: Sequence[Name] = ("a", "b", "c"), size: int = 60) -> Task:
    """Blobs whose inputs are sent to the tasks at the places `sends`, in turn."""
    plain = blobs(name, seed=seed, classes=classes, size=size)
    places = torch.tensor(sends, dtype=torch.float32)[torch.arange(size) % len(sends)]
    x = torch.cat([plain.train.x, places[:, None]], 1)
    labels = [classes[i] for i in plain.train.y.tolist()]
    return Task(name, (x, labels), (x, labels), classes=classes)


def learner_of(*methods: Method, scenario: Any = "task", **settings: Any) -> Learner:
    return Learner(Marked(), methods, scenario, **{"batch_size": 10, "epochs": 5, "optimizer": sgd(0.1), **settings})


# Predicting


def test_each_input_is_predicted_by_the_task_that_it_is_sent_to() -> None:
    tasks = [marked("one", [0, 1], classes=["a", "b"]), marked("two", [1, 0], seed=1, classes=["c", "d", "e"])]
    learner = learned(learner_of(Signs()), tasks)
    for task in tasks:
        x = task.train.x
        by_hand = [learner.predict(x[i : i + 1], ["one", "two"][int(place)])[0] for i, place in enumerate(x[:, -1].tolist())]
        assert learner.predict(x).tolist() == by_hand
        assert learner.predict_task(x).tolist() == [["one", "two"][int(place)] for place in x[:, -1].tolist()]
    assert set(learner.predict(tasks[0].train.x).tolist()) & {"c", "d", "e"}, "it names the other task's classes"


def test_with_a_task_the_gate_is_not_asked() -> None:
    class Never(Method):
        def route(self, learner: Learner, x: Tensor) -> Tensor:
            raise AssertionError("asked")

    task = marked("one", [0])
    learner = learner_of(Never())
    learner.learn(task, evaluate=False)
    assert set(learner.predict(task.train.x, "one").tolist()) <= {"a", "b", "c"}
    assert learner.predict_proba(task.train.x, task="one").shape == (60, 3)


def test_names_that_are_numbers_stay_numbers_and_both_kinds_stay_apart() -> None:
    numbers = learned(learner_of(Signs()), [marked("one", [0, 1], classes=[7, 3]), marked("two", [0, 1], seed=1, classes=[3, 11])])
    predicted = numbers.predict(marked("x", [0, 1], classes=[7, 3]).train.x)
    assert predicted.dtype.kind == "i"
    assert set(predicted.tolist()) <= {7, 3, 11}
    mixed = learned(learner_of(Signs()), [marked("one", [0], classes=["7", "3"]), marked("two", [1], seed=1, classes=[7, 3])])
    x = torch.cat([marked("x", [place], classes=["7", "3"]).train.x for place in (0, 1)])
    predicted = mixed.predict(x)
    assert {type(name) for name in predicted[:60].tolist()} == {str}
    assert {type(name) for name in predicted[60:].tolist()} == {int}


def test_one_task_one_input_no_input_and_arrays() -> None:
    task = marked("one", [0, 5])
    learner = learned(learner_of(Signs()), [task])
    x = task.train.x
    assert learner.predict(x[:1]).shape == (1,)
    assert learner.predict_task(x[:0]).tolist() == learner.predict(x[:0]).tolist() == []
    assert learner.predict(x.numpy().astype(np.float64)).tolist() == learner.predict(x).tolist() == learner.predict(x, "one").tolist()


def test_more_inputs_than_fit_one_batch() -> None:
    tasks = [marked("one", [0, 1], size=1500), marked("two", [1, 0], seed=1, size=1500)]
    learner = learned(learner_of(Signs(), steps=20), tasks)
    x = tasks[0].train.x
    assert learner.predict(x).tolist() == [name for part in torch.split(x, 7) for name in learner.predict(part).tolist()]


def test_it_routes_in_evaluation_mode_without_gradients_and_puts_the_mode_back() -> None:
    class Watching(Signs):
        def route(self, learner: Learner, x: Tensor) -> Tensor:
            assert not learner.network.training
            assert not torch.is_grad_enabled()
            return super().route(learner, x)

    task = marked("one", [0])
    learner = learned(learner_of(Watching()), [task])
    learner.network.train()
    learner.predict(task.train.x)
    learner.evaluate([task])
    assert learner.network.training


# Refusing


def test_without_a_method_that_routes_the_task_must_be_said() -> None:
    learner = learned(learner_of(EWC()), [marked("one", [0])])
    x = marked("one", [0]).train.x
    with pytest.raises(ScenarioError, match="in the scenario 'task' the task must be said: predict"):
        learner.predict(x)
    with pytest.raises(MethodError, match=r"tells which task inputs are from; give it TaskGate\(\) or ExpertGate"):
        learner.predict_task(x)


def test_probabilities_are_of_one_tasks_classes_so_it_must_be_said() -> None:
    learner = learned(learner_of(Signs()), [marked("one", [0])])
    with pytest.raises(ScenarioError, match="the task must be said"):
        learner.predict_proba(marked("one", [0]).train.x)


def test_before_anything_was_learned() -> None:
    learner = learner_of(Signs())
    for call in (learner.predict_task, learner.predict):
        with pytest.raises(TaskError, match="this learner has not learned anything yet"):
            call(torch.zeros(2, FEATURES + 1))


def test_inputs_that_the_network_cant_take() -> None:
    learner = learned(learner_of(Signs()), [marked("one", [0])])
    for call in (learner.predict_task, learner.predict):
        with pytest.raises(TaskError, match=r"Marked can't take inputs of shape \('N', 2\)"):
            call(torch.zeros(3, 2))


def test_two_that_route_are_refused() -> None:
    class Other(Signs):
        pass

    with pytest.raises(MethodError, match="Signs and Other both choose the task; use one of them"):
        learner_of(Signs(), Other())


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_in_the_other_scenarios_there_is_no_task_to_choose(scenario: Any) -> None:
    tasks = [marked("one", [0]), marked("two", [0], seed=1)]
    learner = learned(learner_of(Signs(), scenario=scenario), tasks)
    learner.evaluate(tasks)
    assert learner.routed.values.size == 0
    assert learner.chosen == {}
    assert learner.predict(tasks[0].train.x).shape == (60,)
    with pytest.raises(MethodError, match="no method of this learner tells which task"):
        learner.predict_task(tasks[0].train.x)


# Measuring


def right(learner: Learner, task: Task) -> float:
    """The share of a task's test set that is predicted right without being told the task, by name."""
    assert task.test is not None
    predicted = learner.predict(task.test.x).tolist()
    wanted = [task.classes[i] for i in task.test.y.tolist()]
    return float(np.mean([a == b for a, b in zip(predicted, wanted, strict=True)]))


def test_routed_is_the_share_that_predict_gets_right_without_the_task() -> None:
    tasks = [
        marked("one", [0, 0, 1], classes=["a", "b", "c"]),
        marked("two", [1, 0, 2, 2], seed=1, classes=["c", "a", "d"]),
        marked("three", [2, 1], seed=2, classes=["e", "b"]),
    ]
    learner = learner_of(Signs())
    for count, task in enumerate(tasks, start=1):
        learner.learn(task, evaluate=False)
        learner.evaluate(tasks)
        row = learner.routed.values[count]
        assert row[:count].tolist() == pytest.approx([right(learner, each) for each in tasks[:count]])
        assert np.isnan(row[count:]).all(), "a task that was not learned can't be chosen"
        for position, each in enumerate(tasks[:count]):
            assert each.test is not None
            told = learner.predict(each.test.x, each.name).tolist()
            wanted = [each.classes[i] for i in each.test.y.tolist()]
            assert learner.matrix.values[count, position] == pytest.approx(np.mean([a == b for a, b in zip(told, wanted, strict=True)]))
    assert learner.routed.tasks == learner.matrix.tasks
    assert 0 < learner.routed.accuracy < learner.matrix.accuracy


def test_a_wrong_task_that_names_the_right_class_counts_as_right() -> None:
    """Both tasks are the same blobs in the same classes, whose order differs; all inputs are sent to the other task."""
    first, again = marked("one", [1], classes=["a", "b", "c"]), marked("two", [0], classes=["c", "b", "a"])
    y = torch.tensor([2, 1, 0])[first.train.y]
    second = Task("two", (again.train.x, y), (again.train.x, y), classes=["c", "b", "a"])
    learner = learned(learner_of(Signs(), epochs=20), [first, second])
    learner.evaluate([first, second])
    assert learner.chosen == {"one": {"two": 60}, "two": {"one": 60}}
    assert learner.matrix.accuracy > 0.9
    assert learner.routed.values[2].tolist() == pytest.approx([right(learner, first), right(learner, second)])
    assert learner.routed.accuracy > 0.9


def test_chosen_counts_which_task_the_test_inputs_were_taken_for() -> None:
    tasks = [marked("one", [0, 0, 1]), marked("two", [1, 0, 2, 2], seed=1), marked("three", [2], seed=2)]
    learner = learner_of(Signs())
    learner.learn(tasks[0])
    assert learner.chosen == {"one": {"one": 60}}, "there is no other yet"
    for task in tasks[1:]:
        learner.learn(task)
    assert learner.chosen["one"] == {"one": 60}, "as when it was last evaluated"
    learner.evaluate(tasks)
    assert learner.chosen == {"one": {"one": 40, "two": 20}, "two": {"one": 15, "two": 15, "three": 30}, "three": {"three": 60}}


def test_a_task_that_is_watched_while_it_is_learned_is_not_routed() -> None:
    tasks = [marked("one", [0, 0, 1]), marked("two", [1, 0, 2, 2], seed=1)]
    learner = learner_of(Signs(), steps=4)
    for task in tasks:
        learner.learn(task, watch=tasks[:1] if task is tasks[0] else tasks, watch_every=2, evaluate=False)
    assert [sorted(each["accuracy"]) for each in learner.watched] == [["one"]] * 2 + [["one", "two"]] * 2
    assert learner.chosen == {}
    assert learner.routed.values.size == 0


def test_without_routing_nothing_is_measured_of_it() -> None:
    learner = learned(learner_of(), [marked("one", [0]), marked("two", [1], seed=1)])
    assert learner.routed.values.size == 0
    assert learner.chosen == {}


def test_a_method_that_predicts_is_the_one_that_routed_inputs_are_predicted_with() -> None:
    tasks = [marked("one", [0, 1]), marked("two", [1, 0], seed=1)]
    learner = learned(learner_of(Independent(), Signs()), tasks)
    learner.evaluate(tasks)
    assert learner.routed.values[2].tolist() == pytest.approx([right(learner, task) for task in tasks])


class OnDisk(Dataset[tuple[Tensor, Any]]):
    def __init__(self, x: Tensor, labels: list[Any]) -> None:
        self.x, self.targets = x, labels

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Any]:
        return self.x[i], self.targets[i]


def test_a_test_set_that_is_a_dataset_is_measured_alike() -> None:
    tasks = [marked("one", [0, 1]), marked("two", [1, 0, 0], seed=1)]
    learner = learned(learner_of(Signs()), tasks)
    before = learner.evaluate(tasks), learner.routed.values.copy()
    labels = [[task.classes[i] for i in task.train.y.tolist()] for task in tasks]
    read = [Task(t.name, (t.train.x, names), OnDisk(t.train.x, names), classes=t.classes) for t, names in zip(tasks, labels, strict=True)]
    learner.evaluate(read)
    assert np.array_equal(learner.routed.values, before[1], equal_nan=True)


# Keeping


def test_routed_and_chosen_are_saved(tmp_path: Path) -> None:
    tasks = [marked("one", [0, 1]), marked("two", [1, 0, 0], seed=1)]
    learner = learned(learner_of(Signs()), tasks)
    learner.evaluate(tasks)
    learner.save(tmp_path)
    again = Learner.open(tmp_path, model=Marked(), methods=[Signs()])
    assert np.array_equal(again.routed.values, learner.routed.values, equal_nan=True)
    assert again.routed.tasks == learner.routed.tasks
    assert again.chosen == learner.chosen
    assert again.predict(tasks[0].train.x).tolist() == learner.predict(tasks[0].train.x).tolist()


def test_a_task_that_fails_leaves_them_as_they_were() -> None:
    tasks = [marked("one", [0, 1]), marked("two", [1, 0, 0], seed=1)]
    learner = learned(learner_of(Signs()), tasks[:1])
    before = learner.routed.values.copy(), dict(learner.chosen)
    with pytest.raises(NonFiniteError):
        learner.learn(tasks[1], optimizer=sgd(1e30))
    assert np.array_equal(learner.routed.values, before[0], equal_nan=True)
    assert learner.chosen == before[1]
    assert learner.predict_task(tasks[1].train.x).tolist() == ["one"] * 60
