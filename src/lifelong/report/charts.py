"""The page's pictures, each a function from numbers to one SVG image."""

import math
from collections.abc import Sequence

import numpy as np

from lifelong.matrix import Matrix, Values
from lifelong.report import svg
from lifelong.report.digest import Estimate, MethodDigest
from lifelong.report.frame import Frame, Style, round_floor
from lifelong.report.heat import EMPTY, HATCH, MOST_CELLS, NUMBERED, cell, empty_cells
from lifelong.report.units import MINUS, percent, percent_with_spread

NAMED_LINES = 7  # more lines than this are coloured by their order
MOST_LINES, MOST_POINTS = 25, 200  # beyond these, evenly spread ones are shown


def shared_floor(matrices: Sequence[Matrix]) -> float:
    """The lower end of a scale that fits every entry of `matrices`."""
    defined = [matrix.values[~np.isnan(matrix.values)] for matrix in matrices]
    return round_floor(float(values.min()) for values in defined if values.size)


def heat_map(name: str, matrix: Matrix, floor: float) -> str:
    """R as coloured cells: rows from untrained to the last task, one column a task, darker is better, hatched is undefined."""
    values = matrix.values
    tasks = len(matrix.tasks)
    numbered = tasks <= NUMBERED
    columns = svg.thin(tasks, MOST_CELLS)
    rows = [0, *(j + 1 for j in columns if j < matrix.learned)]
    width, height = (38.0, 26.0) if numbered else (max(300.0 / len(columns), 6.0),) * 2
    left, top, gap = 74.0, 36.0, 5.0

    def x(column: int) -> float:
        return left + column * width

    def y(row: int) -> float:
        return top + row * height + (gap if row else 0.0)

    drawn, empty = [], []
    for row, i in enumerate(rows):
        for column, j in enumerate(columns):
            value = float(values[i, j])
            box = x(column), y(row), width, height
            if math.isnan(value):
                empty.append(box)
                continue
            colour = svg.scale_colour((value - floor) / (1 - floor))
            hover = f"{_after(i)}, on task {j + 1}: {percent(value)} %"
            drawn.append(cell(box, colour, percent(value), hover, framed=i == j + 1) if numbered else cell(box, colour))
    drawn += empty_cells(empty)

    marked_rows = range(len(rows)) if numbered else svg.thin(len(rows), 6)
    marked_columns = range(len(columns)) if numbered else svg.thin(len(columns), 6)
    labels = [svg.text(left - 8, y(row) + height / 2 + 4, _row_label(rows[row]), anchor="end", fill=svg.QUIET) for row in marked_rows]
    labels += [svg.text(x(c) + width / 2, top - 6, str(columns[c] + 1), anchor="middle", fill=svg.QUIET) for c in marked_columns]
    labels.append(svg.text(left, 12, "accuracy on task", fill=svg.QUIET))
    total_width = max(x(len(columns)) + 12, left + 110)
    return svg.picture(total_width, y(len(rows)) + 4, f"Matrix of {name}", _matrix_in_words(matrix), *drawn, *labels)


def _after(i: int) -> str:
    return f"after task {i}" if i else "untrained"


def _row_label(i: int) -> str:
    return f"after {i}" if i else "untrained"


def _matrix_in_words(matrix: Matrix) -> str:
    if len(matrix.tasks) > NUMBERED:
        return f"Accuracy in percent on {len(matrix.tasks)} tasks after each of them; in the end the mean is {percent(matrix.accuracy)}."
    rows = (f"{_after(i)}: {', '.join(percent(float(value)) for value in row)}" for i, row in enumerate(matrix.values))
    return f"Accuracy in percent on each task, {'; '.join(rows)}."


def colour_key(floor: float) -> str:
    """What the colours of the heat maps mean."""
    steps, left, width = 40, 1.0, 200.0
    step = width / steps
    colours = [svg.scale_colour((i + 0.5) / steps) for i in range(steps)]
    bar = [svg.element("rect", x=left + i * step, y=4, width=step + 0.4, height=12, fill=colour) for i, colour in enumerate(colours)]
    frame = svg.element("rect", x=left, y=4, width=width, height=12, fill="none", stroke=svg.GRID)
    ends = [svg.text(left, 30, f"{100 * floor:.0f} %", fill=svg.QUIET), svg.text(left + width, 30, "100 %", anchor="end", fill=svg.QUIET)]
    box = svg.element("rect", x=236, y=4, width=18, height=12, fill=EMPTY, stroke=svg.GRID)
    stroke = svg.line(236, 16, 254, 4, stroke=HATCH)
    words = svg.text(260, 14, "undefined", fill=svg.QUIET)
    about = f"Light is {percent(floor)} percent, dark is 100 percent, hatched is undefined or not measured"
    return svg.picture(330, 36, "Colour key", about, *bar, frame, *ends, box, stroke, words)


def task_style(position: int, tasks: int) -> tuple[str, str]:
    """Colour and marker of a task's line: a few tasks get colours of their own, many get a scale from light (first) to dark (last)."""
    if tasks <= NAMED_LINES:
        return svg.COLOURS[position % len(svg.COLOURS)], svg.MARKERS[position % len(svg.MARKERS)]
    return svg.scale_colour(0.3 + 0.7 * position / (tasks - 1)), "circle"


def task_lines(name: str, matrix: Matrix, floor: float) -> str:
    """Accuracy of every task over time: one line a task, a marker where it was learned."""
    values: Values = matrix.values
    tasks, learned = len(matrix.tasks), matrix.learned
    frame = Frame(310.0, 200.0, (0, learned), (floor, 1.0))
    thinned = svg.thin(learned + 1, MOST_POINTS)
    few = tasks <= NAMED_LINES
    drawn, markers = frame.axes(frame.counted(), frame.percent(), "tasks learned"), []
    for j in svg.thin(tasks, MOST_LINES):
        colour, shape = task_style(j, tasks)
        rows = sorted({*thinned, *(i for i in (j, j + 1, j + 2) if i <= learned)})
        before = [(frame.x(i), frame.y(float(values[i, j]))) for i in rows if i <= j + 1]
        after = [(frame.x(i), frame.y(float(values[i, j]))) for i in rows if i >= j + 1]
        drawn.append(svg.polyline(before, stroke=colour, stroke_width=1.0, stroke_dasharray="1 3", stroke_opacity=0.8 if few else 0.35))
        drawn.append(svg.polyline(after, stroke=colour, stroke_width=1.8 if few else 1.1))
        own = float(values[j + 1, j]) if j < learned else float("nan")
        if not math.isnan(own):
            markers.append(
                svg.marker(shape, frame.x(j + 1), frame.y(own), 4.0 if few else 2.2, fill=colour, stroke="#ffffff", stroke_width=1)
            )
    about = f"From the untrained network to {learned} tasks learned; in the end the mean is {percent(matrix.accuracy)} percent."
    return svg.picture(frame.width, frame.height, f"Accuracy of every task over time with {name}", about, *drawn, *markers)


def line_swatch(colour: str, shape: str, dashed: bool = False) -> str:
    """A legend's sample of a line with its marker."""
    stroke = svg.line(1, 7, 29, 7, stroke=colour, stroke_width=2, stroke_dasharray="5 3" if dashed else None)
    content = (stroke, svg.marker(shape, 15, 7, 4, fill=colour, stroke="#ffffff", stroke_width=1))
    return svg.element("svg", *content, xmlns="http://www.w3.org/2000/svg", width=30, height=14, viewBox="0 0 30 14", aria_hidden="true")


def method_style(position: int, baseline: bool) -> Style:
    """How a method's line is drawn: baselines are dashed."""
    return svg.COLOURS[position % len(svg.COLOURS)], svg.MARKERS[position % len(svg.MARKERS)], baseline


def average_lines(methods: Sequence[MethodDigest], styles: Sequence[Style]) -> str:
    """Accuracy on all tasks seen so far: one line a method, a band of one spread around it."""
    series = [method.average_so_far() for method in methods]
    floor = round_floor(point for line in series for one in line for point in one.points if not math.isnan(point))
    longest = max((len(line) for line in series), default=1)
    frame = Frame(440.0, 260.0, (1 if longest > 1 else 0, longest), (floor, 1.0))
    drawn, bands, markers, said = frame.axes(frame.counted(), frame.percent(), "tasks learned"), [], [], []
    for method, line, (colour, shape, dashed) in zip(methods, series, styles, strict=True):
        shown = svg.thin(len(line), MOST_POINTS)
        points = [(frame.x(position + 1), line[position]) for position in shown]
        edges = [(x, e) for x, e in points if not math.isnan(e.mean) and not math.isnan(e.spread)]
        around = [(x, min(frame.y(e.mean - e.spread), frame.bottom)) for x, e in edges]
        around += [(x, max(frame.y(e.mean + e.spread), frame.top)) for x, e in reversed(edges)]
        bands.append(svg.element("polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in around), fill=colour, fill_opacity=0.12))
        path = [(x, frame.y(e.mean)) for x, e in points]
        drawn.append(svg.polyline(path, stroke=colour, stroke_width=2, stroke_dasharray="6 4" if dashed else None))
        for position in svg.thin(len(path), 10):
            x, y = path[position]
            if not math.isnan(y):
                markers.append(svg.marker(shape, x, y, 4.0, fill=colour, stroke="#ffffff", stroke_width=1))
        said.append(f"{method.name} ends at {percent(line[-1].mean) if line else 'nothing'}")
    about = f"In percent, {'; '.join(said)}."
    return svg.picture(frame.width, frame.height, "Accuracy on the tasks seen so far", about, *bands, *drawn, *markers)


def bars(title: str, methods: Sequence[MethodDigest], measure: str, styles: Sequence[Style]) -> str:
    """One measure of every method: a bar for the mean, a line for the spread over seeds, a dot for every seed."""
    estimates = [method.measures[measure] for method in methods]
    low, high = _range(estimates)
    width, left, right, top, pitch = 318.0, 116.0, 232.0, 24.0, 27.0
    bottom = top + pitch * len(methods)
    undefined = all(math.isnan(one.mean) for one in estimates)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    drawn = [svg.text(4, 13, f"{title}: undefined here" if undefined else title, font_weight=600)]
    for tick in [] if undefined else svg.ticks(low, high, 3):
        label = f"{MINUS if tick < 0 else ''}{abs(100 * tick):g}"
        drawn.append(svg.line(x(tick), top, x(tick), bottom, stroke=svg.GRID))
        drawn.append(svg.text(x(tick), bottom + 15, label, anchor="middle", fill=svg.QUIET, font_size=11))
    for position, (method, one, (colour, _, baseline)) in enumerate(zip(methods, estimates, styles, strict=True)):
        y = top + (position + 0.5) * pitch
        drawn.append(svg.text(left - 8, y + 4, method_label(method, left - 10), anchor="end"))
        drawn.append(svg.text(width - 4, y + 4, percent_with_spread(one.mean, one.spread), anchor="end", font_size=11.5, class_="number"))
        if math.isnan(one.mean):
            continue
        start, end = sorted((x(0.0), x(one.mean)))
        fill = {"fill": "#ffffff", "stroke": colour, "stroke_width": 1.5} if baseline else {"fill": colour, "fill_opacity": 0.75}
        drawn.append(svg.element("rect", x=start, y=y - 7, width=max(end - start, 0.5), height=14, **fill))
        if not math.isnan(one.spread):
            drawn.append(svg.line(x(one.mean - one.spread), y, x(one.mean + one.spread), y, stroke=svg.INK, stroke_width=1.5))
        drawn += [svg.element("circle", cx=x(p), cy=y, r=2.4, fill="#ffffff", stroke=svg.INK) for p in one.points if not math.isnan(p)]
    drawn.append(svg.line(x(0.0), top, x(0.0), bottom, stroke=svg.QUIET))
    said = "; ".join(f"{m.name} {percent_with_spread(e.mean, e.spread)}" for m, e in zip(methods, estimates, strict=True))
    return svg.picture(width, bottom + 22, title, f"In percent: {said}.", *drawn)


def method_label(method: MethodDigest, width: float) -> str:
    """A method's name with the baselines' sign, cut to `width`."""
    return svg.shorten(method.name, width - 12) + (" †" if method.baseline else "")


def _range(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """From 0 or below to where every bar, spread and dot fits, with a little room."""
    ends = [0.0]
    for one in estimates:
        ends += [value for value in (one.mean, one.mean - one.spread, one.mean + one.spread, *one.points) if not math.isnan(value)]
    low, high = min(ends), max(ends)
    if high - low < 1e-3:
        return min(low, -0.01), max(high, 0.01)
    room = 0.03 * (high - low)
    return low - room if low < 0 else 0.0, high + room if high > 0 else 0.0
