"""Published numbers beside ours: how a measure is found in a run, the difference, and the verdict."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lifelong.errors import nearest
from lifelong.report import units
from lifelong.report.digest import MEASURES, WAYS, Estimate, ReportError, Results, Run, check_results, estimate

COLUMNS = ("ours", "seeds", "published", "difference", "tolerance", "verdict")  # what `cells` gives
ROUNDING = 1e-9  # 0.80 is within 0.03 of 0.83, which floats deny
Find = Callable[[Run], float | None]


@dataclass(frozen=True)
class PublishedRow:
    """A published number beside ours; NaN where ours is undefined or was not run. Fractions, like everything in the results.

    Attributes:
        measure, label: as the recipe writes it, and in words.
        unfinished: how many of the method's runs failed or have not finished.
        published, spread: the number, and the source's standard deviation over seeds; NaN if that is not known.
        difference: ours - published.
        tolerance: how far apart the recipe expects them to be; NaN if it does not say.
        bound: "least" or "most" if the published number is a bound, otherwise "".
        note: what the recipe says about it.
    """

    method: str
    measure: str
    label: str
    ours: Estimate
    unfinished: int
    published: float
    spread: float
    difference: float
    tolerance: float
    bound: str
    source: str
    note: str

    @property
    def seeds(self) -> int:
        """How many runs ours is the mean of."""
        return len(self.ours.points)

    @property
    def verdict(self) -> str:
        """Within or outside what the recipe expects; "not run" where we have no number, "" where the recipe expects nothing."""
        if math.isnan(self.difference):
            return "not run"
        if self.bound:
            return "within" if (self.difference if self.bound == "least" else -self.difference) >= -ROUNDING else "outside"
        if math.isnan(self.tolerance):
            return ""
        return "within" if abs(self.difference) <= self.tolerance + ROUNDING else "outside"


def measure_of(measure: str) -> tuple[str, Find]:
    """A measure's label, and how to find it in a finished run.

    Args:
        measure: a key of a run's summary, or "R[i,j]": row i (after learning i tasks; 0 is the untrained network), task j from 1. With
            "told." or "routed." before it, the same asked in that one of WAYS.
    """
    way, _, name = measure.rpartition(".")
    if entry := re.fullmatch(r"R\[\s*(\d+)\s*,\s*([1-9]\d*)\s*\]", name):
        i, j = int(entry[1]), int(entry[2])
        label, find = f"task {j} " + (f"after task {i}" if i else "untrained"), _entry(i, j)
    elif name in MEASURES and way in ("", *WAYS):
        label, find = MEASURES[name], _measure(name)
    else:
        raise ReportError(f"unknown published measure {measure!r}; {nearest(name, [*MEASURES, 'R[i,j]'])}")
    return (f"{label}, {WAYS[way][0]}", lambda run: find(run[way]) if way in run else None) if way else (label, find)


def _measure(name: str) -> Find:
    return lambda run: run["summary"].get(name)


def _entry(i: int, j: int) -> Find:
    def find(run: Run) -> float | None:
        rows = [run["initial"], *run["matrix"]]
        return rows[i][j - 1] if i < len(rows) and j <= len(rows[i]) else None

    return find


def published_rows(results: Results) -> list[PublishedRow]:
    """The published numbers that `results` carries, each beside ours: the mean over finished seeds, and the difference ours - published."""
    check_results(results)
    return [beside(item, results["runs"], measure_of(item["measure"])[1]) for item in results.get("published", [])]


def beside(item: Mapping[str, Any], runs: Iterable[Run], find: Find) -> PublishedRow:
    """One published number, as a recipe has it, beside ours, which `find` finds in each finished run of its method."""
    own = [run for run in runs if run["method"] == item["method"]]
    found = [find(run) for run in own if run["status"] == "finished"]
    ours = estimate([float("nan") if value is None else float(value) for value in found])
    return PublishedRow(
        method=item["method"],
        measure=item["measure"],
        label=measure_of(item["measure"])[0],
        ours=ours,
        unfinished=len(own) - len(found),
        published=float(item["value"]),
        spread=float(item.get("spread", "nan")),
        difference=ours.mean - float(item["value"]),
        tolerance=float(item.get("tolerance", "nan")),
        bound=item.get("bound", ""),
        source=item["source"],
        note=item.get("note", ""),
    )


def cells(row: PublishedRow) -> list[str]:
    """What a table shows of a row, in the order of COLUMNS."""
    bound = {"least": "≥ ", "most": "≤ ", "": ""}[row.bound]
    return [
        units.percent_with_spread(row.ours.mean, row.ours.spread),
        str(row.seeds),
        bound + units.percent_with_spread(row.published, row.spread),
        units.signed_percent(row.difference),
        units.percent(row.tolerance),
        row.verdict or units.UNDEFINED,
    ]


def counts(rows: Iterable[PublishedRow]) -> str:
    """How many rows got which verdict, in words: "5 within, 1 outside"; those that none was asked of are not counted."""
    found = Counter(row.verdict for row in rows)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in ("within", "outside", "not run") if found[verdict])


def passes(rows: Iterable[PublishedRow]) -> bool:
    """Whether every number is within what the recipe expects, and every run that it is a mean of has finished."""
    return all(row.verdict in ("within", "") and not row.unfinished for row in rows)
