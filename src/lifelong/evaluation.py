"""Predicting in batches, and the accuracy on one task."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lifelong.modes import evaluation_mode
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner
    from lifelong.models.heads import Network

BATCH = 1024


def scores(learner: "Learner", x: Tensor, task: str | None) -> Tensor:
    """Scores (N, C) of the method that predicts, or the network's logits, in the order of `learner.classes_of(task)`."""
    predicting = next((method for method in learner.methods if method.overrides("predict")), None)
    with evaluation_mode(learner.network), torch.no_grad():
        parts = torch.split(x.to(learner.device), BATCH)
        if predicting is not None:
            return torch.cat([predicting.predict(learner, part, task) for part in parts])
        head = learner.heads.find(task)
        return torch.cat([learner.network(part, head) for part in parts])


def accuracy(learner: "Learner", task: Task, network: "Network | None" = None) -> float:
    """The share of the task's test set that is predicted right; NaN where the learner has no outputs for one of its classes.

    Args:
        network: measured in place of the learner's own, without its methods; for row 0 of the matrix.
    """
    assert task.test is not None
    current = network or learner.network
    if not current.heads.knows(task.name, task.classes):
        if learner.scenario != "domain" or current.heads.layers:
            return float("nan")
        current = _with_untrained_head(learner, task)
        network = current
    head = current.heads.find(task.name)
    rows = current.heads.rows(head, task.classes)
    told = task.name if learner.scenario == "task" or any(method.told_the_task for method in learner.methods) else None
    right = torch.zeros((), dtype=torch.int64, device=learner.device)
    with evaluation_mode(current), torch.no_grad():
        for x, y in task.test.batches(torch.arange(len(task.test)), BATCH):
            output = scores(learner, x, told) if network is None else current(x.to(learner.device), head)
            right += (output.argmax(1) == rows[y].to(learner.device)).sum()
    return right.item() / len(task.test)


def _with_untrained_head(learner: "Learner", task: Task) -> "Network":
    """The network before its first task, with the head that it would start that task with."""
    from lifelong.models.heads import Heads, Network

    heads = Heads(learner.heads.width, learner.scenario, learner.heads.seed)
    network = Network(learner.network.features, heads)
    heads.admit(task.name, task.classes)
    return network.to(learner.device)
