"""Regions of a function on a grid, against the function itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifelong.report.contour import Point, regions, simpler


def inside(place: Point, loops: list[list[Point]]) -> bool:
    """Whether a place is in the polygons, by the even-odd rule: a ray to the right crosses their edges an odd number of times."""
    x, y = place
    crossings = 0
    for loop in loops:
        for (x1, y1), (x2, y2) in zip(loop, [*loop[1:], loop[0]], strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
                crossings += 1
    return crossings % 2 == 1


def area(loop: list[Point]) -> float:
    pairs = zip(loop, [*loop[1:], loop[0]], strict=True)
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) / 2


@given(st.integers(2, 6), st.integers(2, 6), st.data())
def test_a_place_of_the_grid_is_inside_where_its_value_is_at_most_the_level(rows: int, columns: int, data: st.DataObject):
    values = np.array(data.draw(st.lists(st.integers(0, 9), min_size=rows * columns, max_size=rows * columns)), dtype=float)
    values = values.reshape(rows, columns)
    across, up = [1.5 * j for j in range(columns)], [2.0 * i - 1 for i in range(rows)]
    level = data.draw(st.integers(-1, 9)) + 0.5
    loops = regions(across, up, values, level)
    for i, j in np.ndindex(rows, columns):
        assert inside((across[j], up[i]), loops) == (values[i, j] <= level), (i, j)
    assert all(len(loop) >= 4 for loop in loops)


def disc(steps: int) -> tuple[list[float], np.ndarray]:
    axis = np.linspace(-2, 2, steps)
    return axis.tolist(), np.hypot(axis[None, :], axis[:, None])


def test_a_disc_is_as_large_as_a_disc():
    axis, distance = disc(81)
    (loop,) = regions(axis, axis, distance, 1.3)
    assert area(loop) == pytest.approx(math.pi * 1.3**2, rel=2e-3)
    assert all(math.hypot(*point) == pytest.approx(1.3, abs=2e-3) for point in loop)


def test_a_ring_has_a_hole():
    axis, distance = disc(81)
    loops = regions(axis, axis, abs(distance - 1.2), 0.3)
    assert sorted(map(area, loops)) == pytest.approx([math.pi * 0.9**2, math.pi * 1.5**2], rel=1e-2)
    assert [inside(place, loops) for place in ((0.0, 0.0), (1.2, 0.0), (0.0, -1.9))] == [False, True, False]


def test_a_linear_function_is_cut_exactly():
    (loop,) = regions([0, 1, 2, 3], [0, 1], np.array([[0.0, 1, 2, 3], [0, 1, 2, 3]]), 1.75)
    assert {x for x, y in loop if 0 <= y <= 1} == {-1.0, 1.75}, "open at the border: closed one place beyond it"


def test_everything_and_nothing():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert regions([0, 1], [0, 1], values, 0.5) == []
    (loop,) = regions([0, 1], [0, 1], values, 5.0)
    assert area(loop) == pytest.approx(9, rel=0.3)
    assert inside((0.0, 0.0), [loop]) and inside((1.0, 1.0), [loop]) and inside((0.5, 1.5), [loop])


@pytest.mark.parametrize(("other", "joined"), [(1.0, True), (9.0, False)])
def test_two_corners_that_face_each_other_are_joined_when_the_middle_is_low(other: float, joined: bool):
    values = np.full((4, 4), 9.0)
    values[1, 1] = values[2, 2] = 0.0
    values[1, 2] = values[2, 1] = 2.1 + (other - 1.0)
    assert len(regions(range(4), range(4), values, 2.0)) == (1 if joined else 2)
    values = values[:, ::-1]
    assert len(regions(range(4), range(4), values, 2.0)) == (1 if joined else 2)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=30), st.floats(0.01, 2))
def test_a_simpler_line_is_near_every_point(points: list[Point], tolerance: float):
    kept = simpler(points, tolerance)
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert set(kept) <= set(points)
    for x, y in points:
        away = []
        for (x1, y1), (x2, y2) in pairwise(kept):
            square = (x2 - x1) ** 2 + (y2 - y1) ** 2
            along = min(max(((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / square, 0), 1) if square else 0
            away.append(math.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1)))
        assert min(away) <= tolerance + 1e-9


def test_a_straight_line_is_its_ends():
    assert simpler([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (5.0, 5.0)], 0.01) == [(0.0, 0.0), (5.0, 5.0)]
    assert simpler([(1.0, 2.0)], 0.1) == [(1.0, 2.0)]
