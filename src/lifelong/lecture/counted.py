"""A picture of how often two numbers come together: cells over two logarithmic axes of the same range, darker where there are more."""

import math
from collections.abc import Sequence

from lifelong.report import svg
from lifelong.report.frame import Frame

SIDE = 250.0  # of the plotting area
LEFT, RIGHT, BOTTOM, TOP = 62.0, 12.0, 40.0, 12.0
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(exponent: int) -> str:
    """A power of ten, as it is written.

    >>> power(-3), power(12)
    ('10⁻³', '10¹²')
    """
    return f"10{str(exponent).translate(RAISED)}"


def counted(title: str, about: str, counts: Sequence[Sequence[int]], reach: tuple[int, int], *, axes: tuple[str, str]) -> str:
    """Counts as cells; on the diagonal line both numbers are the same.

    Args:
        about: the counts in words, for those who can't see them.
        counts: rows from the smallest number up, columns from the smallest across; as many rows as columns.
        reach: the exponents of ten where both axes begin and end.
        axes: what the numbers are, across and up.
    """
    frame = Frame(LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM, reach, reach, left=LEFT, right=RIGHT, bottom=BOTTOM)
    ticks = [(float(exponent), power(exponent)) for exponent in range(reach[0], reach[1] + 1)]
    drawn, most = frame.axes(ticks, ticks, axes[0]), max((count for row in counts for count in row), default=0)
    cell, cells = SIDE / len(counts), []
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                share = 0.12 + 0.88 * math.log1p(count) / math.log1p(most)  # a single one is seen, too
                x, y = frame.left + j * cell, frame.bottom - (i + 1) * cell
                cells.append(svg.element("rect", x=x, y=y, width=cell, height=cell, fill=svg.scale_colour(share)))
    diagonal = svg.line(frame.left, frame.bottom, frame.right, frame.top, stroke=svg.COLOURS[1], stroke_width=1.2, stroke_dasharray="5 4")
    middle = (frame.top + frame.bottom) / 2
    words = svg.text(12, middle, axes[1], anchor="middle", fill=svg.QUIET, transform=f"rotate(-90 12 {middle:.1f})")
    return svg.picture(frame.width, frame.height, title, about, *drawn, *cells, diagonal, words)
