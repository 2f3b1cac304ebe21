"""The lecture's section on one network for every task."""

import functools

import pytest
import torch
from torch import nn

from lecture.made_results import made, rows, said
from lifelong.learner import Learner
from lifelong.lecture.asking import accuracy, asked
from lifelong.lecture.section import Json
from lifelong.lecture.sections.one_network_per_task import SECTION
from lifelong.methods import Independent
from lifelong.tasks import Stream, Task

TOLD = {
    "tasks": [f"rotation {i}" for i in range(1, 6)],
    "accuracy": [[0.811 if i == j else 0.233 for j in range(5)] for i in range(5)],
    "refused": "tell me the task!",
}


def measured(last: float = 0.712) -> dict[str, Json]:
    matrices = {"independent": rows(5, last, last), "finetune": rows(5, 0.767, 0.456), "joint": rows(5, 0.744, 0.755)}
    sizes = {
        "independent": [{"parameters": 1001 * (n + 1), "kept_bytes": 40000 * n} for n in range(1, 6)],
        "finetune": [{"parameters": 1001, "kept_bytes": 0}] * 5,
        "joint": [{"parameters": 1001, "kept_bytes": 0}] * 5,
    }
    return {"lecture-one-network": made("lecture-one-network", matrices, sizes=sizes), "one-network-asked": TOLD}


def test_the_page_tells_what_is_kept_and_what_can_not_be_done() -> None:
    shown = said(SECTION, measured())
    for text in shown.values():
        for words in ("71 %", "77 %", "46 %", "75 %", "81 %", "23 %", "tell me the task!", "40.0 kB", "200.0 kB", "40.0 MB", "6,006"):
            assert words in text, words
    assert "62 %" in said(SECTION, measured(0.619))["zh"]


def opposite(position: int) -> Task:
    """The sign of a number, or in the second task its opposite."""
    x = torch.linspace(-1, 1, 40).unsqueeze(1)
    return Task(f"task {position}", (x, (x[:, 0] > 0) ^ bool(position)), (x, (x[:, 0] > 0) ^ bool(position)), classes=(0, 1))


def test_a_network_asked_for_the_opposite_task_is_wrong_and_without_a_task_there_is_no_answer() -> None:
    learner = Learner(
        nn.Linear(1, 4), [Independent()], "domain", optimizer=functools.partial(torch.optim.SGD, lr=0.5), epochs=60, batch_size=8
    )
    found = asked(learner, Stream("signs", "domain", opposite, 2))
    assert found["tasks"] == ["task 0", "task 1"]
    for told, right in ((0, [1.0, 0.0]), (1, [0.0, 1.0])):
        assert found["accuracy"][told] == pytest.approx(right, abs=0.1)
    assert found["refused"] == "Independent networks must be told the task: predict(x, task=...). Known: task 0, task 1"
    assert accuracy(learner, opposite(1), "task 1") == found["accuracy"][1][1]


def test_a_learner_that_need_not_be_told_refuses_nothing() -> None:
    assert asked(Learner(nn.Linear(1, 4), [], "domain"), Stream("signs", "domain", opposite, 2))["refused"] == ""
