"""Error surfaces of tasks over a plane of parameter space, with the trajectories of methods on them: one panel a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

from lifelong.landscape import Landscape, Point
from lifelong.report import svg
from lifelong.report.contour import regions, simpler
from lifelong.report.frame import Frame, Style
from lifelong.report.placing import Box, places
from lifelong.report.surface_words import Words, ending, in_words, loss, number, reaching, shares, width, wrapped

WIDTH, LEFT, RIGHT, BOTTOM = 400.0, 52.0, 10.0, 42.0
HEADING, LINE, GAP = 26.0, 21.0, 24.0  # the heading's height, a legend line's, the room between two panels
BANDS = 9  # of colour where error is not low, by equal ratios of what the loss is above the best
OUTSIDE, INSIDE = 0.6, (0.86, 1.0)  # of the colours' scale: the darkest where error is not low, and the two where it is
INNER = 4.0  # the inner band of low error ends at this part of the margin
TOLERANCE = 0.15  # pixels that a contour or a path may be off
MOST_POINTS = 200  # of a path; of a longer one evenly spread points are shown
TEXT = 13.0
# Those of the report's colours that are told from a blue surface, and from each other in gray as well.
COLOURS = ("#d55e00", "#000000", "#e69f00", "#cc79a7", "#009e73")
MARKERS = ("square", "circle", "triangle", "diamond", "nabla")
ENGLISH = Words()
DOTS = "1 5"  # of the path that is common to all


@dataclass(frozen=True)
class _Panel:
    """One task's elements, their height, and what they say."""

    content: tuple[str, ...]
    height: float
    said: str


def panels(landscape: Landscape, words: Words = ENGLISH, styles: Sequence[Style] | None = None) -> list[str]:
    """One picture a task, to stand beside each other where there is room and below each other where there is not.

    Args:
        words: in whichever language.
        styles: colour, marker and whether it is dashed, for each trajectory and then each sweep. None: such as go with the surface.
    """
    drawn = [_panel(landscape, task, words, styles) for task in range(len(landscape.surfaces))]
    titles = [words.title.format(task=surface.task) for surface in landscape.surfaces]
    return [svg.picture(WIDTH, each.height, title, each.said, *each.content) for title, each in zip(titles, drawn, strict=True)]


def side_by_side(landscape: Landscape, words: Words = ENGLISH, styles: Sequence[Style] | None = None) -> str:
    """All tasks' panels as one picture. Arguments as in `panels`."""
    drawn = [_panel(landscape, task, words, styles) for task in range(len(landscape.surfaces))]
    title = words.both.format(tasks=", ".join(surface.task for surface in landscape.surfaces))
    said = " ".join(
        f"{words.title.format(task=surface.task)}: {each.said}" for surface, each in zip(landscape.surfaces, drawn, strict=True)
    )
    groups = [svg.element("g", *each.content, transform=f"translate({i * (WIDTH + GAP):.0f} 0)") for i, each in enumerate(drawn)]
    return svg.picture(len(drawn) * (WIDTH + GAP) - GAP, max(each.height for each in drawn), title, said, *groups)


def default_styles(count: int) -> list[Style]:
    """Colours and markers for so many trajectories and sweeps."""
    return [(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], False) for i in range(count)]


def _panel(landscape: Landscape, task: int, words: Words, styles: Sequence[Style] | None) -> _Panel:
    used = default_styles(len(landscape.trajectories) + len(landscape.sweeps)) if styles is None else styles
    frame = _frame(landscape)
    across, up = ([(tick, number(tick)) for tick in svg.ticks(*span, 6)] for span in (frame.across, frame.up))
    middle = (frame.top + frame.bottom) / 2
    area = {"x": frame.left, "y": frame.top, "width": frame.right - frame.left, "height": frame.bottom - frame.top}
    clip = " ".join(f"{edge:.1f}" for edge in area.values())  # an inner svg shows nothing beyond its edges
    plot = [
        *frame.axes(across, up, words.across),
        svg.text(13, middle, words.up, anchor="middle", fill=svg.QUIET, transform=f"rotate(-90 13 {middle:.1f})"),
        svg.element("svg", *_surface(landscape, task, frame), *_paths(landscape, task, frame, used), viewBox=clip, **area),
        svg.element("rect", fill="none", stroke=svg.QUIET, **area),
        *_ends(landscape, task, frame, used),
    ]
    heading = svg.text(frame.left, 18, words.title.format(task=landscape.surfaces[task].task), font_size=15, font_weight=600)
    legend, height = _legend(landscape, task, words, used, HEADING + frame.height + 6)
    content = (heading, svg.element("g", *plot, transform=f"translate(0 {HEADING - frame.top + 2:.0f})"), *legend)
    return _Panel(content, height, in_words(landscape, task, words))


def _frame(landscape: Landscape) -> Frame:
    """Equal distances look equal on both axes, unless the picture would be very low or very high."""
    across, up = (landscape.across[0], landscape.across[-1]), (landscape.up[0], landscape.up[-1])
    height = (WIDTH - LEFT - RIGHT) * min(max((up[1] - up[0]) / (across[1] - across[0]), 0.5), 1.2)
    return Frame(WIDTH, height + 12.0 + BOTTOM, across, up, left=LEFT, right=RIGHT, bottom=BOTTOM)


def _surface(landscape: Landscape, task: int, frame: Frame) -> list[str]:
    """Bands of colour, each drawn over the lighter ones, and the outlines of all tasks' low-error regions."""
    colours = [svg.scale_colour(share) for share in (*(OUTSIDE * i / (BANDS - 1) for i in range(BANDS)), *INSIDE)]
    drawn = [svg.element("rect", x=0, y=0, width=frame.width, height=frame.height, fill=colours[0])]
    for level, colour in zip(_levels(landscape, task), colours[1:], strict=True):
        outline = _outline(landscape, task, level, frame)
        edge = {"stroke": "#ffffff", "stroke_opacity": 0.35}
        drawn += [svg.element("path", d=outline, fill=colour, fill_rule="evenodd", **edge)] if outline else []
    for other, surface in enumerate(landscape.surfaces):
        outline = _outline(landscape, other, surface.low, frame)
        drawn += [svg.element("path", d=outline, fill="none", **stroke) for stroke in _strokes(other == task) if outline]
    return drawn


def _levels(landscape: Landscape, task: int) -> list[float]:
    """Losses between bands, falling; low error begins at the last but one. The ratios are the same for every task."""
    heights = [(max(map(max, each.values)) - each.best) / max(each.low - each.best, 1e-12) for each in landscape.surfaces]
    ratio = max(*heights, 1.5) ** (1 / BANDS)
    best, margin = landscape.surfaces[task].best, landscape.surfaces[task].low - landscape.surfaces[task].best
    return [best + margin * ratio**power for power in reversed(range(BANDS))] + [best + margin / INNER]


def _strokes(own: bool) -> list[dict[str, object]]:
    """How the outline of a low-error region is drawn: the panel's own, or another task's, which lies on dark and light."""
    if own:
        return [{"stroke": "#ffffff", "stroke_width": 2.6}]
    return [
        {"stroke": "#ffffff", "stroke_width": 2.6, "stroke_opacity": 0.8},
        {"stroke": svg.INK, "stroke_width": 1.3, "stroke_dasharray": "5 4"},
    ]


def _outline(landscape: Landscape, task: int, level: float, frame: Frame) -> str:
    """The outline of {loss <= level} in pixels, as a path's commands; none where no loss is so low."""
    commands = []
    for loop in regions(landscape.across, landscape.up, np.array(landscape.surfaces[task].values), level):
        pixels = simpler(_pixels([*loop, loop[0]], frame), TOLERANCE)
        commands.append(f"M{'L'.join(f'{x:.1f} {y:.1f}' for x, y in pixels[:-1])}Z")
    return "".join(commands)


def _pixels(points: Sequence[Point], frame: Frame) -> list[Point]:
    return [(frame.x(x), frame.y(y)) for x, y in points]


def _paths(landscape: Landscape, task: int, frame: Frame, styles: Sequence[Style]) -> list[str]:
    """Lines, each with a light edge; the common one where it belongs, on the first task's surface."""
    lines: list[tuple[Sequence[Point], str, str | None, float]] = []
    if landscape.first is not None and task == 0:
        lines.append((landscape.first.points, svg.INK, DOTS, 2.4))
    for trajectory, (colour, _, dashed) in zip(landscape.trajectories, styles, strict=False):
        lines.append((trajectory.points, colour, "6 4" if dashed else None, 2.4))
    for sweep, (colour, *_) in zip(landscape.sweeps, styles[len(landscape.trajectories) :], strict=True):
        lines.append((sweep.ends, colour, None, 1.0))
    drawn = []
    for points, colour, dashes, thickness in lines:
        pixels = simpler(_pixels([points[i] for i in svg.thin(len(points), MOST_POINTS)], frame), TOLERANCE)
        drawn.append(svg.polyline(pixels, stroke="#ffffff", stroke_width=thickness + 2.6, stroke_opacity=0.75))
        drawn.append(svg.polyline(pixels, stroke=colour, stroke_width=thickness, stroke_dasharray=dashes))
    return drawn


def _ends(landscape: Landscape, task: int, frame: Frame, styles: Sequence[Style]) -> list[str]:
    """Markers at the paths' ends and where they begin, with names; over everything else."""
    drawn: list[str] = []
    named: list[tuple[Point, str, str]] = []  # the place in pixels, its name, and what is raised behind that
    for sweep, (colour, shape, _) in zip(landscape.sweeps, styles[len(landscape.trajectories) :], strict=True):
        shown = [(frame.x(x), frame.y(y)) for x, y in sweep.ends if _visible((x, y), frame)]
        drawn += [svg.marker(shape, x, y, 4.0, fill=colour, stroke="#ffffff", stroke_width=1) for x, y in shown]
        named += [(shown[len(shown) // 2], sweep.name, "")] if shown else []
    for place, raised in _starts(landscape, task):
        if _visible(place, frame):
            x, y = frame.x(place[0]), frame.y(place[1])
            drawn.append(svg.element("circle", cx=x, cy=y, r=4.2, fill="#ffffff", stroke=svg.INK, stroke_width=2))
            named.append(((x, y), "θ", raised))
    for trajectory, (colour, shape, _) in zip(landscape.trajectories, styles, strict=False):
        if _visible(trajectory.end, frame):
            x, y = frame.x(trajectory.end[0]), frame.y(trajectory.end[1])
            drawn.append(svg.marker(shape, x, y, 6.0, fill=colour, stroke="#ffffff", stroke_width=1.8))
            named.append(((x, y), trajectory.name, ""))
    busy = [point for each in landscape.every for point in _pixels(_dense(each.points), frame)]
    busy += [point for each in landscape.sweeps for point in _pixels(each.ends, frame) for _ in range(10)]
    sizes = [(width(name, TEXT) + (7 if raised else 0), TEXT + 3) for _, name, raised in named]
    area = Box(frame.left + 2, frame.top + 2, frame.right - 2, frame.bottom - 2)
    boxes = places([point for point, _, _ in named], sizes, busy, area)
    return drawn + [_name(name, raised, box) for (_, name, raised), box in zip(named, boxes, strict=True)]


def _starts(landscape: Landscape, task: int) -> list[tuple[Point, str]]:
    """Theta^b, where the paths part, and on the first task's surface theta^0."""
    if landscape.first is None:
        return [(each.points[0], "b") for each in landscape.trajectories[:1]]
    return [(landscape.first.end, "b"), *([(landscape.first.points[0], "0")] if task == 0 else [])]


def _visible(place: Point, frame: Frame) -> bool:
    return frame.across[0] <= place[0] <= frame.across[1] and frame.up[0] <= place[1] <= frame.up[1]


def _dense(points: Sequence[Point]) -> list[Point]:
    """About 400 of the points and of others between them."""
    between = [(a[0] + i / 8 * (b[0] - a[0]), a[1] + i / 8 * (b[1] - a[1])) for a, b in pairwise(points) for i in range(8)]
    return [*between[:: max(len(between) // 400, 1)], points[-1]]


def _name(name: str, raised: str, box: Box) -> str:
    edge = {"stroke": "#ffffff", "stroke_width": 3.2, "stroke_linejoin": "round", "paint_order": "stroke"}
    above = svg.element("tspan", raised, dy=-5, font_size=9.5) if raised else ""
    place = {"x": box.left, "y": box.bottom - 3.5}
    return svg.element("text", escape(name), above, fill=svg.INK, font_size=TEXT, font_weight=700, **place, **edge)


def _legend(landscape: Landscape, task: int, words: Words, styles: Sequence[Style], top: float) -> tuple[list[str], float]:
    """Lines under the plot, and where they end."""
    rows: list[tuple[str, str]] = []
    if landscape.first is not None and task == 0:
        dots = svg.line(2, 0, 34, 0, stroke=svg.INK, stroke_width=2.4, stroke_dasharray=DOTS, stroke_linecap="round")
        rows.append((dots, words.first.format(task=landscape.first.name)))
    for trajectory, (colour, shape, dashed) in zip(landscape.trajectories, styles, strict=False):
        stroke = svg.line(2, 0, 34, 0, stroke=colour, stroke_width=2.4, stroke_dasharray="6 4" if dashed else None)
        rows.append((stroke + svg.marker(shape, 27, 0, 5.0, fill=colour), ending(landscape, trajectory, task, words)))
    for sweep, (colour, shape, _) in zip(landscape.sweeps, styles[len(landscape.trajectories) :], strict=True):
        dots = "".join(svg.marker(shape, x, 0, 4.0, fill=colour) for x in (6.0, 18.0, 30.0))
        rows.append((svg.line(6, 0, 30, 0, stroke=colour) + dots, reaching(landscape, sweep, words)))
    for other, surface in sorted(enumerate(landscape.surfaces), key=lambda each: each[0] != task):
        patch = svg.element("rect", x=2, y=-7, width=32, height=14, fill=svg.scale_colour(INSIDE[0]))
        about = words.low.format(low=loss(surface.low)) if other == task else words.other.format(task=surface.task)
        rows.append((patch + "".join(svg.line(5, 0, 31, 0, **stroke) for stroke in _strokes(other == task)), about))
    steps = enumerate((0.0, OUTSIDE / 2, OUTSIDE, INSIDE[0]))
    tiles = [svg.element("rect", x=2 + 8 * i, y=-7, width=8, height=14, fill=svg.scale_colour(share)) for i, share in steps]
    rows.append(("".join(tiles), words.darker))
    if shares(landscape, words):
        rows.append(("", shares(landscape, words)))
    drawn = []
    for sample, about in rows:
        drawn.append(svg.element("g", sample, transform=f"translate(8 {top + LINE / 2:.1f})"))
        for words_of_line in wrapped(about, WIDTH - LEFT - RIGHT, TEXT):
            drawn.append(svg.text(LEFT, top + LINE / 2 + 4.5, words_of_line, font_size=TEXT))
            top += LINE - 4
        top += 4
    return drawn, top + 6
