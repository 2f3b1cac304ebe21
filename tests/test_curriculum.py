import functools
import itertools
import json
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lifelong import curriculum, matrix
from lifelong import recipe as recipes
from lifelong.curriculum import accuracy_of_orders, best_order, measured_transfer, predicted_accuracy
from lifelong.curriculum_digits import VIEWS, digit_tasks, fine_tuned, run
from lifelong.errors import TaskError
from lifelong.learner import Learner
from lifelong.matrix import MatrixError
from lifelong.method import Method
from lifelong.methods import EWC, Replay
from lifelong.models import MLP
from lifelong.streams import noisy_mnist
from lifelong.tasks import Examples, Task
from toys import FEATURES, blobs, everything, same, sgd, weights

needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "mnist").is_dir(),
    reason="full MNIST not found: set LIFELONG_DATA to its parent folder",
)


def small(*methods: Method, **settings: Any) -> Learner:
    return Learner(MLP(FEATURES, [12]), methods, **{"scenario": "domain", "optimizer": sgd(), "epochs": 3, **settings})


def three() -> list[Task]:
    return [blobs(name, seed=seed) for seed, name in enumerate(("a", "b", "c"))]


def exactly(transfer: Any, order: tuple[int, ...]) -> Fraction:
    """The objective as its formula reads, in fractions."""
    rows = [sum(Fraction(transfer[i][j]) for j in order[: k + 1]) / (k + 1) for k, i in enumerate(order)]
    return sum(rows, Fraction(0)) / len(order)


# The objective and the search.


def test_the_objective_worked_by_hand() -> None:
    transfer = [[0.9, 0.1, 0.5], [0.3, 0.8, 0.4], [0.6, 0.2, 0.7]]
    # order 2, 0, 1: task 2 alone; then after 0 what is left of 2, and 0; then after 1 what is left of 2 and of 0, and 1
    assert predicted_accuracy(transfer, (2, 0, 1)) == pytest.approx((0.7 + (0.5 + 0.9) / 2 + (0.4 + 0.3 + 0.8) / 3) / 3)
    assert predicted_accuracy(transfer, [0, 1, 2]) == pytest.approx((0.9 + (0.3 + 0.8) / 2 + (0.6 + 0.2 + 0.7) / 3) / 3)


def test_the_objective_is_the_matrixs_measure_where_the_last_task_decides() -> None:
    generator = np.random.default_rng(0)
    for order in itertools.permutations(range(4)):
        transfer = generator.random((4, 4))
        r = np.full((5, 4), np.nan)
        for k, last in enumerate(order):
            r[k + 1, : k + 1] = [transfer[last, earlier] for earlier in order[: k + 1]]
        assert predicted_accuracy(transfer, order) == pytest.approx(matrix.average_incremental_accuracy(r), abs=1e-12)


@pytest.mark.parametrize("tasks", range(1, 7))
def test_the_best_order_is_the_first_of_the_best_of_all(tasks: int) -> None:
    generator = np.random.default_rng(tasks)
    for repetition in range(12):
        # few different values, and so many ties, in every other matrix
        transfer = generator.integers(0, 3, (tasks, tasks)) / 2 if repetition % 2 else generator.random((tasks, tasks))
        every = list(itertools.permutations(range(tasks)))
        best = max(exactly(transfer, order) for order in every)
        assert best_order(transfer) == next(order for order in every if exactly(transfer, order) == best)


def test_sums_that_differ_by_rounding_only_are_ties() -> None:
    third = [[0.1 + 0.2, 0.7, 0.7], [0.7, 0.3, 0.7], [0.7, 0.7, 0.3]]  # 0.1 + 0.2 is not quite 0.3
    assert best_order(third) == best_order([[0.3, 0.7, 0.7], [0.7, 0.1 + 0.2, 0.7], [0.7, 0.7, 0.3]]) == (0, 1, 2)


def test_a_task_that_spoils_and_is_spoilt_goes_last_and_one_like_others_before_it() -> None:
    clean, rotated, inverted = 0, 1, 2
    assert best_order([[0.9, 0.5, 0.1], [0.6, 0.8, 0.1], [0.1, 0.1, 0.9]])[-1] == inverted
    assert best_order([[0.9, 0.2], [0.8, 0.9]]) == (clean, rotated)


def test_many_tasks_are_ordered_greedily() -> None:
    count = curriculum.EXACT + 1
    assert best_order(np.eye(count)) == tuple(range(count))
    transfer = np.random.default_rng(1).random((count, count))
    order = best_order(transfer)
    assert sorted(order) == list(range(count))
    for k in range(count):
        rows = [np.mean([transfer[i, j] for j in (*order[:k], i)]) for i in order[k:]]
        assert rows[0] == max(rows)


def test_the_most_tasks_that_are_searched_exactly() -> None:
    count = curriculum.EXACT
    # each task keeps those with smaller numbers, and nothing else: only one order loses nothing
    order = best_order(np.tril(np.ones((count, count))))
    assert order == tuple(range(count))


@pytest.mark.parametrize("transfer", [[[0.5, 0.5]], [], [0.5], np.zeros((2, 2, 2))])
def test_transfer_is_square(transfer: Any) -> None:
    with pytest.raises(MatrixError, match=r"transfer needs shape \(tasks, tasks\); got shape \("):
        best_order(transfer)


def test_transfer_has_a_number_for_every_pair() -> None:
    for function in (best_order, functools.partial(predicted_accuracy, order=(0, 1))):
        with pytest.raises(MatrixError, match=r"transfer\[1, 0\] is nan; expected a number for every pair, as measured_transfer"):
            function([[0.5, 0.5], [np.nan, 0.5]])


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1), (1, 2, 3), ()])
def test_an_order_has_every_task_once(order: tuple[int, ...]) -> None:
    message = r"is no order of 3 tasks; expected each position from 0 to 2 once"
    with pytest.raises(TaskError, match=message):
        predicted_accuracy(np.eye(3), order)
    with pytest.raises(TaskError, match=message):
        accuracy_of_orders(small(), three(), [(0, 1, 2), order])


# What is measured.


def signs(name: str, *, swapped: bool = False, seed: int = 0) -> Task:
    x = torch.randn(200, FEATURES, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] > 0).long()
    return Task(name, (x, 1 - y if swapped else y), classes=(0, 1))


def test_a_copy_transfers_fully_and_swapped_labels_the_other_way() -> None:
    tasks = [signs("one"), signs("copy", seed=1), signs("swapped", swapped=True, seed=2)]
    transfer = measured_transfer(small(epochs=15), tasks, held_out=0.5)
    own = np.diag(transfer)
    assert (own > 0.85).all()
    for i, j in ((0, 1), (1, 0)):
        assert transfer[i, j] >= own[j] - 0.05
    for i, j in ((0, 2), (1, 2), (2, 0), (2, 1)):
        assert transfer[i, j] < 0.2
    assert best_order(transfer)[-1] == 2


def test_transfer_is_the_matrix_r_of_each_pair() -> None:
    tasks = three()
    transfer = measured_transfer(small(), tasks, held_out=0.5, seed=3)
    for i, j in itertools.permutations(range(3), 2):
        parts = {k: curriculum._parted(tasks[k], 0.5, 3) for k in (i, j)}
        learner = small()
        for k in (j, i):
            learner.learn(parts[k])
        r = learner.evaluate([parts[j], parts[i]]).values
        assert (transfer[j, j], transfer[i, j]) == (r[1, 0], r[2, 0])


class Recorded(Examples):
    """Counts how often each example is taken."""

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples.x, examples.y, examples.transform)
        self.taken: Counter[int] = Counter()

    def take(self, positions: Tensor) -> Tensor:
        self.taken.update(positions.tolist())
        return super().take(positions)


def test_what_is_measured_on_is_not_learned_from() -> None:
    tasks = three()[:2]
    for task in tasks:
        task.train = Recorded(task.train)
    measured_transfer(small(epochs=5), tasks, held_out=0.3)
    for task in tasks:
        assert isinstance(task.train, Recorded)
        held = [position for position, times in task.train.taken.items() if times == 2]  # measured alone and after the other task
        assert len(held) == 18
        assert all(times >= 10 for position, times in task.train.taken.items() if position not in held)  # learned first and second
        assert len(task.train.taken) == 60


class Sealed:
    """A test set that can't be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test set was touched: {name}")

    def __len__(self) -> int:
        raise AssertionError("the test set was touched: its length")


def test_no_test_set_is_touched() -> None:
    tasks = three()
    expected = measured_transfer(small(), tasks)
    for task in tasks:
        task.test = Sealed()  # type: ignore[assignment]
    assert np.array_equal(measured_transfer(small(), tasks), expected)


def test_the_seed_and_the_names_decide_and_nothing_else() -> None:
    tasks = three()
    first = measured_transfer(small(), tasks, seed=1)
    assert np.array_equal(measured_transfer(small(), tasks, seed=1), first)
    assert not np.array_equal(measured_transfer(small(), tasks, seed=2), first)
    assert np.array_equal(measured_transfer(small(), tasks[::-1], seed=1), first[::-1, ::-1])


@pytest.mark.parametrize("methods", [[], [EWC(strength=10.0), Replay(capacity=20)]])
def test_learner_tasks_and_torchs_random_numbers_stay_as_they_are(methods: list[Method]) -> None:
    learner, tasks = small(*methods), three()
    model, order, state = weights(learner.model), learner.order.get_state(), torch.get_rng_state()
    before = [(task.train, task.train.x.clone(), task.train.y.clone(), task.test, task.classes) for task in tasks]
    measured_transfer(learner, tasks)
    accuracy_of_orders(learner, tasks, [(0, 1, 2), (0, 2, 1)])
    assert learner.tasks == []
    assert learner._network is None
    assert same(weights(learner.model), model)
    assert torch.equal(learner.order.get_state(), order)
    assert torch.equal(torch.get_rng_state(), state)
    for task, (train, x, y, test, classes) in zip(tasks, before, strict=True):
        assert (task.train, task.test, task.classes) == (train, test, classes)
        assert torch.equal(train.x, x)
        assert torch.equal(train.y, y)


def test_tasks_of_other_classes_in_the_scenarios_that_have_them() -> None:
    tasks = [blobs("a", seed=0, classes=(0, 1)), blobs("b", seed=1, classes=(2, 3))]
    one_head = measured_transfer(small(scenario="class", epochs=20), tasks)
    assert (np.diag(one_head) > 0.8).all()
    assert one_head[0, 1] == one_head[1, 0] == 0  # the last task's classes take over
    assert (measured_transfer(small(scenario="task", epochs=20), tasks) > 0.4).all()


@pytest.mark.parametrize("share", [0, 1, -0.5, 0.999, float("nan")])
def test_the_held_out_share(share: float) -> None:
    with pytest.raises(TaskError, match=rf"task 'a': held_out is {share} of 60 training examples; expected a share between 0 and 1"):
        measured_transfer(small(), three(), held_out=share)


def test_a_small_share_is_one_example() -> None:
    assert set(measured_transfer(small(), three(), held_out=0.001).flatten()) <= {0.0, 1.0}


def test_transfer_takes_two_tasks_of_different_names() -> None:
    with pytest.raises(TaskError, match="transfer is between tasks, and 1 was given; give at least two"):
        measured_transfer(small(), three()[:1])
    for function in (measured_transfer, functools.partial(accuracy_of_orders, orders=[(0, 1)])):
        with pytest.raises(TaskError, match="two tasks are both called 'a'; give each its own name"):
            function(small(), [blobs("a"), blobs("a", seed=1)])


def test_the_learner_is_a_new_one() -> None:
    learner, tasks = small(), three()
    learner.learn(blobs("earlier", seed=9))
    before = everything(learner)
    for function in (measured_transfer, functools.partial(accuracy_of_orders, orders=[(0, 1, 2)])):
        with pytest.raises(
            TaskError, match="compared from a learner that has learned nothing, and this one has learned 'earlier'; give a new"
        ):
            function(learner, tasks)
    assert same(everything(learner), before)


# Judging.


@pytest.mark.parametrize("methods", [[], [EWC(strength=10.0), Replay(capacity=20)]])
def test_shared_beginnings_change_no_number(methods: list[Method]) -> None:
    tasks = three()
    orders = list(itertools.permutations(range(3)))
    found = accuracy_of_orders(small(*methods), tasks, orders)
    assert list(found) == orders
    for order in orders:
        learner = small(*methods)
        for position in order:
            learner.learn(tasks[position])
            learner.evaluate([tasks[j] for j in order])
        assert found[order] == learner.matrix.average_incremental_accuracy
    assert len(set(found.values())) > 1


def test_only_the_orders_asked_for_are_learned() -> None:
    tasks = three()
    assert list(accuracy_of_orders(small(), tasks, iter([[2, 0, 1]]))) == [(2, 0, 1)]
    assert accuracy_of_orders(small(), tasks, []) == {}


def test_judging_needs_test_sets() -> None:
    tasks = [blobs("a"), signs("b")]
    with pytest.raises(TaskError, match="task 'b' has no test set to evaluate on"):
        accuracy_of_orders(small(), [tasks[0], tasks[1]], [(1, 0)])


# Five views of the digits, and the lecture's pair.


def test_the_five_tasks() -> None:
    tasks, other = digit_tasks(examples=30), digit_tasks(1, examples=30)
    assert [task.name for task in tasks] == list(VIEWS) == ["clean", "noisy", "very noisy", "rotated by 30°", "rotated by 60°"]
    for task, another in zip(tasks, other, strict=True):
        assert (len(task.train), task.classes) == (30, tuple(range(10)))
        assert task.train.x.shape == (30, 1, 28, 28)
        assert not torch.equal(task.train.x, another.train.x)
        assert task.test is not None
        assert torch.equal(task.test.y, tasks[0].test.y)  # type: ignore[union-attr]
    assert len({tuple(task.train.y.tolist()) for task in tasks}) == 5  # each draws its own examples
    tests = [task.test.x for task in tasks if task.test is not None]
    away = [float((x - tests[0]).square().mean()) for x in tests]
    assert 0 == away[0] < away[1] < away[2]
    assert 0 < away[3] < away[4]


@pytest.mark.parametrize("examples", [0, 4001])
def test_how_many_examples_there_are(examples: int) -> None:
    with pytest.raises(TaskError, match=f"examples is {examples}; expected 1 to 4000 of the embedded training digits"):
        digit_tasks(examples=examples)


@pytest.mark.parametrize("orders", [0, 121])
def test_how_many_orders_there_are(orders: int) -> None:
    with pytest.raises(TaskError, match=f"orders is {orders}; expected 1 to 120 random orders to compare with, or None for all"):
        run(orders=orders)


@pytest.mark.slow
def test_a_run_is_what_it_says() -> None:
    found = run(5, orders=3)
    again = run(5, orders=3)
    assert json.loads(json.dumps(found)) == found
    assert {key: value for key, value in found.items() if key != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}
    tasks, transfer = digit_tasks(5), np.array(found["transfer"])
    order = best_order(transfer)
    assert np.array_equal(measured_transfer(fine_tuned(5), tasks, seed=5), transfer)
    assert found["order"] == [found["tasks"][j] for j in order]
    assert found["predicted"] == predicted_accuracy(transfer, order)
    assert found["accuracy_of_found"] == accuracy_of_orders(fine_tuned(5), tasks, [order])[order]
    values = [each["value"] for each in found["accuracies_of_orders"]]
    assert len(values) == 3
    assert found["median"] == sorted(values)[1]
    assert found["rank"] == 1 + sum(value > found["accuracy_of_found"] for value in values)


@pytest.mark.slow
def test_the_order_found_beats_the_median_of_all_orders_of_the_digits() -> None:
    found = run()
    assert len({tuple(each["order"]) for each in found["accuracies_of_orders"]}) == 120
    assert found["accuracy_of_found"] > found["median"] + 0.02
    assert found["rank"] <= 30
    transfer = np.array(found["transfer"])
    orders = [tuple(found["tasks"].index(name) for name in each["order"]) for each in found["accuracies_of_orders"]]
    predicted = [predicted_accuracy(transfer, order) for order in orders]
    assert np.corrcoef(predicted, [each["value"] for each in found["accuracies_of_orders"]])[0, 1] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_so_it_does_with_other_seeds(seed: int) -> None:
    found = run(seed, orders=15)
    assert found["accuracy_of_found"] > found["median"]


def test_the_pairs_recipes_differ_in_the_order_the_noise_and_the_rate_only() -> None:
    ours, other = (
        recipes.load(name).model_dump(exclude={"name", "description", "published"}) for name in ("noisy-pair-clean-first", "noisy-pair")
    )
    assert ours["stream"].pop("order") == "clean-first"
    assert "order" not in other["stream"]  # noisy first is the stream's default
    assert (ours["stream"].pop("noise"), other["stream"].pop("noise")) == (0.43, 0.5)
    assert (ours["training"]["optimizer"].pop("lr"), other["training"]["optimizer"].pop("lr")) == (0.1, 0.2)
    assert ours == other


@pytest.mark.slow
@needs_mnist
def test_easy_before_hard_keeps_both_and_hard_before_easy_does_not() -> None:
    accuracies = {}
    for order in ("clean-first", "noisy-first"):
        stream = noisy_mnist(data="mnist", order=order)
        learner = Learner(MLP(784, [50, 50, 50]), scenario="domain", optimizer=sgd(0.2), epochs=10, batch_size=128)
        for task in stream:
            learner.learn(task, evaluate=False)
        accuracies[order] = dict(zip(learner.tasks, learner.evaluate(stream).values[2], strict=True))
    assert accuracies["clean-first"]["noisy"] > accuracies["noisy-first"]["noisy"] + 0.06
    assert accuracies["clean-first"]["clean"] > accuracies["noisy-first"]["clean"] - 0.05
    assert sum(accuracies["clean-first"].values()) > sum(accuracies["noisy-first"].values()) + 0.03
