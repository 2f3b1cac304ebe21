"""How methods grow: parameters and bytes kept after each task, and what accuracy the parameters buy."""

import math
from collections.abc import Callable, Sequence

from lifelong.report import svg
from lifelong.report.digest import Estimate, MethodDigest, estimate
from lifelong.report.frame import Frame, Style, Ticks, round_floor
from lifelong.report.units import count, percent_with_spread, size

WIDTH, HEIGHT = 318.0, 240.0
LOG_RANGE = 20  # beyond this ratio of the most to the fewest parameters their axis is logarithmic
LINE = 14.0  # between labels
MOST_LABEL = 116.0
MOST_POINTS = 200


def growth(methods: Sequence[MethodDigest], styles: Sequence[Style]) -> list[tuple[str, str]]:
    """Headings and pictures; none where no run recorded its sizes."""
    both = [(method, style) for method, style in zip(methods, styles, strict=True) if sizes_of(method, "parameters")]
    if not both:
        return []
    sized, used = [method for method, _ in both], [style for _, style in both]
    parameters, kept, against = "Parameters after each task", "Bytes kept after each task", "Accuracy against parameters"
    return [
        (parameters, size_lines(parameters, sized, used, "parameters", count)),
        (kept, size_lines(kept, sized, used, "kept_bytes", size)),
        (against, accuracy_against_parameters(against, sized, used)),
    ]


def sizes_of(method: MethodDigest, key: str) -> list[Estimate]:
    """A size after 1, 2, ... tasks; NaN where a seed did not record it, [] where none did.

    A run that went on from a learner of an older version recorded only its last tasks.
    """
    recorded = [[float(each[key]) for each in run.get("sizes", [])] for run in method.finished]
    if not any(recorded):
        return []
    tasks = len(method.seed_values[0]) - 1
    seeds = [[math.nan] * (tasks - len(one)) + one for one in recorded]
    return [estimate(points) for points in zip(*seeds, strict=True)]


def size_lines(title: str, methods: Sequence[MethodDigest], styles: Sequence[Style], key: str, show: Callable[[float], str]) -> str:
    """A size over the tasks: one line a method, from 0 up."""
    series = [[one.mean for one in sizes_of(method, key)] for method in methods]
    top = max((value for line in series for value in line if not math.isnan(value)), default=0.0)
    up = [(tick, show(tick).replace(".0 ", " ")) for tick in svg.ticks(0.0, 1.04 * top, 5)] if top else [(0.0, show(0.0))]
    longest = max(map(len, series))
    across = (1, longest) if longest > 1 else (0, 1)
    frame = Frame(WIDTH, HEIGHT, across, (0.0, 1.04 * top), left=_room(up))
    drawn, markers, said = frame.axes(frame.counted(), up, "tasks learned"), [], []
    for method, line, (colour, shape, dashed) in zip(methods, series, styles, strict=True):
        path = [(frame.x(i + 1), frame.y(line[i])) for i in svg.thin(len(line), MOST_POINTS)]
        drawn.append(svg.polyline(path, stroke=colour, stroke_width=2, stroke_dasharray="6 4" if dashed else None))
        for position in svg.thin(len(path), 6):
            x, y = path[position]
            if not math.isnan(y):
                markers.append(svg.marker(shape, x, y, 4.0, fill=colour, stroke="#ffffff", stroke_width=1))
        said.append(f"{method.name} from {show(line[0])} to {show(line[-1])}")
    return svg.picture(frame.width, frame.height, title, f"{'; '.join(said)}.", *drawn, *markers)


def _room(ticks: Ticks) -> float:
    return max(svg.CHARACTER * 12.0 * len(label) for _, label in ticks) + 10.0


def accuracy_against_parameters(title: str, methods: Sequence[MethodDigest], styles: Sequence[Style]) -> str:
    """One labelled point a method: its final parameters and accuracy, a line for the spread over seeds."""
    points = [
        (method, sizes_of(method, "parameters")[-1].mean, method.measures["accuracy"], style)
        for method, style in zip(methods, styles, strict=True)
    ]
    points = [point for point in points if not math.isnan(point[1]) and not math.isnan(point[2].mean)]
    most, fewest = (pick((point[1] for point in points), default=1.0) for pick in (max, min))
    logarithmic = 0 < fewest * LOG_RANGE < most
    place = math.log10 if logarithmic else float
    ends = [point[2].mean + sign * (0.0 if math.isnan(point[2].spread) else point[2].spread) for point in points for sign in (-1, 1)]
    across = (math.log10(fewest) - 0.2, math.log10(most) + 0.2) if logarithmic else (0.0, 1.25 * most)
    frame = Frame(WIDTH, max(HEIGHT, 60 + LINE * len(points)), across, (round_floor(max(end, 0.0) for end in ends), 1.0))
    ticks = [(place(value), _short(value)) for value in _log_ticks(fewest, most)] if logarithmic else _linear_ticks(1.25 * most)
    drawn = frame.axes(ticks, frame.percent(), f"parameters{', logarithmic' if logarithmic else ''}")
    drawn += [svg.line(frame.x(tick), frame.top, frame.x(tick), frame.bottom, stroke=svg.GRID) for tick, _ in ticks]
    markers, spots = [], []
    for method, parameters, accuracy, (colour, shape, _) in points:
        x, y = frame.x(place(parameters)), frame.y(accuracy.mean)
        if accuracy.spread > 0:
            low, high = (min(max(frame.y(accuracy.mean + sign * accuracy.spread), frame.top), frame.bottom) for sign in (-1, 1))
            drawn.append(svg.line(x, low, x, high, stroke=colour, stroke_width=1.5))
        markers.append(svg.marker(shape, x, y, 4.5, fill=colour, stroke="#ffffff", stroke_width=1))
        spots.append((x, y, svg.shorten(method.name, MOST_LABEL) + (" †" if method.baseline else "")))
    said = [
        f"{method.name} {percent_with_spread(accuracy.mean, accuracy.spread)} with {count(parameters)}"
        for method, parameters, accuracy, _ in points
    ]
    about = f"Accuracy in percent with parameters: {'; '.join(said)}." if said else "Undefined."
    return svg.picture(frame.width, frame.height, title, about, *drawn, *_labels(frame, spots), *markers)


def _labels(frame: Frame, spots: Sequence[tuple[float, float, str]]) -> list[str]:
    """Names beside their points, moved up or down until none covers another; a line leads to one that was moved."""
    boxes = []
    for x, y, name in sorted(spots, key=lambda spot: spot[1]):
        length = svg.CHARACTER * 12.0 * len(name)
        left = x + 12 if x + 12 + length <= frame.width else x - 12 - length
        boxes.append((left, left + length, x, y, name))
    drawn = []
    for (left, right, x, y, name), at in zip(boxes, _apart(boxes, frame.top, frame.bottom), strict=True):
        if abs(at - y) > 1:
            drawn.append(svg.line(x, y, left - 2 if left > x else right + 2, at, stroke=svg.QUIET, stroke_width=0.7))
        drawn.append(svg.text(left, at + 4, name))
    return drawn


def _apart(boxes: Sequence[tuple[float, float, float, float, str]], top: float, bottom: float) -> list[float]:
    """Where labels, ordered by their y, go: one that would cover another at least a line from it, inside top..bottom if there is room."""
    count = len(boxes)
    neighbours = [[j for j in range(count) if boxes[i][0] < boxes[j][1] and boxes[j][0] < boxes[i][1]] for i in range(count)]

    def down(wanted: Sequence[float]) -> list[float]:
        places: list[float] = []
        for i in range(count):
            places.append(max([wanted[i], *(places[j] + LINE for j in neighbours[i] if j < i)]))
        return places

    def up(wanted: Sequence[float]) -> list[float]:
        places = list(wanted)
        for i in reversed(range(count)):
            places[i] = min([wanted[i], *(places[j] - LINE for j in neighbours[i] if j > i)])
        return places

    own = [box[3] for box in boxes]
    # between two places where all labels are apart, they are apart as well
    middle = [(lower + upper) / 2 for lower, upper in zip(down(own), up(own), strict=True)]
    return down([max(at, top) for at in up([min(at, bottom) for at in middle])])


def _log_ticks(fewest: float, most: float) -> list[float]:
    """Powers of ten, and where they are few, their doubles and quintuples."""
    low, high = 10 ** (math.log10(fewest) - 0.2), 10 ** (math.log10(most) + 0.2)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    return [factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high]


def _linear_ticks(high: float) -> Ticks:
    return [(tick, _short(tick)) for tick in svg.ticks(0.0, high, 4)]


def _short(value: float) -> str:
    """A count for an axis: 200, 20 k, 1.5 M."""
    for factor, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:g}{sign}"
    return f"{value:g}"
