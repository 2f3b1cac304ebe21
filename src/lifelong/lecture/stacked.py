"""Panels one above the other that share the axis across, as in Kirkpatrick's first figure: a task's accuracy while others are learned."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from lifelong.lecture.drawing import Series, legend, percent, width_of
from lifelong.report import svg
from lifelong.report.frame import Frame, round_floor

WIDTH, PANEL = 640.0, 130.0
GAP = 20.0  # between panels
ABOVE = 16.0  # room for the marks' words


class Panel(NamedTuple):
    """A panel: its name, and a line for each of the picture's names, in their order."""

    name: str
    series: Sequence[Series]


def stacked(title: str, panels: Sequence[Panel], across: str, marks: Sequence[tuple[float, str]]) -> str:
    """Fractions over a count, a panel for each thing that is measured; panels have the same names, colours and range.

    Args:
        across: what is counted.
        marks: places on the axis across that get a vertical line through all panels, and words above them.
    """
    points = [point for panel in panels for one in panel.series for point in one.points]
    low = round_floor([y for _, y in points if not math.isnan(y)])
    reach = (min([0.0, *(x for x, _ in points)]), max(x for x, _ in points))
    right = max(width_of(panel.name) for panel in panels) + 16
    drawn, markers, said, top = [], [], [], ABOVE
    for panel in panels:
        frame = Frame(WIDTH, top + PANEL + 34.0, reach, (low, 1.0), right=right)
        frame.top = top
        last = panel is panels[-1]
        ticks = [(tick, f"{tick:g}") for tick in svg.ticks(*reach)] if last else []
        up = [(tick, f"{100 * tick:.0f}") for tick in svg.ticks(low, 1.0, 5)]
        drawn += frame.axes(ticks, up, across if last else "")
        drawn.append(svg.text(frame.right + 8, (frame.top + frame.bottom) / 2 + 4, panel.name, font_weight=600))
        for place, words in marks:
            drawn.append(svg.line(frame.x(place), frame.top, frame.x(place), frame.bottom, stroke=svg.QUIET, stroke_dasharray="2 4"))
            if panel is panels[0]:
                drawn.append(svg.text(frame.x(place) + 4, ABOVE - 6, words, fill=svg.QUIET, font_size=11))
        for position, (name, line, baseline) in enumerate(panel.series):
            colour, shape = svg.COLOURS[position % len(svg.COLOURS)], svg.MARKERS[position % len(svg.MARKERS)]
            path = [(frame.x(x), frame.y(y)) for x, y in line]
            drawn.append(svg.polyline(path, stroke=colour, stroke_width=1.8, stroke_dasharray="6 4" if baseline else None))
            chosen = [path[i] for i in svg.thin(len(path), 7)]
            markers += [svg.marker(shape, x, y, 3.2, fill=colour, stroke="#ffffff", stroke_width=1) for x, y in chosen if not math.isnan(y)]
            said.append(f"{panel.name}, {name}: {', '.join(f'{line[i][0]:g} → {percent(line[i][1])}' for i in svg.thin(len(line), 8))}")
        top += PANEL + GAP
    height = top - GAP + 34.0
    first = panels[0].series
    named, needed = legend([one.name for one in first], [one.baseline for one in first], height, WIDTH)
    return svg.picture(WIDTH, height + needed, title, "; ".join(said), *drawn, *markers, *named)
