"""Which outputs a learner has, which of them were learned, and which compete: declared classes, learned rows, the matrix `told`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifelong as ll
from lifelong.errors import NonFiniteError, ScenarioError, TaskError
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, LwF, Replay
from lifelong.models import MLP
from lifelong.tasks import Name, Scenario, Task
from lifelong.testing.comparing import bits, differing, learned
from toys import FEATURES, AfterStep, blobs, same, sgd, weights

DECLARED = ["d", "a", "c", "b"]
FIRST, SECOND = blobs("first", classes=["a", "b"]), blobs("second", seed=1, classes=["c", "d"])


def declared(*methods: Method, names: Sequence[Name] = DECLARED, **arguments: Any) -> Learner:
    return Learner(MLP(FEATURES, [5]), methods, classes=names, **{"batch_size": 20, **arguments})


def layer_of(learner: Learner, head: int = 0) -> nn.Linear:
    layer = learner.heads.layers[head]
    assert isinstance(layer, nn.Linear)
    return layer


# Declared classes


def test_declared_classes_have_outputs_from_the_start_in_their_order() -> None:
    one = declared()
    one.learn(FIRST)
    assert one.heads.classes == [DECLARED]
    assert one.classes_of() == DECLARED
    assert one.classes == ["a", "b"], "those that were learned"
    one.learn(SECOND)
    assert one.heads.classes == [DECLARED]
    assert one.classes == DECLARED
    one.learn(blobs("third", seed=2, classes=["b", "e"]))
    assert one.classes == [*DECLARED, "e"], "one that was not declared comes with its task"


def test_their_weights_are_those_that_they_would_come_with() -> None:
    """A row depends on seed and name; and a learner that was not told knows the same rows."""
    one, other = declared(optimizer=sgd(0.0)), Learner(MLP(FEATURES, [5]), optimizer=sgd(0.0))
    learned(one, [FIRST])
    learned(other, [FIRST, SECOND])
    rows = other.heads.rows(0, DECLARED)
    assert torch.equal(layer_of(one).weight, layer_of(other).weight[rows])
    assert torch.equal(layer_of(one).bias, layer_of(other).bias[rows])


def test_they_compete_in_training() -> None:
    """By hand: the softmax is over all four outputs from the first step on."""
    one = declared(batch_size=60, epochs=3)
    features, head = MLP(FEATURES, [5]), nn.Linear(5, 4)
    head.load_state_dict(layer_of(learned(declared(optimizer=sgd(0.0)), [FIRST])).state_dict())
    network = nn.Sequential(features, head)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    labels = torch.tensor([DECLARED.index(str(FIRST.classes[y])) for y in FIRST.train.y.tolist()])
    for _ in range(3):
        optimizer.zero_grad()
        cross_entropy(network(FIRST.train.x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    one.learn(FIRST)
    assert torch.allclose(layer_of(one).weight, head.weight, atol=1e-6)
    assert torch.allclose(layer_of(one).bias, head.bias, atol=1e-6)


def test_they_are_never_predicted_before_a_task_brings_them() -> None:
    one = declared()
    one.learn(FIRST)
    with torch.no_grad():
        layer_of(one).bias.add_(torch.tensor([100.0, 0, 100, 0]))  # of d and c
    x = torch.randn(30, FEATURES, generator=torch.Generator().manual_seed(0))
    shares = one.predict_proba(x)
    assert not shares[:, [0, 2]].any()
    assert torch.allclose(shares.sum(1), torch.ones(30))
    assert set(one.predict(x)) <= {"a", "b"}
    assert one.evaluate([FIRST]).values[1, 0] > 0.4, "nor do they count as wrong answers"
    one.learn(SECOND, steps=1)
    assert set(one.predict(x)) <= {"c", "d"}


def test_they_are_never_predicted_by_a_method_either() -> None:
    class Last(Method):
        """For whatever comes last in the order of outputs."""

        def predict(self, learner: Learner, x: Tensor, task: str | None) -> Tensor:
            return torch.arange(4.0).expand(len(x), 4)

    one = declared(Last(), names=["a", "b", "c", "d"])
    one.learn(FIRST)
    assert one.predict(FIRST.train.x).tolist() == ["b"] * 60
    assert one.evaluate([FIRST]).values[1, 0] == 0.5
    one.learn(SECOND)
    assert one.predict(FIRST.train.x).tolist() == ["d"] * 60


def test_what_no_task_brought_has_no_accuracy() -> None:
    one = declared()
    tasks = [FIRST, SECOND, blobs("mixed", seed=2, classes=["a", "c"])]
    assert np.isnan(one.evaluate(tasks).values).all()
    one.learn(FIRST)
    one.evaluate(tasks)
    for matrix in (one.matrix, one.told):
        assert np.isnan(matrix.values[1]).tolist() == [False, True, True]
    one.learn(SECOND)
    one.evaluate(tasks)
    for matrix in (one.matrix, one.told):
        assert not np.isnan(matrix.values[2]).any()
        assert np.isnan(matrix.values[0]).all()


def test_before_any_task_there_is_nothing_to_predict() -> None:
    """Even when evaluate has made the head."""
    for one in (declared(), Learner(MLP(FEATURES, [5]))):
        one.evaluate([FIRST])
        assert one.classes == []
        for ask in (one.predict, one.predict_proba):
            with pytest.raises(TaskError, match=r"has not learned anything yet, so it has no head; call learn\(task\) first"):
                ask(FIRST.train.x)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("evaluated", [True, False])
def test_they_are_saved_before_and_between_tasks(count: int, evaluated: bool, tmp_path: Path) -> None:
    tasks = [FIRST, SECOND, blobs("third", seed=2, classes=["e", "a"])]
    one = declared(EWC(examples=10), LwF(), optimizer=sgd(0.1, momentum=0.9))
    learned(one, tasks[:count])
    if evaluated:
        one.evaluate(tasks)
    one.save(tmp_path)
    opened = Learner.open(tmp_path)
    assert opened.journal == one.journal
    assert opened.classes == one.classes
    for each in (one, opened):
        learned(each, tasks[count:])
    assert opened.journal == one.journal
    assert differing(bits(one), bits(opened)) == []
    assert one.heads.classes == [[*DECLARED, "e"]]


def test_a_task_that_failed_brought_nothing() -> None:
    one = declared()
    one.learn(FIRST)
    journal, names = list(one.journal), one.classes
    with pytest.raises(NonFiniteError):
        one.learn(SECOND, optimizer=sgd(1e30), epochs=10)
    assert (one.journal, one.classes) == (journal, names)
    assert set(one.predict(SECOND.train.x)) <= {"a", "b"}
    one.learn(SECOND)
    assert one.classes == DECLARED


@pytest.mark.parametrize("scenario", ["domain", "task"])
def test_only_the_class_scenario_declares(scenario: Scenario) -> None:
    with pytest.raises(ScenarioError) as caught:
        Learner(MLP(FEATURES, [5]), scenario=scenario, classes=["a"])
    assert str(caught.value) == ("classes declares outputs for the scenario 'class' and a network that was not adopted; leave it out")


def test_declarations_that_are_wrong() -> None:
    adopted = ll.adopt(nn.Sequential(nn.Linear(FEATURES, 2)), classes=["a", "b"])
    with pytest.raises(ScenarioError, match="for the scenario 'class' and a network that was not adopted; leave it out"):
        Learner(adopted, classes=["a", "b"])
    with pytest.raises(TaskError, match=r"classes \['a', 'a'\] must be at least one name, each once"):
        declared(names=["a", "a"])
    with pytest.raises(TaskError, match="class 0.5 is of type float; class names are strings or integers"):
        declared(names=[0.5])  # type: ignore[list-item]


def test_the_list_that_declares_stays_the_callers() -> None:
    names: list[Name] = list(DECLARED)
    one = declared(names=names)
    names.append("z")
    one.learn(blobs("first", classes=["e"]))
    assert one.heads.classes == [[*DECLARED, "e"]]


# The rows that were learned before the current task


Rows = list[list[list[int]]]


def watching(model: nn.Module, **arguments: Any) -> tuple[Learner, Rows]:
    """A learner that takes one step a task, and what `learned_rows` says then of every head."""
    found: Rows = []
    note = AfterStep(lambda learner: found.append([learner.learned_rows(head) for head in range(len(learner.heads.layers))]))
    return Learner(model, [note], steps=1, **arguments), found


@pytest.mark.parametrize(
    ("scenario", "classes", "expected"),
    [
        ("class", ["ab", "cde", "f"], [[[]], [[0, 1]], [[0, 1, 2, 3, 4]]]),
        ("class", ["ab", "bc", "ca"], [[[]], [[0, 1]], [[0, 1, 2]]]),  # classes that come again
        ("domain", ["ab", "ab", "ba"], [[[]], [[0, 1]], [[0, 1]]]),
        ("task", ["ab", "cde", "ab"], [[[]], [[0, 1], []], [[0, 1], [0, 1, 2], []]]),
    ],
)
def test_learned_rows(scenario: Scenario, classes: list[str], expected: Rows) -> None:
    one, found = watching(MLP(FEATURES, [5]), scenario=scenario)
    learned(one, [blobs(str(t), seed=t, classes=list(names)) for t, names in enumerate(classes)])
    assert found == expected
    every = [list(range(len(names))) for names in one.heads.classes]
    assert [one.learned_rows(head) for head in range(len(every))] == every, "between tasks all of them"


def test_learned_rows_of_declared_classes() -> None:
    one, found = watching(MLP(FEATURES, [5]), classes=DECLARED)
    learned(one, [FIRST, SECOND])
    assert found == [[[]], [[1, 3]]]
    assert one.learned_rows(0) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("scenario", "classes", "expected"),
    [("domain", ["ab", "ba"], [[[0, 1]], [[0, 1]]]), ("class", ["cd", "ae"], [[[0, 1]], [[0, 1, 2, 3]]])],
)
def test_learned_rows_of_an_adopted_classifier(scenario: Scenario, classes: list[str], expected: Rows) -> None:
    """It knew its classes before."""
    adopted = ll.adopt(nn.Sequential(nn.Linear(FEATURES, 5), nn.ReLU(), nn.Linear(5, 2)), classes=["a", "b"])
    one, found = watching(adopted, scenario=scenario)
    assert one.learned_rows(0) == [0, 1]
    learned(one, [blobs(str(t), seed=t, classes=list(names)) for t, names in enumerate(classes)])
    assert found == expected


def test_learned_rows_after_opening(tmp_path: Path) -> None:
    one = declared()
    one.learn(FIRST)
    one.save(tmp_path)
    assert Learner.open(tmp_path).learned_rows(0) == one.learned_rows(0) == [1, 3]


# Told the task


def brute_force(learner: Learner, task: Task, sign: float = 1.0) -> float:
    """The share of right answers when only the task's own classes compete, one example after the other."""
    assert task.test is not None
    names, right = learner.classes_of(), 0
    for x, y in zip(task.test.x, task.test.y.tolist(), strict=True):
        scores = dict(zip(names, (sign * learner.logits(x[None], None)[0]).tolist(), strict=True))
        right += max(task.classes, key=lambda name: scores[name]) == task.classes[y]
    return right / len(task.test)


class Backwards(Method):
    """Predicts what the network finds least likely."""

    def predict(self, learner: Learner, x: Tensor, task: str | None) -> Tensor:
        return -learner.logits(x, task)


@pytest.mark.parametrize("kind", ["network", "method", "declared"])
def test_told_is_the_best_of_the_tasks_own_classes(kind: str) -> None:
    tasks = [FIRST, SECOND, blobs("third", seed=2, classes=["e", "b", "f"])]
    methods: list[Method] = [Replay(capacity=10), *([Backwards()] if kind == "method" else [])]
    one = Learner(MLP(FEATURES, [5]), methods, classes=["f", *DECLARED, "e"] if kind == "declared" else ())
    for t, task in enumerate(tasks):
        one.learn(task)
        assert one.told.values[t + 1, t] == brute_force(one, task, -1 if kind == "method" else 1)
        one.evaluate(tasks[: t + 1])
        for j in range(t + 1):
            assert one.told.values[t + 1, j] == brute_force(one, tasks[j], -1 if kind == "method" else 1)
            assert one.told.values[t + 1, j] >= one.matrix.values[t + 1, j], "fewer answers compete"
    assert one.told.tasks == one.matrix.tasks == ("first", "second", "third")
    assert np.array_equal(np.isnan(one.told.values), np.isnan(one.matrix.values))
    assert (one.told.values[3] > one.matrix.values[3]).any()


def test_told_has_a_row_0_where_the_matrix_has() -> None:
    """Classes that were known before their task came: of the untrained network, and before the task."""
    again = blobs("again", seed=1, classes=["b", "a"])
    one = learned(Learner(MLP(FEATURES, [5])), [FIRST, again])
    untrained = learned(Learner(MLP(FEATURES, [5]), optimizer=sgd(0.0)), [FIRST])
    assert one.told.values[0, 1] == brute_force(untrained, again)
    only = learned(Learner(MLP(FEATURES, [5])), [FIRST])
    assert one.told.values[1, 1] == brute_force(only, again)


def test_told_is_saved_and_goes_on(tmp_path: Path) -> None:
    one = learned(Learner(MLP(FEATURES, [5])), [FIRST])
    one.save(tmp_path)
    opened = Learner.open(tmp_path)
    assert opened.told == one.told
    for each in (one, opened):
        learned(each, [SECOND]).evaluate([FIRST, SECOND])
    assert opened.told == one.told
    assert one.told.values.shape == (3, 2)


def test_told_is_undone_with_a_task_that_failed() -> None:
    one = learned(Learner(MLP(FEATURES, [5])), [FIRST])
    told = one.told
    with pytest.raises(NonFiniteError):
        one.learn(blobs("again", classes=["a", "b"]), optimizer=sgd(1e30), epochs=10)
    assert one.told == told


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_told_is_empty_where_it_would_say_nothing(scenario: Scenario) -> None:
    one = learned(Learner(MLP(FEATURES, [5]), scenario=scenario), [FIRST, blobs("again", seed=1, classes=["a", "b"])])
    one.evaluate([FIRST])
    assert one.told.tasks == ()
    assert one.told.values.shape == (1, 0)


def test_asking_changes_nothing() -> None:
    one = learned(declared(Replay(capacity=10)), [FIRST])
    before = weights(one.network)
    one.evaluate([FIRST, SECOND])
    one.predict_proba(FIRST.train.x)
    assert same(weights(one.network), before)
