"""Arrows in the plane that they span."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from lifelong.report import svg

Point = tuple[float, float]
HEAD = 11.0  # an arrow's head, in pixels
ROOM = 26.0  # around the arrows, for what is written at their ends


class Arrow(NamedTuple):
    """An arrow from the origin.

    Attributes:
        name: written at its end, as "g".
        words: what it is, for the legend.
        end: (x, y), y upwards, in the vectors' own unit.
    """

    name: str
    words: str
    end: Point


def half_plane(title: str, arrows: Sequence[Arrow], allowed: str, angles: Sequence[tuple[int, int, str]], *, width: float = 460.0) -> str:
    """Arrows over the half-plane y >= 0, which is shaded, with angles between pairs of them and their legend under the picture.

    Args:
        allowed: words for the half-plane.
        angles: (first, second, words): positions of two arrows, and what is written at the arc between them.
    """
    across = [0.0, *(arrow.end[0] for arrow in arrows)]
    up = [0.0, *(arrow.end[1] for arrow in arrows)]
    scale = min((width - 2 * ROOM) / (max(across) - min(across) or 1.0), 240.0 / (max(up) - min(up) or 1.0))
    top = ROOM + 16
    height = top + scale * (max(up) - min(up)) + ROOM
    origin = (width - scale * (min(across) + max(across))) / 2, top + scale * max(up)
    ends = [(origin[0] + scale * arrow.end[0], origin[1] - scale * arrow.end[1]) for arrow in arrows]
    drawn = [
        svg.element("rect", x=0.0, y=0.0, width=width, height=origin[1], fill="#e8f3ec"),
        svg.line(0.0, origin[1], width, origin[1], stroke=svg.QUIET, stroke_dasharray="2 4"),
        svg.text(width - 8, 18, allowed, anchor="end", fill=svg.QUIET),
    ]
    drawn += [_arc(origin, ends[first], ends[second], 32.0 + 36.0 * place, words) for place, (first, second, words) in enumerate(angles)]
    for position, (arrow, end) in enumerate(zip(arrows, ends, strict=True)):
        drawn += _arrow(origin, end, svg.COLOURS[position % len(svg.COLOURS)], arrow.name)
    for position, arrow in enumerate(arrows):
        y = height + 20 * position + 6
        drawn.append(svg.line(8, y, 34, y, stroke=svg.COLOURS[position % len(svg.COLOURS)], stroke_width=3))
        drawn.append(svg.text(42, y + 4, f"{arrow.name}: {arrow.words}"))
    said = [f"{arrow.name}: {arrow.words}, ({arrow.end[0]:.2f}, {arrow.end[1]:.2f})" for arrow in arrows]
    said += [f"{arrows[first].name}, {arrows[second].name}: {words}" for first, second, words in angles]
    return svg.picture(width, height + 20 * len(arrows), title, "; ".join(said), *drawn)


def _arrow(start: Point, end: Point, colour: str, name: str) -> list[str]:
    direction = math.atan2(end[1] - start[1], end[0] - start[0])
    neck = end[0] - HEAD * math.cos(direction), end[1] - HEAD * math.sin(direction)
    side = 0.45 * HEAD * math.sin(direction), -0.45 * HEAD * math.cos(direction)
    corners = [end, (neck[0] + side[0], neck[1] + side[1]), (neck[0] - side[0], neck[1] - side[1])]
    beyond = end[0] + 15 * math.cos(direction), end[1] + 15 * math.sin(direction) + 5
    return [
        svg.line(*start, *neck, stroke=colour, stroke_width=3),
        svg.element("polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in corners), fill=colour),
        svg.text(*beyond, name, anchor="middle", fill=colour, font_size=16, font_weight=600),
    ]


def _arc(centre: Point, first: Point, second: Point, radius: float, words: str) -> str:
    """The arc from one direction to the other, the short way, with its words outside at the middle."""
    start, stop = (math.atan2(y - centre[1], x - centre[0]) for x, y in (first, second))
    turn = (stop - start + math.pi) % math.tau - math.pi
    points = [
        (centre[0] + radius * math.cos(start + turn * i / 24), centre[1] + radius * math.sin(start + turn * i / 24)) for i in range(25)
    ]
    middle = start + 0.5 * turn
    x, y = (centre[0] + (radius + 6) * math.cos(middle), centre[1] + (radius + 6) * math.sin(middle) + 4)
    anchor = "start" if math.cos(middle) >= 0 else "end"
    return svg.polyline(points, stroke=svg.QUIET, stroke_width=1.2) + svg.text(x, y, words, anchor=anchor)
