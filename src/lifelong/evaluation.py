"""Predicting in batches, and the accuracy on one task."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lifelong.modes import evaluation_mode
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner
    from lifelong.models.heads import Heads, Network

BATCH = 1024


def scores(learner: "Learner", x: Tensor, task: str | None) -> Tensor:
    """Scores (N, C) of the method that predicts, or the network's logits, in the order of `learner.classes_of(task)`."""
    predicting = next((method for method in learner.methods if method.overrides("predict")), None)
    with evaluation_mode(learner.network), torch.no_grad():
        parts = torch.split(x.to(learner.device), BATCH)
        if predicting is not None:
            scores = torch.cat([predicting.predict(learner, part, task) for part in parts])
        else:
            head = learner.heads.find(task)
            scores = torch.cat([learner.network(part, head) for part in parts])
    return _without(scores, learner.heads)


def _without(scores: Tensor, heads: "Heads") -> Tensor:
    """The scores, -inf for declared classes that no task has brought yet."""
    return scores.index_fill(1, heads.rows(0, list(heads.waiting)).to(scores.device), -torch.inf) if heads.waiting else scores


def accuracy(learner: "Learner", task: Task, network: "Network | None" = None) -> tuple[float, float]:
    """The share of the task's test set that is predicted right, and the share when only the task's own classes compete.

    NaN where the learner has no outputs for one of the task's classes.

    Args:
        network: measured in place of the learner's own, without its methods; for row 0 of the matrix.
    """
    assert task.test is not None
    current = network or learner.network
    if not current.heads.knows(task.name, task.classes):
        if learner.scenario != "domain" or current.heads.layers:
            return float("nan"), float("nan")
        current = _with_untrained_head(learner, task)
        network = current
    head = current.heads.find(task.name)
    rows = current.heads.rows(head, task.classes)
    told = task.name if learner.scenario == "task" or any(method.told_the_task for method in learner.methods) else None
    right = torch.zeros(2, dtype=torch.int64, device=learner.device)
    rows = rows.to(learner.device)
    with evaluation_mode(current), torch.no_grad():
        for x, y in task.test.batches(torch.arange(len(task.test)), BATCH):
            output = scores(learner, x, told) if network is None else _without(current(x.to(learner.device), head), current.heads)
            places = y.to(learner.device)
            right += torch.stack([output.argmax(1) == rows[places], output[:, rows].argmax(1) == places]).sum(1)
    every, own = right.tolist()
    return every / len(task.test), own / len(task.test)


def _with_untrained_head(learner: "Learner", task: Task) -> "Network":
    """The network before its first task, with the head that it would start that task with."""
    from lifelong.models.heads import Heads, Network

    heads = Heads(learner.heads.width, learner.scenario, learner.heads.seed, learner.heads.initial)
    network = Network(learner.network.features, heads)
    heads.admit(task.name, task.classes)
    return network.to(learner.device)
