"""The table of checks, and which settings a check of a method runs in."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from lifelong.testing import exactness, gains, manners
from lifelong.testing.cases import SETTINGS, Case, Setting

Check = Callable[[Case, Setting, Path], None]

CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        exactness.differs_from_finetuning,
        exactness.off_is_finetuning,
        exactness.one_task_is_finetuning,
        exactness.goes_on_between_tasks,
        exactness.goes_on_inside_a_task,
        manners.touches_no_other_tasks_data,
        manners.callers_objects_stay,
        manners.keeps_batch_norm_statistics,
        exactness.follows_growth,
        exactness.same_seed_same_bits,
        exactness.composes,
        manners.runs_in_every_scenario,
        manners.describes_itself,
        gains.beats_finetuning,
        gains.is_rigid_at_a_huge_strength,
    )
}
ONCE = ("mlp-sgd-task",)
ONCE_AN_OPTIMIZER = tuple(name for name in SETTINGS if name.startswith("mlp"))
WITH_BATCH_NORM = tuple(name for name in SETTINGS if name.startswith("convnet"))
FEWER = {
    "describes_itself": ONCE,
    "beats_finetuning": ONCE,
    "is_rigid_at_a_huge_strength": ONCE_AN_OPTIMIZER,
    "keeps_batch_norm_statistics": WITH_BATCH_NORM,
}


def in_words(check: str) -> tuple[str, str]:
    """What must hold, and what to do where it does not."""
    must, _, hint = (inspect.getdoc(CHECKS[check]) or check).partition("\n\n")
    return must, " ".join(hint.split())


def not_applicable(case: Case, check: str) -> str:
    """Why a check does not apply to a method; empty where it does."""
    reasons = {
        "differs_from_finetuning": "it trains as fine-tuning does, off={}" if case.off == {} else "",
        "off_is_finetuning": "no `off` was given: arguments that make it fine-tuning" if case.off is None else "",
        "one_task_is_finetuning": ""
        if case.plain_first
        else "plain_first=False was given: it has a loss of its own from the first task on",
        "beats_finetuning": "no `margin` was given: by how much its accuracy must beat fine-tuning's" if case.margin is None else "",
        "follows_growth": "" if case.grows else "grows=False was given: its network can't be widened",
        "keeps_batch_norm_statistics": "it sets the whole network back (restarts = True)"
        if case.kind.restarts
        else "sets_back=True was given: it starts from an earlier task's network"
        if case.sets_back
        else "",
        "is_rigid_at_a_huge_strength": _not_rigid(case),
    }
    return reasons.get(check, "")


def _not_rigid(case: Case) -> str:
    if "strength" not in case.parameters():
        return "it has no argument `strength`"
    if "domain" in case.refuses:
        return "it is checked in the scenario 'domain', which the method refuses"
    return "" if case.rigid else "rigid=False was given: its strength is not meant to hold an earlier task still"


def settings_of(case: Case, check: str) -> Iterator[tuple[str, Setting]]:
    """The settings that a check of a method runs in, by name; none where the check does not apply."""
    for name in FEWER.get(check, tuple(SETTINGS)) if not not_applicable(case, check) else ():
        scenario = case.scenario(SETTINGS[name].scenario)
        yield f"{name.rpartition('-')[0]}-{scenario}", replace(SETTINGS[name], scenario=scenario, unit_inputs=case.unit_inputs)
