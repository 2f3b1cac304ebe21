"""Places for names."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lifelong.report.placing import AWAY, Box, around, places

AREA = Box(0, 0, 400, 300)


def covers(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def test_the_right_side_is_best_where_nothing_is():
    assert places([(200, 150)], [(40, 16)], [], AREA) == [Box(200 + AWAY, 142, 240 + AWAY, 158)]


def test_a_name_keeps_off_a_path():
    path = [(200 + 2 * i, 150.0) for i in range(100)]
    (box,) = places([(200, 150)], [(40, 16)], path, AREA)
    assert not any(box.holds(point) for point in path)


@given(st.floats(0, 400), st.floats(0, 300))
def test_names_stay_inside(x: float, y: float):
    (box,) = places([(x, y)], [(60, 16)], [], AREA)
    assert box.within(AREA)


def test_names_of_points_close_together_do_not_cover_each_other_or_a_point():
    points = [(200.0, 150.0), (206.0, 152.0), (199.0, 158.0), (210.0, 146.0)]
    boxes = places(points, [(36, 16)] * 4, [], AREA)
    assert not any(covers(one, other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.holds(point, 0) for box in boxes for point in points)


def test_all_places_are_beside_the_point():
    for box in around((10, 20), 30, 8):
        assert not box.holds((10, 20), 0)
        assert box.right - box.left == 30 and box.bottom - box.top == 8
