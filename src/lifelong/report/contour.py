"""Contours: where a function on a grid is at most some level, as closed polygons; by marching squares."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Edge = tuple[bool, int, int]  # between two neighbours of the grid: whether they lie beside each other, and where the first one is
Values = NDArray[np.float64]


def regions(across: Sequence[float], up: Sequence[float], values: Values, level: float) -> list[list[Point]]:
    """The outlines of {value <= level}, linear between the grid's places; a hole's outline is a polygon, too (fill rule "evenodd").

    Regions that reach the grid's border are closed one place beyond it, so that a picture that ends at the border shows them open.

    Args:
        across, up: the grid's places, increasing.
        values: (len(up), len(across)), finite.

    >>> regions([0, 1, 2], [0, 1, 2], np.array([[9.0, 9.0, 9.0], [9.0, 0.0, 9.0], [9.0, 9.0, 9.0]]), 4.5)
    [[(1.0, 0.5), (0.5, 1.0), (1.0, 1.5), (1.5, 1.0)]]
    """
    x, y = _beyond(across), _beyond(up)
    z = np.pad(np.pad(values, 1, mode="edge"), 1, constant_values=math.inf)
    inside = z <= level
    links: dict[Edge, list[Edge]] = {}
    corners = inside[:-1, :-1].astype(int) + inside[:-1, 1:] + inside[1:, :-1] + inside[1:, 1:]
    for i, j in zip(*((corners > 0) & (corners < 4)).nonzero(), strict=True):
        for one, other in _crossings(inside, z, int(i), int(j), level):
            links.setdefault(one, []).append(other)
            links.setdefault(other, []).append(one)

    def place(edge: Edge) -> Point:
        beside, i, j = edge
        k, m = (i, j + 1) if beside else (i + 1, j)
        low, high = z[i, j], z[k, m]
        share = (level - low) / (high - low) if math.isfinite(low) and math.isfinite(high) else 0.0 if math.isfinite(low) else 1.0
        return float(x[j] + share * (x[m] - x[j])), float(y[i] + share * (y[k] - y[i]))

    return [[place(edge) for edge in loop] for loop in _loops(links)]


def _beyond(places: Sequence[float]) -> Values:
    """The places with one more at each end, and that one again."""
    first, last = 2 * places[0] - places[1], 2 * places[-1] - places[-2]
    return np.array([first, first, *places, last, last], dtype=np.float64)


def _crossings(inside: NDArray[np.bool_], z: Values, i: int, j: int, level: float) -> list[tuple[Edge, Edge]]:
    """The lines through a cell, each from one of its edges to another."""
    below, above, left, right = (True, i, j), (True, i + 1, j), (False, i, j), (False, i, j + 1)
    a, b, c, d = (bool(inside[place]) for place in ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)))  # around the cell
    crossed = [edge for edge, crosses in ((below, a != b), (right, b != c), (above, c != d), (left, d != a)) if crosses]
    if len(crossed) == 2:
        return [(crossed[0], crossed[1])]
    # a saddle: two corners that face each other are inside; they belong together when the middle is inside as well
    middle = bool(z[i : i + 2, j : j + 2].mean() <= level)
    return [(below, right), (above, left)] if middle == a else [(below, left), (right, above)]


def _loops(links: dict[Edge, list[Edge]]) -> list[list[Edge]]:
    """The links as closed rounds: every edge has two."""
    loops, seen = [], set[Edge]()
    for start in links:
        if start in seen:
            continue
        loop, here = [], start
        while here not in seen:
            seen.add(here)
            loop.append(here)
            here = next((edge for edge in links[here] if edge not in seen), start)
        loops.append(loop)
    return loops


def simpler(points: Sequence[Point], tolerance: float) -> list[Point]:
    """A line through fewer of its points, at most `tolerance` from those left out (Douglas & Peucker 1973); ends stay.

    >>> simpler([(0, 0), (1, 0.01), (2, 0), (2, 2)], 0.1)
    [(0, 0), (2, 0), (2, 2)]
    """
    kept, parts = {0, len(points) - 1}, [(0, len(points) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        away = [_distance(point, points[first], points[last]) for point in points[first + 1 : last]]
        furthest = max(range(len(away)), key=away.__getitem__)
        if away[furthest] > tolerance:
            middle = first + 1 + furthest
            kept.add(middle)
            parts += [(first, middle), (middle, last)]
    return [points[i] for i in sorted(kept)]


def _distance(point: Point, start: Point, end: Point) -> float:
    """From a point to a segment."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    square = dx * dx + dy * dy
    along = ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / square if square else 0.0
    along = min(max(along, 0.0), 1.0)
    return math.hypot(point[0] - start[0] - along * dx, point[1] - start[1] - along * dy)
