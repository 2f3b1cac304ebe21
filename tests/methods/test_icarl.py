import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lifelong.errors import MethodError, ScenarioError
from lifelong.herding import herd
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import DER, ICaRL, LwF, Replay
from lifelong.models import MLP, ConvNet, adopt
from lifelong.models.heads import Network
from lifelong.tasks import Batch, Name, Task
from lifelong.testing.comparing import bits, die_at_checkpoint, learned, require_same
from lifelong.testing.data import image_tasks, vector_tasks
from toys import FEATURES, blobs, sgd


def tasks_of(count: int, size: int = 60) -> list[Task]:
    """Two classes a task, each with names of its own."""
    return [blobs(f"task {t}", seed=t, size=size, classes=[f"{t}a", f"{t}b"]) for t in range(count)]


def fresh(*methods: Method, model: nn.Module | None = None, **settings: Any) -> Learner:
    return Learner(model or MLP(FEATURES, [16]), methods, "class", **{"optimizer": sgd(), "batch_size": 8, **settings})


def icarl_of(learner: Learner) -> ICaRL:
    return next(method for method in learner.methods if isinstance(method, ICaRL))


def phi(learner: Learner, x: Tensor) -> Tensor:
    with torch.no_grad():
        return normalize(learner.network.features(x))


def exemplars(learner: Learner) -> dict[Name, Tensor]:
    method = icarl_of(learner)
    return {name: method.x[method.y == row] for row, name in enumerate(learner.heads.classes[0])}


# The loss


class Follows(Method):
    """Keeps what each step's loss was made of; to stand after iCaRL in the list."""

    def begin_task(self, learner: Learner, task: Task) -> None:
        self.__dict__["teacher"] = copy.deepcopy(learner.network).eval()
        self.__dict__["steps"] = []

    def loss(self, learner: Learner, batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        self.__dict__["steps"].append((batch, output.detach().clone(), loss.detach().clone()))
        return loss


def by_hand(batch: Batch, output: Tensor, teacher: Network, old: int) -> Tensor:
    """The paper's equation, example by example and class by class, with a mean where it has sums."""
    with torch.no_grad():
        q = teacher(batch.x).sigmoid()
    g, terms = output.sigmoid(), []
    for i, label in enumerate(batch.y.tolist()):
        each = []
        for c in range(output.shape[1]):
            target = float(q[i, c]) if c < old else float(c == label)
            each.append(-(target * g[i, c].log() + (1 - target) * (1 - g[i, c]).log()))
        terms.append(torch.stack(each).mean())
    share = torch.full((len(batch),), 1 / len(batch)) if batch.weight is None else batch.weight
    return torch.stack(terms) @ share


@pytest.mark.parametrize("others", [[], [DER(capacity=20, beta=0.5)]], ids=["alone", "with a batch that has weights"])
def test_the_loss_is_the_papers_equation(others: list[Method]) -> None:
    learner = fresh(ICaRL(capacity=12), Follows(), *others)
    for old, task in zip((0, 2, 4), tasks_of(3), strict=True):
        learner.learn(task)
        watched = learner.methods[1]
        assert len(watched.steps) == len(range(0, 60 + (12 if old else 0), 8))
        for batch, output, loss in watched.steps:
            assert output.shape[1] == old + 2
            assert torch.allclose(by_hand(batch, output, watched.teacher, old), loss, atol=1e-6)
    assert any(batch.weight is not None for batch, _, _ in watched.steps) == bool(others)


def test_it_trains_on_the_tasks_examples_and_all_exemplars_once_a_pass() -> None:
    learner, tasks = fresh(ICaRL(capacity=10), Follows()), tasks_of(2)
    learner.learn(tasks[0])
    kept = torch.cat(list(exemplars(learner).values()))
    learner.learn(tasks[1])
    seen = torch.cat([batch.x for batch, _, _ in learner.methods[1].steps])
    expected = torch.cat([tasks[1].train.x, kept])
    assert len(kept) == 10
    assert torch.equal(seen[seen[:, 0].argsort()], expected[expected[:, 0].argsort()])


def test_classes_declared_beforehand_are_told_no_until_they_come() -> None:
    learner = fresh(ICaRL(capacity=12), Follows(), classes=["0a", "0b", "1a", "1b", "2a", "2b"])
    for old, task in zip((0, 2), tasks_of(2), strict=True):
        learner.learn(task)
        for batch, output, loss in learner.methods[1].steps:
            assert output.shape[1] == 6
            assert torch.allclose(by_hand(batch, output, learner.methods[1].teacher, old), loss, atol=1e-6)
    assert {name: len(x) for name, x in exemplars(learner).items()} == {"0a": 3, "0b": 3, "1a": 3, "1b": 3, "2a": 0, "2b": 0}
    assert set(learner.predict(torch.randn(200, FEATURES, generator=torch.Generator().manual_seed(0)))) <= {"0a", "0b", "1a", "1b"}


# The exemplars


def test_the_classes_share_the_capacity_and_keep_their_first_exemplars() -> None:
    learner, before = fresh(ICaRL(capacity=20)), {}
    for t, task in enumerate(tasks_of(4)):
        learner.learn(task)
        kept, share = exemplars(learner), 20 // (2 * t + 2)
        assert {name: len(x) for name, x in kept.items()} == dict.fromkeys(learner.classes, share)
        assert all(torch.equal(x[:share], kept[name]) for name, x in before.items())
        for position, name in enumerate(task.classes):
            own = task.train.x[task.train.y == position]
            assert torch.equal(kept[name], own[herd(phi(learner, own), share)])
        assert icarl_of(learner).x.shape == (20, FEATURES)
        assert learner.kept_bytes() == 20 * (4 * FEATURES + 8)
        before = kept


def test_a_small_class_keeps_all_that_it_has() -> None:
    x = torch.randn(33, FEATURES, generator=torch.Generator().manual_seed(0))
    learner = fresh(ICaRL(capacity=20))
    learner.learn(Task("uneven", train=(x, ["many"] * 30 + ["few"] * 3), classes=["many", "few", "none"]))
    assert [len(x) for x in exemplars(learner).values()] == [6, 3, 0]
    assert "none" not in learner.predict(x)


def test_a_class_that_comes_again_learns_from_labels_and_chooses_from_old_and_new_exemplars() -> None:
    first, second = blobs("first", seed=0, classes=["a", "b"]), blobs("second", seed=1, classes=["b", "c"])
    learner = fresh(ICaRL(capacity=12), Follows())
    learner.learn(first)
    before = exemplars(learner)
    learner.learn(second)
    for batch, output, loss in learner.methods[1].steps:
        assert torch.allclose(by_hand(batch, output, learner.methods[1].teacher, 1), loss, atol=1e-6)
    own = torch.cat([before["b"], second.train.x[second.train.y == 0]])
    kept = exemplars(learner)
    assert torch.equal(kept["b"], own[herd(phi(learner, own), 4)])
    assert torch.equal(kept["a"], before["a"][:4])


# Predicting


def test_the_nearest_mean_of_exemplars_is_predicted() -> None:
    learner, tasks = fresh(ICaRL(capacity=20)), tasks_of(3)
    learned(learner, tasks)
    x = torch.cat([task.test.x for task in tasks if task.test is not None])
    means = torch.stack([normalize(phi(learner, each).mean(0), dim=0) for each in exemplars(learner).values()])
    distances = torch.stack([(phi(learner, x) - mean).square().sum(1) for mean in means], 1)
    scores = icarl_of(learner).predict(learner, x, None)
    assert torch.allclose(scores, -distances, atol=1e-5)
    assert learner.predict(x).tolist() == [learner.classes[i] for i in distances.argmin(1).tolist()]
    assert torch.allclose(learner.predict_proba(x), (-distances).softmax(1), atol=1e-5)


def test_in_the_first_task_the_outputs_predict_and_in_a_later_one_its_own_classes_are_not_predicted() -> None:
    first, second = tasks_of(2)
    learner = fresh(ICaRL(capacity=20))
    learner.learn(first, watch=[first], watch_every=4)
    assert all(0 <= each["accuracy"]["task 0"] <= 1 for each in learner.watched)
    learner.learn(second, watch=[first, second], watch_every=4)
    inside = [each["accuracy"] for each in learner.watched if each["during"] == 2]
    assert {accuracy["task 1"] for accuracy in inside} == {0.0}
    assert min(accuracy["task 0"] for accuracy in inside) > 0.5
    assert learner.evaluate([second]).values[2, 1] > 0.5


def test_means_follow_the_weights_while_they_move() -> None:
    first, second = tasks_of(2)

    class Compares(Method):
        def after_step(self, learner: Learner) -> None:
            scores = icarl_of(learner).predict(learner, second.train.x, None)
            again = copy.deepcopy(icarl_of(learner))
            again.restore(again.state())  # with nothing computed before
            assert torch.equal(scores, again.predict(learner, second.train.x, None))

    learned(fresh(ICaRL(capacity=20), Compares()), [first, second])


def test_opened_between_tasks_and_inside_one_it_predicts_the_same(tmp_path: Path) -> None:
    first, second = tasks_of(2)
    learner = fresh(ICaRL(capacity=20))
    learner.learn(first)
    learner.save(tmp_path / "between")
    assert torch.equal(Learner.open(tmp_path / "between").predict_proba(second.train.x), learner.predict_proba(second.train.x))
    die_at_checkpoint(learner, second, tmp_path / "inside", 3)
    opened = Learner.open(tmp_path / "inside")
    assert set(opened.predict(second.train.x)) <= {"0a", "0b"}
    opened.learn(second)
    whole = learned(fresh(ICaRL(capacity=20)), [first, second])
    require_same(bits(whole), bits(opened), "the learner that never stopped and the one that went on")
    assert torch.equal(opened.predict_proba(second.train.x), whole.predict_proba(second.train.x))


def test_it_remembers_what_finetuning_forgets() -> None:
    tasks = vector_tasks(3, 0, scenario="class")
    accuracies = [
        learned(Learner(MLP(12, [64]), methods, "class", epochs=6, batch_size=16), tasks).evaluate(tasks).accuracy
        for methods in ([], [ICaRL(capacity=60)])
    ]
    assert accuracies[0] < 0.6
    assert accuracies[1] > 0.9


def test_it_takes_the_features_of_a_convolutional_network() -> None:
    tasks = image_tasks(2, "class")
    learner = fresh(ICaRL(capacity=18), model=ConvNet(1, [4, 8]), epochs=8)
    assert learned(learner, tasks).evaluate(tasks).accuracy > 0.8
    assert icarl_of(learner).x.shape == (18, 1, 8, 8)


# Adopted classifiers


def test_an_adopted_classifier_goes_on_when_its_first_task_has_examples_of_its_classes() -> None:
    learner = fresh(ICaRL(capacity=20), model=adopt(nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 2)), ["a", "b"]))
    x = torch.randn(5, FEATURES, generator=torch.Generator().manual_seed(0))
    assert set(learner.predict(x)) <= {"a", "b"}
    with pytest.raises(ScenarioError, match=r"no exemplars of the classes \['b'\], which were adopted.*let the first task have examples"):
        learner.learn(blobs(classes=["a", "c"]))
    learner.learn(blobs(classes=["a", "b", "c"]))
    assert {name: len(x) for name, x in exemplars(learner).items()} == {"a": 6, "b": 6, "c": 6}


# Refusals


@pytest.mark.parametrize("capacity", [-1, 2.5, None, "2000"])
def test_a_capacity_that_is_no_number_of_examples_is_refused(capacity: Any) -> None:
    with pytest.raises(MethodError, match="capacity is .*; expected a number of examples, an integer >= 0, where 0 switches it off"):
        ICaRL(capacity=capacity)


def test_too_small_a_capacity_is_refused_before_the_task_and_leaves_what_was_learned() -> None:
    first, second = tasks_of(2)
    learner = fresh(ICaRL(capacity=3))
    learner.learn(first)
    before = bits(learner)
    with pytest.raises(MethodError, match="capacity 3 is not enough for an exemplar of each of 4 classes, those of task 'task 1' counted"):
        learner.learn(second)
    require_same(before, bits(learner), "the learner before and after")


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_other_scenarios_are_refused(scenario: Any) -> None:
    learner = Learner(MLP(FEATURES, [8]), [ICaRL(capacity=20)], scenario)
    with pytest.raises(ScenarioError, match=f"the scenario is '{scenario}'; use scenario='class', or LwF or Replay"):
        learner.learn(blobs())


def test_a_term_that_would_be_lost_is_refused() -> None:
    with pytest.raises(MethodError, match="iCaRL replaces the loss, and the term that LwF adds to it would be lost; put ICaRL first"):
        fresh(LwF(), ICaRL(capacity=20)).learn(blobs())
    learned(fresh(ICaRL(capacity=20), LwF(), Replay(capacity=10)), tasks_of(2))
