"""A matrix in which groups of cells are outlined, for numbers that are read off them."""

from collections.abc import Sequence
from typing import NamedTuple

from lifelong.lecture.drawing import grid, width_of
from lifelong.report import svg, units

WIDTH, HEIGHT = 50.0, 32.0  # of a cell


class Group(NamedTuple):
    """Cells that belong together.

    Attributes:
        name: for the legend.
        cells: (row, column, how many columns) of each outline.
        colour: of the outlines.
        dashed: whether they are.
    """

    name: str
    cells: Sequence[tuple[int, int, int]]
    colour: str
    dashed: bool = False


def outlined(title: str, values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], groups: Sequence[Group]) -> str:
    """Fractions in percent with one decimal, darker is more, hatched is undefined; the groups' outlines, and their legend under it."""
    drawn, said, (left, top) = grid(values, rows, columns, size=(WIDTH, HEIGHT), number=units.percent, say=units.percent)
    bottom = top + HEIGHT * len(rows) + 6
    for group in groups:
        for i, j, count in group.cells:
            drawn.append(_outline(left + j * WIDTH, top + i * HEIGHT, count * WIDTH, HEIGHT, group))
    for place, group in enumerate(groups):
        y = bottom + 22 * place
        drawn += [_outline(4.0, y, 26.0, 17.0, group), svg.text(40, y + 13, group.name)]
        said.append(group.name)
    width = max(left + WIDTH * len(columns) + 4, *(44 + width_of(group.name) for group in groups))
    return svg.picture(width, bottom + 22 * len(groups), title, "; ".join(said), *drawn)


def _outline(x: float, y: float, width: float, height: float, group: Group) -> str:
    """On white, so that it shows on dark cells."""
    place = {"x": x + 2.5, "y": y + 2.5, "width": width - 5, "height": height - 5, "fill": "none", "rx": 3.0}
    under = svg.element("rect", **place, stroke="#ffffff", stroke_width=4.5)
    return under + svg.element("rect", **place, stroke=group.colour, stroke_width=2.4, stroke_dasharray="4 3" if group.dashed else None)
