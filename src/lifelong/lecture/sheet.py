"""A sheet of small bitmaps in rows and columns that have names."""

from collections.abc import Sequence

from lifelong.lecture.drawing import width_of
from lifelong.report import svg


def sheet(title: str, about: str, png: str, size: tuple[float, float], *, rows: Sequence[str], columns: Sequence[str]) -> str:
    """One bitmap (PNG in base64) of evenly spaced rows and columns, with their names, its pixels kept sharp.

    Args:
        about: what is to be seen, in words, for those who can't see it.
        size: the bitmap's width and height on the page.
        rows, columns: their names.
    """
    left, top, (width, height) = max(width_of(name) for name in rows) + 10, 20.0, size
    bitmap = svg.element(
        "image", href=f"data:image/png;base64,{png}", x=left, y=top, width=width, height=height, style="image-rendering:pixelated"
    )
    names = [svg.text(left - 8, top + (i + 0.5) * height / len(rows) + 4, name, anchor="end") for i, name in enumerate(rows)]
    heads = [svg.text(left + (j + 0.5) * width / len(columns), 14, name, anchor="middle") for j, name in enumerate(columns)]
    return svg.picture(left + width + 4, top + height + 4, title, about, bitmap, *names, *heads)
