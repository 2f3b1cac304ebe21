"""Every method of the table through every check of the conformance suite."""

from pathlib import Path

import pytest
import torch
from conformance import CHECKS, Case, Setting, check_method, settings_of

from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods import EWC, L2, METHODS, Finetune, Independent, Joint, OnlineEWC, Replay
from lifelong.tasks import Batch

CASES = {
    "finetune": Case(Finetune, {}, off={}, baseline=True),
    "joint": Case(Joint, {}, margin=0.3, rereads=True, baseline=True),
    "independent": Case(
        Independent, {}, margin=0.3, refuses=("class", "can't tell classes of different tasks apart; use scenario="), baseline=True
    ),
    "l2": Case(L2, {"strength": 0.5}, off={"strength": 0}, margin=0.05),
    "ewc": Case(EWC, {"strength": 100.0, "examples": 12}, off={"strength": 0}, margin=0.1),
    "online-ewc": Case(OnlineEWC, {"strength": 100.0, "decay": 0.9, "examples": 12}, off={"strength": 0}, margin=0.1),
    "replay": Case(Replay, {"capacity": 60}, off={"capacity": 0}, margin=0.2),
}


def test_every_method_of_the_table_is_tested() -> None:
    assert {name: case.kind for name, case in CASES.items()} == METHODS


@pytest.mark.parametrize(
    ("method", "check", "setting"),
    [
        pytest.param(case, check, setting, id=f"{method}-{check}-{name}")
        for method, case in CASES.items()
        for check in CHECKS
        for name, setting in settings_of(case, check)
    ],
)
def test_method(method: Case, check: str, setting: Setting, tmp_path: Path) -> None:
    CHECKS[check](method, setting, tmp_path)
