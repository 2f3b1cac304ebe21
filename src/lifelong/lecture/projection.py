"""A picture of what was measured for the first tasks and what a formula says of the thousandth, both axes logarithmic."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lifelong.lecture.drawing import legend, width_of
from lifelong.report import svg
from lifelong.report.frame import Frame

WIDTH, HEIGHT = 460.0, 290.0
LINE = 14.0  # between the words at the lines' ends


class Projected(NamedTuple):
    """A line: its name, what was measured (task, value), and the formula's value for any task. What is 0 has no place on the axis."""

    name: str
    measured: Sequence[tuple[int, float]]
    formula: Callable[[int], float]


def projection(title: str, series: Sequence[Projected], across: str, show: Callable[[float], str], *, last: int) -> str:
    """Measured points and the formula's line through them, from task 1 to task `last`, where the line says its value.

    Args:
        across: what is counted.
        show: a value in words, as `lifelong.report.units.size`.
    """
    places = [number for one in series for number, _ in one.measured]
    shown = [value for one in series for _, value in _points(one, [*places, 1, last])] or [1.0]
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    up = [(float(power), show(10.0**power).replace(".0 ", " ")) for power in range(low, high + 1)]
    at_end = [show(one.formula(last)) for one in series]
    left, right = max(width_of(words) for _, words in up) + 12, max(width_of(words) for words in at_end) + 14
    frame = Frame(WIDTH, HEIGHT, (0.0, math.log10(last)), (float(low), float(max(high, low + 1))), left=left, right=right)
    drawn = frame.axes([(float(power), f"{10**power:,}") for power in range(math.floor(math.log10(last)) + 1)], up, across)
    markers, ends, said = [], [], []
    for position, (one, words) in enumerate(zip(series, at_end, strict=True)):
        colour, shape = svg.COLOURS[position % len(svg.COLOURS)], svg.MARKERS[position % len(svg.MARKERS)]
        line = [(frame.x(math.log10(number)), frame.y(math.log10(value))) for number, value in _points(one, [1, last])]
        points = [(frame.x(math.log10(number)), frame.y(math.log10(value))) for number, value in _measured(one)]
        drawn.append(svg.polyline(line, stroke=colour, stroke_width=1.6, stroke_dasharray="5 4"))
        markers += [svg.marker(shape, x, y, 3.6, fill=colour, stroke="#ffffff", stroke_width=1) for x, y in points]
        if line:
            ends.append((line[-1][1], words, colour))
        first = ", ".join(f"{number} → {show(value)}" for number, value in one.measured)
        said.append(f"{one.name}: {first}; {last:,} → {words}")
    below = [svg.text(frame.right + 6, y + 4, words, fill=colour, font_weight=600) for y, words, colour in _apart(ends)]
    named, height = legend([one.name for one in series], [True] * len(series), HEIGHT, WIDTH)
    return svg.picture(WIDTH, HEIGHT + height, title, "; ".join(said), *drawn, *markers, *below, *named)


def _points(one: Projected, numbers: Sequence[int]) -> list[tuple[int, float]]:
    found = [(number, one.formula(number)) for number in numbers]
    return [(number, value) for number, value in found if value > 0]


def _measured(one: Projected) -> list[tuple[int, float]]:
    return [(number, value) for number, value in one.measured if value > 0]


def _apart(ends: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Words at the lines' ends, from the top down, each at least a line under the one above."""
    placed: list[tuple[float, str, str]] = []
    for y, words, colour in sorted(ends):
        placed.append((max(y, placed[-1][0] + LINE) if placed else y, words, colour))
    return placed
