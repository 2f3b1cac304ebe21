"""Predicting: the scores of the network or of the method that replaces it, as names of classes and of tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifelong import reading, shape
from lifelong.errors import NOTHING_LEARNED, MethodError, TaskError
from lifelong.method import Method
from lifelong.modes import evaluation_mode
from lifelong.tasks import Name

if TYPE_CHECKING:
    from lifelong.learner import Learner
    from lifelong.models.heads import Heads

BATCH = 1024


def names(learner: "Learner", x: Tensor | NDArray[Any], task: str | None) -> NDArray[Any]:
    """Class names (N,), for `Learner.predict`."""
    if task is not None or routing(learner) is None:
        best = checked_scores(learner, x, task).argmax(1).cpu().numpy()
        return _chosen(learner.classes_of(task), best)
    taken, inputs = tasks(learner, x), reading.inputs("predict", x)
    known = [*dict.fromkeys(learner.classes)]
    rows: NDArray[np.int64] = np.zeros(len(taken), dtype=np.int64)
    for each in dict.fromkeys(taken.tolist()):
        among = np.flatnonzero(taken == each)
        places = np.array([known.index(name) for name in learner.classes_of(each)])
        rows[among] = places[scores(learner, inputs[torch.from_numpy(among)], each).argmax(1).cpu().numpy()]
    return _chosen(known, rows)


def tasks(learner: "Learner", x: Tensor | NDArray[Any]) -> NDArray[Any]:
    """Names (N,) of the tasks that inputs are taken for, for `Learner.predict_task`."""
    inputs, method = reading.inputs("predict_task", x), routing(learner)
    if method is None:
        raise MethodError("no method of this learner tells which task inputs are from; give it TaskGate() or ExpertGate()")
    if not learner.tasks:
        raise TaskError(NOTHING_LEARNED)
    shape.features_of(learner, inputs[:2], shape.described(inputs))
    with evaluation_mode(learner.network), torch.no_grad():
        places = torch.cat([method.route(learner, part) for part in torch.split(inputs.to(learner.device), BATCH)])
    return _chosen(list(learner.tasks), places.cpu().numpy())


def routing(learner: "Learner") -> Method | None:
    """The method that chooses the task of inputs, where there is one to be chosen."""
    able = [method for method in learner.methods if method.overrides("route")]
    return able[0] if able and learner.scenario == "task" else None


def checked_scores(learner: "Learner", x: Tensor | NDArray[Any], task: str | None) -> Tensor:
    """Scores (N, C) of inputs that a user gave.

    Raises:
        TaskError: nothing was learned yet, or the network can't take the inputs.
    """
    inputs = reading.inputs("predict", x)
    if not learner.heads.layers or len(learner.heads.waiting) == len(learner.heads.classes[0]):
        raise TaskError(NOTHING_LEARNED)
    try:
        return scores(learner, inputs, task)
    except shape.NETWORK_ERRORS:
        shape.features_of(learner, inputs[:2], shape.described(inputs))
        raise


def scores(learner: "Learner", x: Tensor, task: str | None) -> Tensor:
    """Scores (N, C) of the method that predicts, or the network's logits, in the order of `learner.classes_of(task)`."""
    predicting = next((method for method in learner.methods if method.overrides("predict")), None)
    with evaluation_mode(learner.network), torch.no_grad():
        parts = torch.split(x.to(learner.device), BATCH)
        if predicting is not None:
            every = torch.cat([predicting.predict(learner, part, task) for part in parts])
        else:
            head = learner.heads.find(task)
            every = torch.cat([learner.network(part, head) for part in parts])
    return without_waiting(every, learner.heads)


def without_waiting(scores: Tensor, heads: "Heads") -> Tensor:
    """The scores, -inf for declared classes that no task has brought yet."""
    return scores.index_fill(1, heads.rows(0, list(heads.waiting)).to(scores.device), -torch.inf) if heads.waiting else scores


def _chosen(among: Sequence[Name], rows: NDArray[np.int64]) -> NDArray[Any]:
    mixed = len({isinstance(name, str) for name in among}) > 1  # an array of both would make text of the numbers
    chosen: NDArray[Any] = np.array(among, dtype=object if mixed else None)[rows]
    return chosen
