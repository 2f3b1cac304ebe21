"""Learning order: what learning one task does to another is measured in short runs, and the order of all tasks is computed from that.

Hung-yi Lee's lecture "Life Long Learning" ends with the question of the proper learning order and with Taskonomy (Zamir et al. 2018,
https://arxiv.org/abs/1804.08328), which measures transfer between pairs of tasks and computes from it what to learn from what. Taskonomy
chooses what to start a task from; here each task is learned once, one after another, and the order is chosen.

What is measured: transfer[i, j] is the accuracy on task j after learning j and then i, that is R[2, 1] of the stream (j, i);
transfer[j, j] is the accuracy on j right after learning j alone. transfer[i, j] - transfer[j, j] is what i does to j: negative where j is
forgotten, positive where it gains.

What is maximised: average incremental accuracy, AIA = 1/T sum_k 1/k sum_{l<=k} R[k, l] (`lifelong.matrix`). R[k, l], the accuracy on the
order's l-th task o_l after its first k, is not known before learning in that order. The network of a learner that does little against
forgetting is mostly what its last task made of it, whatever came between, so R[k, l] is taken to be transfer[o_k, o_l]:

    predicted AIA(o) = 1/T sum_k 1/k sum_{l<=k} transfer[o_k, o_l]

Of the lecture's pair, clean and noisy digits, all but how well the second is learned is then measured, not assumed. A task whose learning
spoils others costs in its own row, the k-th; a task that others spoil costs in every row from its own on. So one of both kinds goes last,
and of two tasks the one that outlives the other's learning goes first: clean digits before noisy ones. Where a method keeps earlier tasks
well, orders hardly differ, and there is little to choose.

Nothing here reads a test set but `accuracy_of_orders`, which judges.
"""

import copy
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lifelong.errors import TaskError
from lifelong.learner import Learner
from lifelong.matrix import MatrixError, Values
from lifelong.models.heads import seed_of
from lifelong.tasks import Examples, Task

Order = tuple[int, ...]

EXACT = 14  # tasks up to which every order is searched: 2^T sets of learned tasks, about a second at 14
TIED = 1e-12  # sums that differ by less differ by rounding only


def measured_transfer(learner: Learner, tasks: Sequence[Task], *, held_out: float = 0.25, seed: int = 0) -> Values:
    """Accuracies transfer[i, j] on task j after learning j and then i; transfer[j, j] after learning j alone. Shape (T, T).

    Each task's training examples are parted at random into some to learn from and some to measure on; the test sets are not looked at.
    Cost: T^2 short runs, of a part 1 - held_out of one task's training each. The runs of one j go on from the same network.

    Args:
        learner: one that has learned nothing yet, with the methods and settings to be used later; it is copied, never changed.
        tasks: 2 or more, as they would be learned; they are not changed.
        held_out: the share of the training examples to measure on, between 0 and 1, at least one example.
        seed: of the parting. What is drawn for a task depends on the seed and its name.

    Raises:
        TaskError: a learner that has learned, fewer than two tasks, two of the same name, a held-out share that leaves no example.

    >>> from lifelong.models import MLP
    >>> x = torch.tensor([[-1.0], [1.0]]).repeat(40, 1)
    >>> tasks = [Task("sign", (x, [0, 1] * 40)), Task("copy", (x, [0, 1] * 40)), Task("opposite", (x, [1, 0] * 40))]
    >>> measured_transfer(Learner(MLP(1, [20]), scenario="domain", epochs=20), tasks)
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    _check(learner, tasks)
    if len(tasks) < 2:
        raise TaskError(f"transfer is between tasks, and {len(tasks)} was given; give at least two")
    parted = [_parted(task, held_out, seed) for task in tasks]
    transfer = np.full((len(tasks), len(tasks)), np.nan)
    for j, first in enumerate(parted):
        alone = _learned(learner, first)
        transfer[j, j] = _accuracy(alone, first)
        for i, then in enumerate(parted):
            if i != j:
                transfer[i, j] = _accuracy(_learned(alone, then), first)
    return transfer


def predicted_accuracy(transfer: ArrayLike, order: Sequence[int]) -> float:
    """The average incremental accuracy that an order would have if the last learned task alone decided what is left of the others.

    Args:
        transfer: accuracies (T, T), as `measured_transfer` gives them.
        order: each position 0 to T - 1 once, in the order of learning.

    Raises:
        MatrixError: transfer is no square matrix of numbers.
        TaskError: order is no order of the tasks.

    >>> predicted_accuracy([[0.8, 0.4], [0.6, 0.9]], (0, 1))  # (0.8 + (0.6 + 0.9) / 2) / 2
    0.775
    """
    values = _square(transfer)
    learned = _checked(order, len(values))
    return float(np.mean([values[i, learned[: k + 1]].mean() for k, i in enumerate(learned)]))


def best_order(transfer: ArrayLike) -> Order:
    """The order with the highest predicted average incremental accuracy; among several the one that is first when orders are sorted.

    Up to 14 tasks it is the best of all orders. The row that a task adds depends on which tasks came before it and not on their order, so
    every set of tasks is looked at once, not every order. For more tasks it is greedy: next comes the task whose row, the mean of
    its transfer to itself and to those before it, is the highest, which need not lead to the best order.

    Args:
        transfer: accuracies (T, T), as `measured_transfer` gives them, or other numbers whose more is better.

    Raises:
        MatrixError: transfer is no square matrix of numbers.

    >>> best_order([[0.8, 0.4], [0.6, 0.9]])  # 0.775 against (0.9 + (0.4 + 0.8) / 2) / 2 = 0.75
    (0, 1)
    """
    values = _square(transfer)
    return _greedy(values) if len(values) > EXACT else _best(values)


def accuracy_of_orders(learner: Learner, tasks: Sequence[Task], orders: Iterable[Sequence[int]]) -> dict[Order, float]:
    """The average incremental accuracy of learning the tasks in each of some orders, measured on their test sets.

    Orders that begin alike share that beginning, which changes no number. Cost: a run for each beginning that differs, so of five tasks
    325 for all 120 orders.

    Args:
        learner: one that has learned nothing yet; it is copied, never changed.
        tasks: each with a test set; they are not changed.
        orders: each with all positions 0 to T - 1 once, as `itertools.permutations(range(T))` gives them.

    Raises:
        TaskError: a learner that has learned, two tasks of the same name, a task without a test set, no order of the tasks.
    """
    _check(learner, tasks)
    found: dict[Order, float] = {}

    def follow(state: Learner, done: Order, waiting: list[Order]) -> None:
        if len(done) == len(tasks):
            found[done] = state.matrix.average_incremental_accuracy
            return
        for position in dict.fromkeys(order[len(done)] for order in waiting):
            after = copy.deepcopy(state)
            after.learn(tasks[position], evaluate=False)
            after.evaluate([tasks[j] for j in (*done, position)])
            follow(after, (*done, position), [order for order in waiting if order[len(done)] == position])

    asked = [tuple(_checked(order, len(tasks))) for order in orders]
    follow(learner, (), asked)
    return {order: found[order] for order in asked}


class _Part(Examples):
    """Some of the examples of a set, by their rows (N,); nothing is copied."""

    def __init__(self, whole: Examples, rows: Tensor) -> None:
        super().__init__(torch.empty(0), whole.y[rows])
        self.whole, self.rows = whole, rows

    def take(self, positions: Tensor) -> Tensor:
        return self.whole.take(self.rows[positions])


def _parted(task: Task, held_out: float, seed: int) -> Task:
    """A task with a part of the training examples to learn from and the others as its test set; the task's own test set is left alone."""
    size = len(task.train)
    count = max(round(size * held_out), 1) if 0 < held_out < 1 else size
    if count >= size:
        raise TaskError(
            f"task {task.name!r}: held_out is {held_out} of {size} training examples; expected a share between 0 and 1 that leaves "
            "at least one example to learn from and one to measure on"
        )
    rows = torch.randperm(size, generator=torch.Generator().manual_seed(seed_of(seed, "held out", task.name)))
    parted = Task.__new__(Task)  # made without its constructor, which would read the data again
    parted.name, parted.classes = task.name, task.classes
    parted.train, parted.test = _Part(task.train, rows[count:]), _Part(task.train, rows[:count])
    return parted


def _learned(learner: Learner, task: Task) -> Learner:
    after = copy.deepcopy(learner)
    after.learn(task, evaluate=False)
    return after


def _accuracy(learner: Learner, task: Task) -> float:
    matrix = learner.evaluate([task])
    return float(matrix.values[-1, matrix.tasks.index(task.name)])


def _best(values: Values) -> Order:
    count = len(values)
    members = (np.arange(2**count)[:, None] >> np.arange(count)) & 1  # of each set, as a row of bits
    sums = members @ values.T + np.diag(values)  # of a task's transfer to a set and to itself
    # For each set of learned tasks the best sum of the rows that follow, and the first task of them. A set is a smaller number than
    # those that hold more tasks, so those are known before it.
    rest, following = np.zeros(2**count), np.zeros(2**count, dtype=np.int64)
    for known in range(2**count - 2, -1, -1):
        free = np.flatnonzero(members[known] == 0)
        totals = sums[known, free] / (count - len(free) + 1) + rest[known | (1 << free)]
        rest[known] = totals.max()
        following[known] = free[int(np.argmax(totals >= rest[known] - TIED))]
    order: list[int] = []
    while len(order) < count:
        order.append(int(following[sum(1 << task for task in order)]))
    return tuple(order)


def _greedy(values: Values) -> Order:
    order: list[int] = []
    while len(order) < len(values):
        rows = {i: values[i, [*order, i]].mean() for i in range(len(values)) if i not in order}
        order.append(next(i for i, row in rows.items() if row >= max(rows.values()) - TIED))
    return tuple(order)


def _check(learner: Learner, tasks: Sequence[Task]) -> None:
    known = [*learner.tasks, learner.in_progress or ""][0]
    if known:
        raise TaskError(f"orders are compared from a learner that has learned nothing, and this one has learned {known!r}; give a new one")
    names = [task.name for task in tasks]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise TaskError(f"two tasks are both called {twice[0]!r}; give each its own name")


def _checked(order: Sequence[int], count: int) -> list[int]:
    if sorted(order) != list(range(count)):
        raise TaskError(f"{tuple(order)} is no order of {count} tasks; expected each position from 0 to {count - 1} once")
    return list(order)


def _square(transfer: ArrayLike) -> Values:
    values = np.asarray(transfer, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not len(values):
        raise MatrixError(f"transfer needs shape (tasks, tasks); got shape {values.shape}")
    if not np.isfinite(values).all():
        i, j = (int(place) for place in np.argwhere(~np.isfinite(values))[0])
        raise MatrixError(
            f"transfer[{i}, {j}] is {values[i, j]}; expected a number for every pair, as measured_transfer(learner, tasks) gives"
        )
    return values
