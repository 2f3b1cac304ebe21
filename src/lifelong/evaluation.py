"""Evaluating: what is measured on a task, and where the learner records it."""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lifelong.errors import TaskError
from lifelong.matrix import with_row, with_tasks
from lifelong.modes import evaluation_mode
from lifelong.prediction import BATCH, routing, scores, without_waiting
from lifelong.tasks import Name, Stream, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner
    from lifelong.models.heads import Network


@dataclass(frozen=True)
class Measured:
    """What was measured on one task's test set; NaN where the learner has no outputs for one of the task's classes.

    Attributes:
        accuracy: the share that is predicted right.
        told: the share when only the task's own classes compete.
        routed: the share when it is not told the task, and a method's gate chooses it; NaN without one, or for a task not learned.
        chosen: how often the gate chose which task.
    """

    accuracy: float = math.nan
    told: float = math.nan
    routed: float = math.nan
    chosen: dict[str, int] = field(default_factory=dict)


def measure(learner: "Learner", task: Task, network: "Network | None" = None) -> Measured:
    """Predicts a task's test set.

    Args:
        network: measured in place of the learner's own, without its methods; for row 0 of the matrix.
    """
    assert task.test is not None
    current = network or learner.network
    if not current.heads.knows(task.name, task.classes):
        if learner.scenario != "domain" or current.heads.layers:
            return Measured()
        current = _with_untrained_head(learner, task)
        network = current
    head = current.heads.find(task.name)
    rows = current.heads.rows(head, task.classes)
    told = task.name if learner.scenario == "task" or any(method.told_the_task for method in learner.methods) else None
    gate = routing(learner) if network is None and task.name in learner.tasks else None
    right = torch.zeros(3, dtype=torch.int64, device=learner.device)
    chosen = torch.zeros(len(learner.tasks), dtype=torch.int64, device=learner.device)
    rows = rows.to(learner.device)
    with evaluation_mode(current), torch.no_grad():
        for x, y in task.test.batches(learner.processes.part(torch.arange(len(task.test))), BATCH):
            output = scores(learner, x, told) if network is None else without_waiting(current(x.to(learner.device), head), current.heads)
            places = y.to(learner.device)
            hits = output.argmax(1) == rows[places]
            routed = hits
            if gate is not None:
                tasks = gate.route(learner, x.to(learner.device))
                chosen += torch.bincount(tasks, minlength=len(chosen))
                others = (tasks != learner.tasks.index(task.name)).nonzero().squeeze(1)  # of the rest it is known already
                names = [task.classes[place] for place in y[others.to(y.device)].tolist()]
                routed = hits.index_copy(0, others, _right_by_name(learner, x[others.to(x.device)], tasks[others], names))
            right += torch.stack([hits, output[:, rows].argmax(1) == places, routed]).sum(1)
    learner.processes.sum(right)
    learner.processes.sum(chosen)
    every, own, gated = (count / len(task.test) for count in right.tolist())
    counts = {name: count for name, count in zip(learner.tasks, chosen.tolist(), strict=True) if count}
    return Measured(every, own, gated if gate is not None else math.nan, counts)


def _right_by_name(learner: "Learner", x: Tensor, tasks: Tensor, names: list[Name]) -> Tensor:
    """bool (N,): whether the tasks that were chosen, int64 (N,), predict the classes of these names."""
    right = torch.zeros(len(x), dtype=torch.bool)
    for place in sorted(set(tasks.tolist())):
        among = (tasks == place).nonzero().squeeze(1).cpu()
        predicted = scores(learner, x[among], learner.tasks[place]).argmax(1).tolist()
        classes = learner.classes_of(learner.tasks[place])
        right[among] = torch.tensor([classes[row] == names[i] for row, i in zip(predicted, among.tolist(), strict=True)])
    return right.to(tasks.device)


def _with_untrained_head(learner: "Learner", task: Task) -> "Network":
    """The network before its first task, with the head that it would start that task with."""
    from lifelong.models.heads import Heads, Network

    heads = Heads(learner.heads.width, learner.scenario, learner.heads.seed, learner.heads.initial)
    network = Network(learner.network.features, heads)
    heads.admit(task.name, task.classes)
    return network.to(learner.device)


def tested(learner: "Learner", tasks: Stream | Iterable[Task]) -> Iterator[Task]:
    """The tasks to evaluate, each with a test set; of an endless stream the tasks learned so far and the next one.

    Each is asked for when it is needed: all tasks of a long stream at once would take much memory.

    Raises:
        TaskError: one task in place of several, or one without a test set.
    """
    if isinstance(tasks, Task):
        raise TaskError("evaluate was given one Task; expected several or a stream, as in learner.evaluate([task])")
    if isinstance(tasks, Stream) and tasks.endless:
        tasks = tasks[: len(learner.tasks) + 1]  # type: ignore[assignment]
    return map(_with_test_set, tasks)


def _with_test_set(task: Task) -> Task:
    if task.test is None:
        raise TaskError(f"task {task.name!r} has no test set to evaluate on; give it one: Task(..., test=(x, y))")
    return task


def record(learner: "Learner", row: int, tasks: Iterable[Task], network: "Network | None" = None) -> None:
    """Measures tasks for a row of the matrices; `network` as in `measure`."""
    with learner._timed("evaluate_seconds"):
        entries = {task.name: measure(learner, task, network) for task in tasks}
    names = [*learner.tasks, *(n for n in learner.matrix.tasks if n not in learner.tasks)]
    for matrix, kind, kept in (
        ("matrix", "accuracy", True),
        ("told", "told", learner.scenario == "class"),
        ("routed", "routed", routing(learner) is not None),
    ):
        if kept:
            measured = {name: getattr(entry, kind) for name, entry in entries.items()}
            setattr(learner, matrix, with_row(with_tasks(getattr(learner, matrix), names), row, measured))
    if row:
        learner.chosen = {**learner.chosen, **{name: entry.chosen for name, entry in entries.items() if entry.chosen}}


def watch(learner: "Learner", step: int, tasks: Sequence[Task]) -> None:
    """Measures tasks inside a task."""
    with learner._timed("evaluate_seconds"):
        entries = {task.name: measure(learner, task).accuracy for task in tasks}
    learner.watched.append({"during": len(learner.tasks) + 1, "step": step, "accuracy": entries})


def first_network(learner: "Learner") -> "Network":
    """The network as it was before the first task, for row 0."""
    assert learner._initial is not None
    network = copy.deepcopy(learner.network)
    network.features.load_state_dict(learner._initial)
    for head, layer in enumerate(network.heads.layers):
        layer.load_state_dict(network.heads.untrained(head).state_dict())
    return network
