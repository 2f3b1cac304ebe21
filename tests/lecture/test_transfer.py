"""The lecture's section on transfer learning against lifelong learning."""

import torch

from lecture.made_results import said
from lifelong.lecture.section import Json
from lifelong.lecture.sections.transfer import SECTION
from lifelong.lecture.transferring import few_of
from lifelong.streams import noisy_mnist


def measured(tuned: float = 0.634) -> dict[str, Json]:
    ends = {"scratch": (0.2, 0.445), "finetune": (0.823, tuned), "ewc": (0.911, 0.587), "replay": (0.904, 0.666)}
    curves = {label: {"old": [0.931, 0.9, old], "new": [0.3, 0.4, new]} for label, (old, new) in ends.items()}
    found = {"old": "clean", "new": "noisy", "examples": 4321, "few": 123, "kept": 77, "seeds": 3, "steps": [0, 150, 310], **curves}
    return {"transfer-second-task": found}


def test_the_page_tells_both_tasks_of_every_way() -> None:
    shown = said(SECTION, measured())
    for text in shown.values():
        for words in ("4,321", "123", "77", "310", "44 %", "63 %", "82 %", "59 %", "91 %", "67 %", "90 %", "93 %"):
            assert words in text, words
    assert "not learned" in shown["en"]
    assert "沒學過" in shown["zh"]
    assert "71 %" in said(SECTION, measured(0.712))["en"]
    assert "71 %" not in shown["en"]


def test_few_examples_are_some_of_the_tasks_own_with_its_whole_test_set() -> None:
    task = next(iter(noisy_mnist()))
    few, again, other = few_of(task, 50, seed=1), few_of(task, 50, seed=1), few_of(task, 50, seed=2)
    assert len(few.train) == 50
    assert torch.equal(few.train.x, again.train.x)
    assert not torch.equal(few.train.x, other.train.x)
    assert task.test is not None
    assert few.test is not None
    assert torch.equal(few.test.x, task.test.x)
    drawn = few.train.take(torch.arange(1))
    everything = task.train.take(torch.arange(len(task.train)))
    same = (everything == drawn).flatten(1).all(1).nonzero().flatten()
    assert task.train.y[same].tolist() == few.train.y[:1].tolist()
