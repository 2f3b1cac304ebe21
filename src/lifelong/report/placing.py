"""Places for names near their points, where they cover least."""

from collections.abc import Sequence
from typing import NamedTuple

Point = tuple[float, float]
AWAY = 10.0  # from a point to its name


class Box(NamedTuple):
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Point, room: float = 2.0) -> bool:
        """Whether a point is in it, or less than `room` beside it."""
        return self.left - room < point[0] < self.right + room and self.top - room < point[1] < self.bottom + room

    def within(self, other: "Box") -> bool:
        """Whether all of it is in another one."""
        return self.left >= other.left and self.right <= other.right and self.top >= other.top and self.bottom <= other.bottom

    def dots(self) -> list[Point]:
        """Points spread over it."""
        return [
            (self.left + i / 6 * (self.right - self.left), self.top + j / 2 * (self.bottom - self.top)) for i in range(7) for j in range(3)
        ]


def places(points: Sequence[Point], sizes: Sequence[tuple[float, float]], busy: Sequence[Point], area: Box) -> list[Box]:
    """A box for the name of each point: of eight around it the one in the area that covers the fewest points, markers and earlier names.

    Args:
        points: what is named.
        sizes: width and height of each name.
        busy: points that are better not covered.
        area: where names may be.
    """
    taken = [*busy, *(point for point in points for _ in range(20))]  # covering a marker is as bad as covering a piece of path
    chosen = []
    for point, size in zip(points, sizes, strict=True):
        boxes = around(point, *size)
        best = min(boxes, key=lambda box: (not box.within(area), sum(map(box.holds, taken))))
        taken += 5 * best.dots()
        chosen.append(best)
    return chosen


def around(point: Point, width: float, height: float) -> list[Box]:
    """Boxes around a point, the best places first."""
    x, y = point
    left, right, middle = x - AWAY - width, x + AWAY, x - width / 2
    above, below, beside = y - AWAY - height, y + AWAY, y - height / 2
    corners = [
        (right, beside),
        (left, beside),
        (middle, above),
        (middle, below),
        (right, above),
        (right, below),
        (left, above),
        (left, below),
    ]
    return [Box(x, y, x + width, y + height) for x, y in corners]
