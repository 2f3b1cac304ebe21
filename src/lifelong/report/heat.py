"""Heat maps: their cells, and the tables that methods have to show."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from lifelong.matrix import Values
from lifelong.report import svg
from lifelong.report.digest import MethodDigest, ReportError
from lifelong.report.units import MINUS, UNDEFINED

Box = tuple[float, float, float, float]  # x, y, width, height
NUMBERED = 12  # heat maps of more columns have no numbers in their cells
MOST_CELLS = 48  # beyond this, evenly spread rows and columns are shown
HATCH = "#c9ced4"
EMPTY = "#f6f7f8"
NUMBER_SIZE = 11.5
MOST_LABEL = 150.0  # longer names are cut
SLANT = 40  # degrees, of columns' names that are wider than their cells


def cell(box: Box, colour: str, number: str = "", hover: str = "", *, framed: bool = False) -> str:
    """A coloured cell, bare or with a number in it and words for whoever points at it."""
    x, y, width, height = box
    frame = {"stroke": svg.INK, "stroke_width": 1.5} if framed else {}
    gap = 1.0 if number else 0.5
    title = svg.element("title", escape(hover)) if hover else ""
    drawn = svg.element("rect", title, x=x + 0.5, y=y + 0.5, width=width - gap, height=height - gap, fill=colour, **frame)
    if number:
        ink = svg.ink_on(colour)
        drawn += svg.text(x + width / 2, y + height / 2 + 4, number, anchor="middle", fill=ink, font_size=NUMBER_SIZE, class_="cell")
    return drawn


def empty_cells(boxes: Sequence[Box]) -> list[str]:
    """Hatched cells, for what is undefined. The strokes are one path, drawn over all."""
    drawn = [svg.element("rect", x=x, y=y, width=width, height=height, fill=EMPTY) for x, y, width, height in boxes]
    strokes = [f"M{x:.1f} {y + height:.1f}l{width:.1f} {-height:.1f}" for x, y, width, height in boxes]
    return [*drawn, svg.element("path", d="".join(strokes), stroke=HATCH, fill="none", stroke_width=1)]


def tables(methods: Sequence[MethodDigest]) -> list[tuple[str, str, str]]:
    """For every table that a run carries: whose it is, its title, and the picture.

    Raises:
        ReportError: a table has not as many values as its names ask for.
    """
    return [
        (f"{method.name}, seed {run['seed']}", table["title"], table_map(method.name, table))
        for method in methods
        for run in method.finished
        for table in run.get("tables", [])
    ]


def table_map(name: str, table: Mapping[str, Any]) -> str:
    """A method's table as coloured cells, darker is more, hatched is undefined."""
    values = _values(name, table)
    numbered = len(table["columns"]) <= NUMBERED
    rows, columns = svg.thin(len(table["rows"]), MOST_CELLS), svg.thin(len(table["columns"]), MOST_CELLS)
    written = _written(values)
    low, high = _scale(values)
    longest = max((len(number) for line in written for number in line), default=1)
    width = max(38.0, svg.CHARACTER * NUMBER_SIZE * longest + 10) if numbered else max(300.0 / len(columns), 6.0)
    height = 26.0 if numbered else width
    names = [svg.shorten(each, MOST_LABEL) for each in table["columns"]]
    marked_rows = range(len(rows)) if numbered else svg.thin(len(rows), 6)
    marked_columns = range(len(columns)) if numbered else svg.thin(len(columns), 6)
    wide = max((_length(names[columns[c]]) for c in marked_columns), default=0.0)
    slanted = wide > width * len(columns) / max(len(marked_columns), 1) - 4
    rise, run_out = (math.sin(math.radians(SLANT)) * wide, math.cos(math.radians(SLANT)) * wide) if slanted else (0.0, 0.0)
    labels = [svg.shorten(table["rows"][i], MOST_LABEL) for i in rows]
    left, top = max(map(_length, labels), default=0.0) + 14, 18.0 + rise

    drawn, empty = [], []
    for r, i in enumerate(rows):
        for c, j in enumerate(columns):
            box = left + c * width, top + r * height, width, height
            if math.isnan(values[i, j]):
                empty.append(box)
                continue
            colour = svg.scale_colour((float(values[i, j]) - low) / (high - low))
            hover = f"{table['rows'][i]}, {table['columns'][j]}: {written[i][j]}"
            drawn.append(cell(box, colour, written[i][j], hover) if numbered else cell(box, colour))
    drawn += empty_cells(empty)
    for r in marked_rows:
        drawn.append(svg.text(left - 8, top + (r + 0.5) * height + 4, labels[r], anchor="end", fill=svg.QUIET))
    for c in marked_columns:
        x, y = left + (c + 0.5) * width, top - 6
        if slanted:
            drawn.append(svg.text(x, y, names[columns[c]], fill=svg.QUIET, transform=f"rotate(-{SLANT} {x:.1f} {y:.1f})"))
        else:
            drawn.append(svg.text(x, y, names[columns[c]], anchor="middle", fill=svg.QUIET))
    size = left + len(columns) * width + max(12.0, run_out - width / 2 + 6), top + len(rows) * height + 4
    return svg.picture(*size, f"{table['title']} with {name}", _in_words(table, values, written), *drawn)


def _values(name: str, table: Mapping[str, Any]) -> Values:
    rows, columns = len(table["rows"]), len(table["columns"])
    found = [len(row) for row in table["values"]]
    if found != [columns] * rows:
        raise ReportError(
            f"{name}: the table {table['title']!r} has {len(found)} rows of {', '.join(map(str, sorted(set(found)))) or 'no'} values; "
            f"expected {rows} rows of {columns}, one for each name"
        )
    return np.array(table["values"], dtype=np.float64).reshape(rows, columns)  # None becomes NaN


def _scale(values: Values) -> tuple[float, float]:
    """The values of the lightest and the darkest colour: 0 and 1 for fractions, else what there is with 0 in it."""
    defined = values[~np.isnan(values)]
    low, high = min(0.0, float(defined.min(initial=0.0))), float(defined.max(initial=0.0))
    if low == 0.0 and high <= 1.0:
        return 0.0, 1.0
    return low, high if high > low else low + 1.0


def _written(values: Values) -> list[list[str]]:
    """The numbers in the cells: whole ones as such, small ones with two decimals, others with three digits."""
    defined = values[~np.isnan(values)]
    whole = bool((defined == defined.round()).all())
    shape = ",.0f" if whole else ".2f" if float(np.abs(defined).max(initial=0.0)) < 10 else ".3g"
    return [[UNDEFINED if math.isnan(value) else _signed(value, shape) for value in row] for row in values.tolist()]


def _signed(value: float, shape: str) -> str:
    number = format(value, shape)
    return number.replace("-", MINUS) if float(number.replace(",", "")) else number.replace("-", "")


def _length(words: str) -> float:
    return svg.CHARACTER * 12.0 * len(words)


def _in_words(table: Mapping[str, Any], values: Values, written: Sequence[Sequence[str]]) -> str:
    if len(table["columns"]) > NUMBERED or len(table["rows"]) > MOST_CELLS:
        defined = values[~np.isnan(values)]
        span = f", from {defined.min():g} to {defined.max():g}" if defined.size else ""
        return f"{len(table['rows'])} rows and {len(table['columns'])} columns of numbers{span}."
    lines = (
        f"{row}: {', '.join(f'{column} {number}' for column, number in zip(table['columns'], numbers, strict=True))}"
        for row, numbers in zip(table["rows"], written, strict=True)
    )
    return f"{'; '.join(lines)}."
