"""Small pieces of SVG: elements with everything escaped, axes, markers, and colours that everybody can tell apart."""

import math
import sys
from collections.abc import Sequence
from html import escape

# Okabe & Ito's colours for colour-blind readers, https://jfly.uni-koeln.de/color/, without their yellow: too faint as a line on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("circle", "square", "triangle", "diamond", "nabla", "cross")
INK, QUIET, GRID = "#1f2328", "#59636e", "#e3e6ea"
# The ends of the heat maps' scale in OKLab, https://bottosson.github.io/posts/oklab/: one hue, evenly spaced to the eye.
LIGHTEST, DARKEST = (0.975, -0.006, -0.010), (0.360, -0.015, -0.110)
HALF_CROSS = ((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4))
CROSS = (*HALF_CROSS, *((-x, -y) for x, y in HALF_CROSS))
CHARACTER = 0.56  # mean width of a character, in font sizes


def element(name: str, *content: str, **attributes: object) -> str:
    """One element. `content` is SVG already; attributes are escaped, and `stroke_width` becomes `stroke-width`."""
    pairs = (f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"' for key, value in attributes.items() if value is not None)
    return f"<{name}{''.join(pairs)}>{''.join(content)}</{name}>"


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = INK, font_size: float = 12.0, **attributes: object) -> str:
    """Words at a point; `anchor` is start, middle or end. The words are escaped here."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, fill=fill, font_size=font_size, **attributes)


def picture(width: float, height: float, title: str, description: str, *content: str) -> str:
    """A whole SVG image with its text alternative."""
    return element(
        "svg",
        element("title", escape(title)),
        element("desc", escape(description)),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(float(width))} {_number(float(height))}",
        width=float(width),
        height=float(height),
        role="img",
        aria_label=f"{title}. {description}",
    )


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def polyline(points: Sequence[tuple[float, float]], **attributes: object) -> str:
    """Points joined by lines, broken where a y is NaN; a point alone between two gaps becomes a short dash."""
    commands, drawing = [], False
    for position, (x, y) in enumerate(points):
        if math.isnan(y):
            drawing = False
            continue
        commands.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
        last = position + 1 == len(points) or math.isnan(points[position + 1][1])
        if last and not drawing:
            commands.append("h0.1")
        drawing = True
    return element("path", d="".join(commands), fill="none", stroke_linejoin="round", stroke_linecap="round", **attributes)


def marker(shape: str, x: float, y: float, radius: float = 4.0, **attributes: object) -> str:
    """One of MARKERS around a point."""
    r = radius
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=r, **attributes)
    corners = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0.0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        "nabla": [(0.0, 1.2), (1.1, -0.9), (-1.1, -0.9)],
        "diamond": [(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        "cross": CROSS,
    }[shape]
    return element("polygon", points=" ".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners), **attributes)


def shorten(words: str, width: float, font_size: float = 12.0) -> str:
    """`words`, cut with an ellipsis to about `width`."""
    most = max(int(width / (CHARACTER * font_size)), 2)
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def thin(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, evenly spread, with the first and the last.

    >>> thin(5, 10), thin(101, 5)
    ([0, 1, 2, 3, 4], [0, 25, 50, 75, 100])
    """
    if count <= most:
        return list(range(count))
    return [round(position * (count - 1) / (most - 1)) for position in range(most)]


def counting_ticks(last: int, most: int = 6) -> list[int]:
    """Round whole numbers from 0 to `last`, at most about `most`.

    >>> counting_ticks(5), counting_ticks(40), counting_ticks(1000)
    ([0, 1, 2, 3, 4, 5], [0, 10, 20, 30, 40], [0, 200, 400, 600, 800, 1000])
    """
    return [round(tick) for tick in ticks(0, last, most) if tick == round(tick)]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers inside low..high, at most about `most`.

    >>> ticks(0, 1), ticks(-0.31, 0.04, 4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [-0.3, -0.2, -0.1, 0.0])
    """
    span = high - low
    if not span > sys.float_info.min * most:  # its parts would not be numbers of full precision
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if span / (factor * magnitude) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(position * step, 10) for position in range(first, last + 1)]


def scale_colour(share: float) -> str:
    """The heat maps' colour for 0 (light) to 1 (dark), as "#rrggbb"."""
    share = min(max(share, 0.0), 1.0)
    lightness, a, b = (low + share * (high - low) for low, high in zip(LIGHTEST, DARKEST, strict=True))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    channels = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(max(channel, 0.0), 1.0))):02x}" for channel in channels)


def _gamma(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055


def contrast(colour: str, other: str) -> float:
    """WCAG's contrast ratio of two colours "#rrggbb", 1 to 21; text needs 4.5."""
    lighter, darker = sorted((_luminance(colour), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(colour: str) -> str:
    """Black or white, whichever is easier to read on `colour`."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))
