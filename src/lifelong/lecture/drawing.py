"""The lecture's pictures: words come in as arguments, in whichever language; numbers become places here."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lifelong.report import svg
from lifelong.report.frame import Frame, round_floor
from lifelong.report.heat import cell, empty_cells
from lifelong.report.units import UNDEFINED

WIDTH, HEIGHT = 460.0, 270.0  # of a picture of lines, without its legend
WIDE = 1.8  # a Chinese character's width against a Latin one's


class Series(NamedTuple):
    """A line: its name, its points (x, y) with y NaN where it is undefined, and whether it is a baseline (dashed)."""

    name: str
    points: Sequence[tuple[float, float]]
    baseline: bool = False


class Bars(NamedTuple):
    """A group of bars: what the group is about, and a fraction for each of the picture's names."""

    name: str
    values: Sequence[float]


def percent(value: float) -> str:
    """A fraction in percent, as pictures and sentences of the lecture say it.

    >>> percent(0.9734), percent(float("nan"))
    ('97 %', '–')
    """
    return UNDEFINED if math.isnan(value) else f"{100 * value:.0f} %"


def width_of(words: str, font_size: float = 12.0) -> float:
    """About how wide words are, with Chinese characters among them."""
    return sum(WIDE if ord(character) > 0x2E7F else 1.0 for character in words) * svg.CHARACTER * font_size


def lines(
    title: str,
    series: Sequence[Series],
    across: str,
    *,
    floor: float | None = None,
    ceiling: float = 1.0,
    number: Callable[[float], str] | None = None,
) -> str:
    """Fractions, or other numbers, over a count: one line each, its legend under the picture.

    Args:
        across: what is counted.
        floor: the lower end of the axis up. None: the smallest value, rounded down.
        ceiling: the upper end of the axis up.
        number: how a number on the axis up is written, for what is no fraction. None: in percent.
    """
    values = [y for one in series for _, y in one.points if not math.isnan(y)]
    places = [x for one in series for x, _ in one.points]
    low = round_floor(values) if floor is None else floor
    up = [(tick, number(tick)) for tick in svg.ticks(low, ceiling)] if number else []
    margin = max((width_of(words) + 8 for _, words in up), default=40.0)
    frame = Frame(WIDTH, HEIGHT, (min(places), max(places)), (low, ceiling), left=max(margin, 40.0))
    drawn = frame.axes(frame.counted(), up or frame.percent(), across)
    markers, said = [], []
    for position, (name, points, baseline) in enumerate(series):
        colour, shape = svg.COLOURS[position % len(svg.COLOURS)], svg.MARKERS[position % len(svg.MARKERS)]
        path = [(frame.x(x), frame.y(y)) for x, y in points]
        drawn.append(svg.polyline(path, stroke=colour, stroke_width=2, stroke_dasharray="6 4" if baseline else None))
        marked = [path[i] for i in svg.thin(len(path), 8) if not math.isnan(path[i][1])]
        markers += [svg.marker(shape, x, y, 3.6, fill=colour, stroke="#ffffff", stroke_width=1) for x, y in marked]
        said.append(f"{name}: {', '.join(f'{points[i][0]:g} → {(number or percent)(points[i][1])}' for i in svg.thin(len(points), 12))}")
    named, height = legend([one.name for one in series], [one.baseline for one in series], HEIGHT, WIDTH)
    return svg.picture(WIDTH, HEIGHT + height, title, "; ".join(said), *drawn, *markers, *named)


def bars(title: str, names: Sequence[str], groups: Sequence[Bars], *, width: float = 460.0) -> str:
    """Fractions as lying bars with their numbers, in groups; `names` are the bars of a group, each with a colour of its own."""
    left, right = min(max(width_of(name, 12) for name in names) + 16, 0.4 * width), width - 52
    pitch, room = 20.0, 26.0
    y, drawn, said = 4.0, [], []
    for group in groups:
        y += room - 6
        drawn.append(svg.text(4, y - 5, group.name, font_weight=600))
        for position, (name, value) in enumerate(zip(names, group.values, strict=True)):
            colour = svg.COLOURS[position % len(svg.COLOURS)]
            drawn.append(svg.text(left - 8, y + 13, name, anchor="end"))
            drawn.append(svg.element("rect", x=left, y=y + 2, width=right - left, height=pitch - 6, fill="#f6f7f8"))
            if not math.isnan(value):
                drawn.append(svg.element("rect", x=left, y=y + 2, width=max(value, 0.0) * (right - left), height=pitch - 6, fill=colour))
            drawn.append(svg.text(right + 6, y + 13, percent(value)))
            y += pitch
        said.append(f"{group.name}: {', '.join(f'{name} {percent(v)}' for name, v in zip(names, group.values, strict=True))}")
        y += 6
    return svg.picture(width, y, title, "; ".join(said), *drawn)


def columns(title: str, names: Sequence[str], groups: Sequence[Bars], across: str, *, size: tuple[float, float] = (560.0, 250.0)) -> str:
    """Fractions as standing bars in many narrow groups; `names` are the bars of a group, `across` what the groups are."""
    rows = _legend_rows(names, size[0])
    frame = Frame(size[0], size[1], (0, len(groups)), (0.0, 1.0), left=40.0)
    drawn = frame.axes([(i + 0.5, group.name) for i, group in enumerate(groups)], frame.percent(), across)
    width = 0.8 / len(names)
    for i, group in enumerate(groups):
        for position, value in enumerate(group.values):
            if math.isnan(value):
                continue
            left = frame.x(i + 0.1 + position * width)
            box = {"x": left, "y": frame.y(value), "width": frame.x(i + 0.1 + (position + 1) * width) - left - 0.5}
            drawn.append(svg.element("rect", **box, height=frame.bottom - frame.y(value), fill=svg.COLOURS[position % len(svg.COLOURS)]))
    said = [f"{group.name}: {', '.join(f'{n} {percent(v)}' for n, v in zip(names, group.values, strict=True))}" for group in groups]
    legend = []
    for row, entries in enumerate(rows):
        for position, name, x in entries:
            y = size[1] + 20 * row + 2
            legend.append(svg.element("rect", x=x, y=y, width=12, height=12, fill=svg.COLOURS[position % len(svg.COLOURS)]))
            legend.append(svg.text(x + 18, y + 10, name))
    return svg.picture(size[0], size[1] + 20 * len(rows), title, "; ".join(said), *drawn, *legend)


def matrix(
    title: str,
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    framed: Sequence[tuple[int, int]] = (),
) -> str:
    """Fractions as coloured cells with numbers in percent, darker is more, hatched is undefined; `framed` are (row, column) of cells."""
    size = 44.0, 28.0
    drawn, said, (left, top) = grid(values, rows, columns, size=size, number=lambda value: f"{100 * value:.0f}", say=percent, framed=framed)
    return svg.picture(left + size[0] * len(columns) + 4, top + size[1] * len(rows) + 4, title, "; ".join(said), *drawn)


def grid(
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    size: tuple[float, float],
    number: Callable[[float], str],
    say: Callable[[float], str],
    framed: Sequence[tuple[int, int]] = (),
) -> tuple[list[str], list[str], tuple[float, float]]:
    """The cells of a matrix of fractions, with the names around them; what they say, a text a row; and where they begin.

    Args:
        size: a cell's width and height.
        number: what is written in a cell.
        say: how the text alternative says it.
        framed: (row, column) of cells to frame.
    """
    (width, height), left, top = size, max(width_of(row) for row in rows) + 14, 24.0
    drawn, empty, said = [], [], []
    for i, (row, line) in enumerate(zip(rows, values, strict=True)):
        y = top + i * height
        drawn.append(svg.text(left - 8, y + height / 2 + 4, row, anchor="end", fill=svg.QUIET))
        for j, value in enumerate(line):
            box = left + j * width, y, width, height
            if math.isnan(value):
                empty.append(box)
            else:
                drawn.append(cell(box, svg.scale_colour(value), number(value), framed=(i, j) in framed))
        said.append(f"{row}: {', '.join(map(say, line))}")
    drawn += empty_cells(empty)
    for j, name in enumerate(columns):
        words = svg.shorten(name, width + 6, 11)
        drawn.append(svg.text(left + (j + 0.5) * width, top - 8, words, anchor="middle", fill=svg.QUIET, font_size=11))
    return drawn, said, (left, top)


def legend(names: Sequence[str], baselines: Sequence[bool], top: float, width: float) -> tuple[list[str], float]:
    """What names a picture's lines, in their colours and with their markers (a baseline's dashed), set from `top` on; and its height."""
    rows = _legend_rows(names, width)
    return _legend(rows, top, baselines), 20.0 * len(rows)


def _legend_rows(names: Sequence[str], width: float) -> list[list[tuple[int, str, float]]]:
    """Names set in rows: (position, name, x)."""
    rows: list[list[tuple[int, str, float]]] = [[]]
    x = 40.0
    for position, name in enumerate(names):
        needed = 46 + width_of(name)
        if rows[-1] and x + needed > width:
            rows.append([])
            x = 40.0
        rows[-1].append((position, name, x))
        x += needed
    return rows


def _legend(rows: Sequence[Sequence[tuple[int, str, float]]], top: float, baselines: Sequence[bool]) -> list[str]:
    drawn = []
    for row, entries in enumerate(rows):
        y = top + 20 * row + 8
        for position, name, x in entries:
            colour, shape = svg.COLOURS[position % len(svg.COLOURS)], svg.MARKERS[position % len(svg.MARKERS)]
            drawn.append(svg.line(x, y, x + 26, y, stroke=colour, stroke_width=2, stroke_dasharray="5 3" if baselines[position] else None))
            drawn.append(svg.marker(shape, x + 13, y, 3.6, fill=colour, stroke="#ffffff", stroke_width=1))
            drawn.append(svg.text(x + 32, y + 4, name))
    return drawn
