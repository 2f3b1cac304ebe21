"""How fast tasks are learned: accuracy on a task against the steps spent on it."""

import math
from collections.abc import Sequence

from lifelong.report import svg
from lifelong.report.digest import Estimate, MethodDigest, Run, estimate
from lifelong.report.frame import Frame, Style, round_floor
from lifelong.report.units import count, percent

GOAL = 0.9
ROUNDING = 1e-9  # the mean of 0.85 and 0.95 is 0.9, which floats deny
FIFTH = 5  # beside the last task, the one that is shown of longer streams
MOST_POINTS = 200


def learning_curves(methods: Sequence[MethodDigest], styles: Sequence[Style], tasks: Sequence[str]) -> list[tuple[str, str, str]]:
    """Of the fifth and the last task: a heading, the picture, and when each method's mean reaches the goal; [] where no run has curves."""
    shown = []
    for task in sorted({len(tasks)} | ({FIFTH} if len(tasks) >= FIFTH else set())):
        curves = [(method, curve_of(method, task), style) for method, style in zip(methods, styles, strict=True)]
        curves = [each for each in curves if each[1]]
        if curves:
            name = tasks[task - 1]
            heading = f"Task {task}" if name == f"task {task}" else f"Task {task}, {name}"
            shown.append((heading, _picture(heading, curves), goal_in_words([(method.name, curve) for method, curve, _ in curves])))
    return shown


def curve_of(method: MethodDigest, task: int) -> list[tuple[int, Estimate]]:
    """A method's accuracy on a task (counted from 1) at the steps that all its seeds were evaluated at; [] where one has no curve."""
    seeds = [_points(run, task) for run in method.finished]
    steps = sorted(set(seeds[0]).intersection(*seeds[1:])) if seeds else []
    return [(step, estimate([points[step] for points in seeds])) for step in steps]


def _points(run: Run, task: int) -> dict[int, float]:
    curves = list(run.get("curves", {}).values())
    return {step: math.nan if value is None else value for step, value in curves[task - 1]} if task <= len(curves) else {}


def goal_in_words(curves: Sequence[tuple[str, list[tuple[int, Estimate]]]]) -> str:
    """The first step at which each method's mean is at the goal."""
    first = [(name, next((step for step, one in curve if one.mean >= GOAL - ROUNDING), None)) for name, curve in curves]
    said = ", ".join(f"{name} {'not reached' if step is None else count(step)}" for name, step in first)
    return f"First step measured with a mean of at least {100 * GOAL:.0f}\u00a0%: {said}."


def _picture(heading: str, curves: Sequence[tuple[MethodDigest, list[tuple[int, Estimate]], Style]]) -> str:
    means = [one.mean for _, curve, _ in curves for _, one in curve if not math.isnan(one.mean)]
    longest = max(curve[-1][0] for _, curve, _ in curves)
    frame = Frame(440.0, 260.0, (0, longest), (round_floor(means), 1.0))
    drawn, markers, said = frame.axes(frame.counted(), frame.percent(), "steps in this task"), [], []
    drawn.append(svg.line(frame.left, frame.y(GOAL), frame.right, frame.y(GOAL), stroke=svg.QUIET, stroke_dasharray="2 4"))
    for method, curve, (colour, shape, dashed) in curves:
        path = [(frame.x(curve[i][0]), frame.y(curve[i][1].mean)) for i in svg.thin(len(curve), MOST_POINTS)]
        drawn.append(svg.polyline(path, stroke=colour, stroke_width=2, stroke_dasharray="6 4" if dashed else None))
        for position in svg.thin(len(path), 8):
            x, y = path[position]
            if not math.isnan(y):
                markers.append(svg.marker(shape, x, y, 4.0, fill=colour, stroke="#ffffff", stroke_width=1))
        step, last = curve[-1]
        said.append(f"{method.name} ends at {percent(last.mean)} after {count(step)} steps")
    return svg.picture(frame.width, frame.height, f"Learning curves of {heading}", f"In percent, {'; '.join(said)}.", *drawn, *markers)
