"""What the parts of docs/speed.md share: numbers in words, tables and pictures."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lifelong.report import svg
from lifelong.report.units import UNDEFINED, count

NOT_MEASURED = "not measured"

Entries = Mapping[str, dict[str, Any]]
Content = Mapping[str, Any]  # of a benchmark's file: "machine", "settings", "entries"
Lines = Iterable[str]


def times(value: float) -> str:
    """A ratio."""
    return UNDEFINED if math.isnan(value) else f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def micro(value: float) -> str:
    return count(1e6 * value)


def milli(value: float) -> str:
    return f"{1000 * value:.1f}"


def cell(entry: Mapping[str, Any] | None, field: str, show: Callable[[float], str] = times) -> str:
    """A number of an entry; a field that an entry lacks is one that there is not for it."""
    return NOT_MEASURED if entry is None else show(entry[field]) if field in entry else UNDEFINED


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Markdown; the numbers, which are in all columns but the first, to the right."""
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def card(width: float, height: float, title: str, description: str, drawn: Sequence[str]) -> str:
    """A picture on white, so that it can be read on a dark page, too."""
    under = svg.element("rect", width="100%", height="100%", rx=6, fill="#ffffff")
    return svg.picture(width, height, title, description, under, *drawn).replace(">", ' font-family="system-ui, sans-serif">', 1)
