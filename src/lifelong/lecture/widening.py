"""A network made wider by Net2Net, before and after.

Unlike the rest of the lecture it imports torch: import it inside.
"""

import torch

from lifelong.growth import growable, widen
from lifelong.learner import Learner
from lifelong.lecture.asking import accuracy
from lifelong.lecture.section import Json
from lifelong.tasks import Task


def widened(learner: Learner, task: Task, share: float) -> Json:
    """Learns a task, and makes every hidden layer wider by a share of its units.

    Returns:
        "accuracy" on the task and "parameters", each before and after; and "difference", the largest change of any class's probability for
        any test example.
    """
    learner.learn(task, evaluate=False)
    assert task.test is not None
    inputs = task.test.take(torch.arange(len(task.test)))
    before = accuracy(learner, task, task.name), learner.parameters_count()
    given = learner.predict_proba(inputs, task=task.name)
    for layer, units in growable(learner.network).items():
        learner.grow(widen(layer, units + max(1, round(share * units))))
    after = accuracy(learner, task, task.name), learner.parameters_count()
    difference = (learner.predict_proba(inputs, task=task.name) - given).abs().max()
    return {"accuracy": [before[0], after[0]], "parameters": [before[1], after[1]], "difference": float(difference)}
