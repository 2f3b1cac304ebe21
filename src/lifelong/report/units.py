"""Numbers as people read them. An undefined number (NaN) is always "–"."""

import math

UNDEFINED = "–"
MINUS = "−"


def percent(value: float) -> str:
    """A fraction in percent with one decimal and without the sign %.

    >>> percent(0.9734), percent(-0.185), percent(float("nan"))
    ('97.3', '−18.5', '–')
    """
    if math.isnan(value):
        return UNDEFINED
    rounded = round(100 * value, 1)
    return f"{MINUS if rounded < 0 else ''}{abs(rounded):.1f}"


def signed_percent(value: float) -> str:
    """Like `percent`, with a plus sign on what is positive.

    >>> signed_percent(0.012), signed_percent(-0.012), signed_percent(0.0)
    ('+1.2', '−1.2', '0.0')
    """
    return f"{'+' if value > 0 and percent(value) != '0.0' else ''}{percent(value)}"


def percent_with_spread(mean: float, spread: float) -> str:
    """Mean ± spread in percent; only the mean where there is no spread (one seed).

    >>> percent_with_spread(0.9734, 0.002), percent_with_spread(0.9734, float("nan"))
    ('97.3 ± 0.2', '97.3')
    """
    return percent(mean) if math.isnan(mean) or math.isnan(spread) else f"{percent(mean)} ± {percent(spread)}"


def seconds(value: float) -> str:
    """A duration with its unit.

    >>> seconds(0.0042), seconds(7.25), seconds(75), seconds(3 * 3600 + 61)
    ('4 ms', '7.2 s', '1 min 15 s', '3 h 01 min')
    """
    if math.isnan(value):
        return UNDEFINED
    if value < 0.9995:
        return f"{1000 * value:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float) -> str:
    """A number of bytes in decimal units.

    >>> size(0), size(999), size(1_234_567), size(2.5e9)
    ('0 B', '999 B', '1.2 MB', '2.5 GB')
    """
    if math.isnan(value):
        return UNDEFINED
    if value < 1000:
        return f"{value:.0f} B"
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def count(value: float) -> str:
    """A whole number with thousands separated.

    >>> count(89610)
    '89,610'
    """
    return UNDEFINED if math.isnan(value) else f"{value:,.0f}"
