"""The order of learning five views of the embedded digits: found by measured transfer, and judged against every other order."""

import functools
import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from lifelong.curriculum import accuracy_of_orders, best_order, measured_transfer, predicted_accuracy
from lifelong.data.mnist import CLASSES, SIDE, load
from lifelong.errors import TaskError
from lifelong.learner import Learner
from lifelong.models import MLP
from lifelong.streams import draws, noisy_mnist
from lifelong.streams.transforms import Rotate
from lifelong.tasks import Task

MOST = 4000  # training digits that come with the library
VIEWS: dict[str, Callable[[int], Task]] = {
    "clean": lambda seed: _noisy(0.0, seed),
    "noisy": lambda seed: _noisy(0.4, seed),
    "very noisy": lambda seed: _noisy(0.8, seed),
    "rotated by 30°": lambda seed: _rotated(30),
    "rotated by 60°": lambda seed: _rotated(60),
}


def digit_tasks(seed: int = 0, *, examples: int = 500) -> list[Task]:
    """Five tasks: clean, noisy, very noisy, rotated by 30° and by 60°; classes 0 to 9, each with the 1,000 test digits in its view.

    Args:
        seed: of the noise and of the training examples, which every task draws on its own.
        examples: training examples a task, at most 4,000.

    >>> digit_tasks(examples=200)[0]
    Task('clean', train=200, test=1000, classes=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    if not 1 <= examples <= MOST:
        raise TaskError(f"examples is {examples}; expected 1 to {MOST} of the embedded training digits")
    tasks = []
    for position, (name, view) in enumerate(VIEWS.items()):
        whole = view(seed)
        assert whole.test is not None
        rows = torch.randperm(len(whole.train), generator=draws.generator(seed, draws.EXAMPLES, position))[:examples]
        # Each view is made once and not at every look, because hundreds of runs look at it.
        train = whole.train.take(rows), whole.train.y[rows]
        tasks.append(Task(name, train, (whole.test.take(torch.arange(len(whole.test))), whole.test.y), classes=range(CLASSES)))
    return tasks


def fine_tuned(seed: int = 0) -> Learner:
    """The learner of the comparison, which has learned nothing yet: 784-50-50, no method, two epochs of Adam a task."""
    optimizer = functools.partial(torch.optim.Adam, lr=0.003)
    return Learner(MLP(SIDE * SIDE, [50, 50], seed=seed), scenario="domain", optimizer=optimizer, epochs=2, batch_size=16, seed=seed)


def run(seed: int = 0, *, orders: int | None = None) -> dict[str, Any]:
    """Finds an order of the five tasks for a fine-tuned network, and measures how good it is among others. About 20 seconds of one core.

    Args:
        seed: of the tasks, the network, the order of examples and the orders that are drawn.
        orders: how many random orders, 1 to 120, to compare with. None: all 120.

    Returns:
        What JSON can hold. tasks: names; transfer: (5, 5) as `measured_transfer` gives it; order: the names in the order found;
        predicted: its predicted average incremental accuracy; accuracy_of_found: the measured one; accuracies_of_orders:
        [{"order": names, "value": accuracy}, ...], in which the one found may be missing where orders are drawn; median: of those
        values; rank: 1 + how many of them are higher than the one found; seconds: of "transfer" and of judging the "orders".

    Raises:
        TaskError: orders or seed out of range.
    """
    every = list(itertools.permutations(range(len(VIEWS))))
    if orders is not None and not 1 <= orders <= len(every):
        raise TaskError(f"orders is {orders}; expected 1 to {len(every)} random orders to compare with, or None for all")
    compared = every if orders is None else random.Random(seed).sample(every, orders)
    tasks = digit_tasks(seed)
    names = [task.name for task in tasks]
    learner = fine_tuned(seed)
    started = time.perf_counter()
    transfer = measured_transfer(learner, tasks, seed=seed)
    found = best_order(transfer)
    measured = time.perf_counter()
    accuracies = accuracy_of_orders(learner, tasks, [found, *compared])
    judged = time.perf_counter()
    values = [accuracies[order] for order in compared]
    return {
        "seed": seed,
        "tasks": names,
        "transfer": transfer.tolist(),
        "order": [names[j] for j in found],
        "predicted": predicted_accuracy(transfer, found),
        "accuracy_of_found": accuracies[found],
        "accuracies_of_orders": [{"order": [names[j] for j in order], "value": accuracies[order]} for order in compared],
        "median": statistics.median(values),
        "rank": 1 + sum(value > accuracies[found] for value in values),
        "seconds": {"transfer": measured - started, "orders": judged - measured},
    }


def _noisy(noise: float, seed: int) -> Task:
    return next(iter(noisy_mnist(seed=seed, noise=noise)))


def _rotated(degrees: float) -> Task:
    digits = load("embedded")
    turn = Rotate.by(degrees, SIDE, SIDE, "bilinear")
    return Task("rotated", (digits.train_x, digits.train_y), (digits.test_x, digits.test_y), classes=range(CLASSES), transform=turn)
