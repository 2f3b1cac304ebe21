"""A second task with few examples, learned after a first one in several ways.

Unlike the rest of the lecture it imports torch: import it inside.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from lifelong.learner import Learner
from lifelong.lecture.section import Json
from lifelong.method import Method
from lifelong.methods import EWC, Replay
from lifelong.models import MLP
from lifelong.streams import noisy_mnist
from lifelong.tasks import Task

FEW = 200  # examples of the second task
KEPT = 200  # examples of the first one that replay keeps
STEPS, EVERY = 300, 10  # of the second task, and between evaluations


def second_task(full: bool) -> Json:
    """Clean digits, then a few noisy ones: from scratch, by fine-tuning, with EWC and with replay, which keep the first task.

    Returns:
        "old", "new" (the tasks' names), "examples" (of the first one), "few", "kept", "seeds", "steps" of the evaluations in the second
        task, 0 before it, and for every way {"old", "new"}: accuracy at each of them, the mean over seeds.
    """
    first, noisy = noisy_mnist(data="mnist" if full else "embedded", order="clean-first", noise=0.8)
    seeds = 5 if full else 3
    curves: dict[str, Json] = {}
    for label, methods in _ways().items():
        seen = np.mean([_learned(first, few_of(noisy, FEW, seed), methods, seed, full) for seed in range(seeds)], axis=0)
        curves[label] = {"old": seen[:, 0].tolist(), "new": seen[:, 1].tolist()}
    return {
        "old": first.name,
        "new": noisy.name,
        "examples": len(first.train),
        "few": FEW,
        "kept": KEPT,
        "seeds": seeds,
        "steps": list(range(0, STEPS + 1, EVERY)),
        **curves,
    }


def few_of(task: Task, number: int, seed: int) -> Task:
    """The task with some of its training examples, drawn at random."""
    assert task.test is not None
    drawn = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(seed))[:number]
    test = task.test.x, task.test.y
    return Task(task.name, (task.train.x[drawn], task.train.y[drawn]), test, classes=task.classes, transform=task.train.transform)


def _ways() -> dict[str, Sequence[Method] | None]:
    """The methods of each way; None: the first task is not learned."""
    return {"scratch": None, "finetune": [], "ewc": [EWC(strength=1000.0)], "replay": [Replay(capacity=KEPT)]}


def _learned(first: Task, second: Task, methods: Sequence[Method] | None, seed: int, full: bool) -> list[list[float]]:
    """Accuracy on both tasks, at the second one's beginning and then every EVERY steps."""
    learner = Learner(
        MLP(784, [100, 100], seed=seed),
        methods or [],
        "domain",
        optimizer=partial(torch.optim.SGD, lr=0.1),
        epochs=2 if full else 10,
        seed=seed,
    )
    if methods is not None:
        learner.learn(first, evaluate=False)
    before = learner.evaluate([first, second])
    learner.learn(second, evaluate=False, steps=STEPS, watch=[first, second], watch_every=EVERY)
    watched, _ = learner.evaluations()
    columns = [[*learner.tasks, *(name for name in before.tasks if name not in learner.tasks)].index(task.name) for task in (first, second)]
    begun = [float(before.values[-1, before.tasks.index(task.name)]) for task in (first, second)]
    return [begun, *watched[:, columns].tolist()]
