"""A plotting area, which turns numbers into places, with its axes."""

import math
from collections.abc import Iterable, Sequence

from lifelong.report import svg

Range = tuple[float, float]
Ticks = Sequence[tuple[float, str]]
Style = tuple[str, str, bool]  # of a method's line: its colour, its marker, and whether it is dashed


class Frame:
    """A plotting area with one axis across and one up.

    Args:
        width, height: of the whole picture.
        across, up: the ranges of the two axes; an empty one is widened by 1.
        left, right, bottom: room for what is written around the area.
    """

    def __init__(
        self, width: float, height: float, across: Range, up: Range, *, left: float = 34.0, right: float = 16.0, bottom: float = 34.0
    ) -> None:
        self.width, self.height = width, height
        self.across, self.up = (_widened(*across), _widened(*up))
        self.left, self.right, self.top, self.bottom = left, width - right, 12.0, height - bottom

    def x(self, value: float) -> float:
        """Where a number is on the axis across."""
        low, high = self.across
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Where a number is on the axis up; NaN stays NaN."""
        low, high = self.up
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def axes(self, across: Ticks, up: Ticks, words: str) -> list[str]:
        """Grid lines, numbers, and the words under the axis across."""
        drawn = []
        for tick, label in up:
            drawn.append(svg.line(self.left, self.y(tick), self.right, self.y(tick), stroke=svg.GRID))
            drawn.append(svg.text(self.left - 6, self.y(tick) + 4, label, anchor="end", fill=svg.QUIET))
        drawn += [svg.text(self.x(tick), self.bottom + 16, label, anchor="middle", fill=svg.QUIET) for tick, label in across]
        drawn.append(svg.text((self.left + self.right) / 2, self.height - 4, words, anchor="middle", fill=svg.QUIET))
        return drawn

    def counted(self) -> Ticks:
        """Whole numbers on the axis across."""
        low, high = self.across
        return [(number, f"{number}") for number in svg.counting_ticks(round(high)) if number >= low]

    def percent(self) -> Ticks:
        """Percent on the axis up."""
        return [(tick, f"{100 * tick:.0f}") for tick in svg.ticks(*self.up, 8)]


def round_floor(fractions: Iterable[float]) -> float:
    """The smallest fraction rounded down to a tenth, at most 0.9; not 0.1, which is no round number on an axis up to 1.

    >>> round_floor([0.57, 0.8]), round_floor([0.13]), round_floor([0.99])
    (0.5, 0.0, 0.9)
    """
    tenths = math.floor(10 * min(fractions, default=0.0) + 1e-9)
    return 0.0 if tenths <= 1 else min(tenths, 9) / 10


def _widened(low: float, high: float) -> Range:
    return low, high if high > low else low + 1
