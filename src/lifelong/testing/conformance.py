"""Runs every check of a method in every setting, and reports in words."""

import inspect
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from lifelong.errors import MethodError, nearest
from lifelong.method import Method
from lifelong.tasks import Scenario
from lifelong.testing.cases import Case, Setting
from lifelong.testing.checks import CHECKS, in_words, not_applicable, settings_of
from lifelong.testing.requiring import ConformanceError

Status = Literal["ok", "failed", "not applicable"]


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        check: its name, and setting: as network-optimizer-scenario; empty where the check does not apply.
        status: "ok", "failed" or "not applicable".
        reason: why it failed or does not apply.
    """

    check: str
    setting: str
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Conformance:
    """The report on a method; as text, what was checked, what failed and why, and what to do about it.

    Attributes:
        method: name of its class.
        outcomes: one for each check and setting.
    """

    method: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The outcomes that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    def __str__(self) -> str:
        by_check: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            by_check.setdefault(outcome.check, []).append(outcome)
        failed = list(dict.fromkeys(outcome.check for outcome in self.failed))
        verdict = f"{len(failed)} of {len(by_check)} checks failed" if failed else "conforms"
        first = sorted(by_check, key=lambda check: check not in failed)
        return "\n".join([f"{self.method}: {verdict}.", *(_told(check, by_check[check]) for check in first)])


def _told(check: str, outcomes: Sequence[Outcome]) -> str:
    """One check's lines in the report."""
    must, hint = in_words(check)
    settings: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status == "failed":
            settings.setdefault(outcome.reason, []).append(outcome.setting)
    if not settings:
        reason = f" {outcomes[0].reason}" if outcomes[0].reason else ""
        return f"{outcomes[0].status}: {check}.{reason or f' {must}'}"
    whys = [
        f"    {'in every setting' if len(names) == len(outcomes) > 1 else ', '.join(names)}: {reason}" for reason, names in settings.items()
    ]
    return "\n".join([f"FAILED: {check}. {must}", *whys, f"    What to do: {hint}"])


def check_method(
    kind: type[Method],
    *,
    arguments: Mapping[str, Any] | None = None,
    off: Mapping[str, Any] | None = None,
    margin: float | None = None,
    refuses: Mapping[Scenario, str] | None = None,
    rereads: bool = False,
    baseline: bool = False,
    rigid: bool = True,
    unit_inputs: bool = False,
    plain_first: bool = True,
    grows: bool = True,
    sets_back: bool = False,
    checks: Sequence[str] | None = None,
    raises: bool = True,
) -> Conformance:
    """Puts a method through the checks that all of the library's methods pass; it takes some seconds and leaves nothing behind.

    The checks run on an MLP and on a convolutional network with batch norm, with SGD, momentum and Adam, in every scenario.

    Args:
        kind: the method's class.
        arguments: at which what it does shows within ten steps. None: its defaults.
        off: arguments that make it fine-tuning, as {"strength": 0}; {} where it always trains so. None: there are none.
        margin: by how much its accuracy must beat fine-tuning's on five small tasks. None: it need not.
        refuses: scenarios that it can't work in, each with a part of the message that says so, as {"class": "use scenario="}.
        rereads: it keeps earlier tasks' own data and reads them again.
        baseline: it is from no paper, so its docstring names none.
        rigid: a huge `strength`, where it has such an argument, holds an earlier task as it is.
        unit_inputs: it needs inputs in [0, 1].
        plain_first: its first task is fine-tuning, bit for bit; False where it has a loss of its own from there on.
        grows: its network can be widened (`lifelong.growth`).
        sets_back: it starts a task from the network of an earlier one, batch-norm statistics included.
        checks: names of the only checks to run, to look into one. None: all.
        raises: raise where something fails, so that one line is a test; False: only return the report.

    Returns:
        The report; print it.

    Raises:
        ConformanceError: something failed; its text is the report.
        MethodError, ScenarioError: what was given here is wrong.

    >>> from lifelong.methods import L2
    >>> print(check_method(L2, arguments={"strength": 0.5}, checks=["describes_itself", "beats_finetuning"]))
    L2: conforms.
    ok: describes_itself. Its docstring says what it is, and its arguments can be written down and read back.
    not applicable: beats_finetuning. no `margin` was given: by how much its accuracy must beat fine-tuning's
    """
    case = Case(kind, arguments or {}, off, margin, refuses or {}, rereads, baseline, rigid, unit_inputs, plain_first, grows, sets_back)
    for name in checks or ():
        if name not in CHECKS:
            raise MethodError(f"there is no check {name!r}; {nearest(name, CHECKS)}")
    case.make(**(off or {}))  # what the constructor has against the arguments, it says itself
    case.make()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        outcomes = [outcome for check in (CHECKS if checks is None else checks) for outcome in _outcomes(case, check, Path(folder))]
    report = Conformance(kind.__name__, tuple(outcomes))
    if raises and not report.passed:
        raise ConformanceError(str(report))
    return report


def _outcomes(case: Case, check: str, folder: Path) -> list[Outcome]:
    reason = not_applicable(case, check)
    if reason:
        return [Outcome(check, "", "not applicable", reason)]
    return [_outcome(case, check, name, setting, folder) for name, setting in settings_of(case, check)]


def _outcome(case: Case, check: str, name: str, setting: Setting, folder: Path) -> Outcome:
    try:
        CHECKS[check](case, setting, folder / check / name)
    except Exception as error:  # whatever a user's method raises is what the report is about
        return Outcome(check, name, "failed", _reason(case, error))
    return Outcome(check, name, "ok")


def _reason(case: Case, error: Exception) -> str:
    """What went wrong, and where in the method's own code."""
    what = str(error) if isinstance(error, ConformanceError) else f"{type(error).__name__}: {error}"
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if isinstance(frame.f_locals.get("self"), case.kind)]
    if not frames:
        return what
    frame, line = frames[-1]
    return f"{what} (in {frame.f_code.co_name}, {Path(inspect.getfile(frame)).name}, line {line})"
