"""What a learner answers when it is told one task or another. Unlike the rest of the lecture it imports torch: import it inside."""

import numpy as np
import torch

from lifelong.errors import ScenarioError
from lifelong.learner import Learner
from lifelong.lecture.section import Json
from lifelong.tasks import Stream, Task


def accuracy(learner: Learner, task: Task, told: str) -> float:
    """On a task's test set, when the learner is told that it is `told`."""
    assert task.test is not None
    predicted = learner.predict(task.test.take(torch.arange(len(task.test))), task=told)
    return float(np.mean(predicted == np.array(task.classes)[task.test.y.numpy()]))


def asked(learner: Learner, stream: Stream) -> Json:
    """Learns the stream's tasks, and asks for every task, told every one and none.

    Returns:
        "tasks" (names), "accuracy" (told task, real task), and "refused", what the learner says where it is not told; "" where it predicts.
    """
    tasks = list(stream)
    for task in tasks:
        learner.learn(task, evaluate=False)
    assert tasks[0].test is not None
    refused = ""
    try:
        learner.predict(tasks[0].test.take(torch.arange(1)))
    except ScenarioError as error:
        refused = str(error)
    return {
        "tasks": [task.name for task in tasks],
        "accuracy": [[accuracy(learner, task, told.name) for task in tasks] for told in tasks],
        "refused": refused,
    }
