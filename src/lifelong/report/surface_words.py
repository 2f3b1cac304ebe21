"""What a picture of error surfaces says, in whichever language."""

import math
import re
from dataclasses import dataclass
from unicodedata import east_asian_width

from lifelong.landscape import Landscape, Sweep, Trajectory
from lifelong.report import svg
from lifelong.report.units import MINUS

STILL = 0.02  # a path shorter than this share of the picture's diagonal stands still, to the eye
ROUNDING = 1e-6  # a distance from the plane, in its unit, that is none
WHOLE = 0.995  # a path of which the plane holds so much is held, as percents are rounded


@dataclass(frozen=True)
class Words:
    """The picture's words; in braces stand numbers and names, which a template may leave out or order as its language does.

    Attributes:
        title: a panel's heading, with {task}.
        both: the title of all panels in one picture, with {tasks}.
        across, up: what the axes are.
        darker: how the colours are read.
        low: the low-error region of the panel's own task, with {low}: the highest loss in it.
        other: that of another {task}.
        first: the path that is common to all, of learning the first {task}.
        ends: where the path of {name} ends: the {loss} on the panel's task, and the {verdict}, which is `inside` or `outside`.
        still: the same for a path that hardly moves.
        inside, outside: of the panel's low-error region.
        reach: of a sweep, the ends of {name} at {count} strengths from {least} to {most}: {reached} of them, the lowest {first} and the
            highest {last}, are in all low-error regions.
        miss: of a sweep of which none is.
        shares: under the picture, of paths that leave the plane: {shares} of their length that it holds, by name.
        held: how much of the length of {name}'s path the plane holds, {held}, and how far off the plane its end is, {off}.
    """

    title: str = "Error surface of {task}"
    both: str = "Error surfaces of {tasks}"
    across: str = "θ₁"
    up: str = "θ₂"
    darker: str = "darker: smaller loss"
    low: str = "low error: loss up to {low}"
    other: str = "low error on {task}"
    first: str = "learning {task}"
    ends: str = "{name} ends at loss {loss}: {verdict}"
    still: str = "{name} stands still at loss {loss}: {verdict}"
    inside: str = "low"
    outside: str = "too high"
    reach: str = "{name}: {reached} of {count} strengths, {first} to {last}, end low on all"
    miss: str = "{name}: none of {count} strengths, {least} to {most}, ends low on all"
    shares: str = "of the paths' lengths the plane holds: {shares}"
    held: str = "the plane holds {held} of the length of {name}'s path and passes its end at a distance of {off}"


def ending(landscape: Landscape, each: Trajectory, task: int, words: Words) -> str:
    """Where a trajectory ends, on one task's surface."""
    verdict = words.inside if landscape.inside(each)[task] else words.outside
    diagonal = math.hypot(landscape.across[-1] - landscape.across[0], landscape.up[-1] - landscape.up[0])
    moved = max(math.hypot(x - each.points[0][0], y - each.points[0][1]) for x, y in each.points)
    template = words.still if max(moved, each.off) < STILL * diagonal else words.ends
    return template.format(name=each.name, loss=loss(each.losses[task]), verdict=verdict)


def reaching(landscape: Landscape, sweep: Sweep, words: Words) -> str:
    """Which strengths of a sweep end in all low-error regions."""
    reached = landscape.reaching(sweep)
    span = {"name": sweep.name, "count": len(sweep.strengths), "least": number(sweep.strengths[0]), "most": number(sweep.strengths[-1])}
    if not reached:
        return words.miss.format(**span)
    return words.reach.format(**span, first=number(reached[0]), last=number(reached[-1]), reached=len(reached))


def held(landscape: Landscape, words: Words) -> list[str]:
    """For each trajectory that leaves the plane, how much of it the plane holds; none where it holds all."""
    return [
        words.held.format(name=each.name, held=_percent(each.held), off=number(each.off if each.off > ROUNDING else 0.0))
        for each in landscape.every
        if each.held < WHOLE
    ]


def shares(landscape: Landscape, words: Words) -> str:
    """In short, what `held` says at length, of the paths that are compared; "" where the plane holds all."""
    out = [f"{each.name} {_percent(each.held)}" for each in landscape.trajectories if each.held < WHOLE]
    return words.shares.format(shares=", ".join(out)) if out else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%"  # never broken before the sign


def in_words(landscape: Landscape, task: int, words: Words) -> str:
    """All that one task's panel says."""
    said = [words.darker, words.low.format(low=loss(landscape.surfaces[task].low))]
    said += [ending(landscape, each, task, words) for each in landscape.trajectories]
    said += [reaching(landscape, each, words) for each in landscape.sweeps]
    return f"{'; '.join([*said, *held(landscape, words)])}."


def loss(value: float) -> str:
    """A loss with three decimals, a large one with three digits.

    >>> loss(0.51639), loss(0.58), loss(12.345)
    ('0.516', '0.580', '12.3')
    """
    return f"{value:.3f}" if value < 9.9995 else f"{value:.3g}"


def number(value: float) -> str:
    """A number of at most three digits.

    >>> number(0.0464159), number(-2.0), number(1000.0), number(1e9)
    ('0.0464', '−2', '1000', '1e+09')
    """
    shown = f"{value:.3g}"
    return (f"{value:.0f}" if "e" in shown and 1 <= abs(value) < 1e6 else shown).replace("-", MINUS)


def width(words: str, font_size: float) -> float:
    """About how wide words are; a Chinese character is as wide as it is high.

    >>> round(width("loss", 10), 1), width("損失", 10)
    (22.4, 20)
    """
    return sum(font_size if east_asian_width(character) in "WF" else svg.CHARACTER * font_size for character in words)


def wrapped(words: str, most: float, font_size: float) -> list[str]:
    """Words in lines of about `most`: broken at spaces, or inside what has none, as Chinese does.

    >>> wrapped("a long name", 40, 10), wrapped("很長的名字", 40, 10)
    (['a long', 'name'], ['很長的名', '字'])
    """
    lines = [""]
    for piece in re.findall(r" *[\u2e80-\uffff]| *[^ \u2e80-\uffff]+", words):
        if lines[-1] and width(lines[-1] + piece, font_size) > most:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return lines
