"""The part of docs/speed.md that compares with Avalanche."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import peers
from speed_tables import NOT_MEASURED, Content, Entries, Lines, card, table, times

from lifelong.report import svg
from lifelong.report.digest import Estimate, estimate
from lifelong.report.units import UNDEFINED, count, percent_with_spread

OWN, PEER = svg.COLOURS[0], svg.COLOURS[1]


class Numbers(NamedTuple):
    """What a method took in one library: medians over seeds, and the accuracy; `bares` is a step's seconds in steps by hand."""

    cpu: float
    wall: float
    bares: float
    peak: float
    added: float
    steps: int
    accuracy: Estimate


class Pair(NamedTuple):
    """A method in both libraries, with so many seeds; None where a run failed, or where there is no seed."""

    method: str
    seeds: int
    own: Numbers | None
    peer: Numbers | None

    @property
    def lacking(self) -> str:
        return "failed" if self.seeds else NOT_MEASURED

    @property
    def differ(self) -> bool:
        """Whether the accuracies are further apart than twice the standard error of their difference."""
        if self.own is None or self.peer is None:
            return False
        own, peer = self.own.accuracy, self.peer.accuracy
        return abs(own.mean - peer.mean) > 2 * math.sqrt((own.spread**2 + peer.spread**2) / self.seeds)


def seeds_of(entries: Entries, method: str, batch: str) -> int:
    """How many seeds, from the first on, all libraries of a method were measured with."""
    seed = 0
    while all(peers.key(method, batch, library, seed) in entries for library in peers.libraries_of(method)):
        seed += 1
    return seed


def numbers(entries: Entries, method: str, batch: str, library: str) -> Numbers | None:
    """None where there is no seed, or one failed."""
    found = [entries[peers.key(method, batch, library, seed)] for seed in range(seeds_of(entries, method, batch))]
    if not found or any("failed" in each for each in found):
        return None
    hands = seeds_of(entries, "naive", batch)
    cpu, wall, peak, start = (peers.middle(found, field) for field in ("cpu_seconds", "seconds", "peak_bytes", "start_bytes"))
    by_hand = peers.bare_step(dict(entries), batch, hands) if hands else math.nan
    steps = found[0]["steps"]
    return Numbers(cpu, wall, cpu / steps / by_hand, peak, peak - start, steps, estimate([each["accuracy"] for each in found]))


def pairs_of(content: Content, batch: str) -> list[Pair]:
    entries: Entries = content["entries"]
    pair = partial(numbers, entries)
    return [
        Pair(method, seeds_of(entries, method, batch), pair(method, batch, "lifelong"), pair(method, batch, "avalanche"))
        for method in content["settings"]["methods"]
    ]


def ratios_of(pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Avalanche's seconds by ours, of the processor and of the clock."""
    return [(pair.peer.cpu / pair.own.cpu, pair.peer.wall / pair.own.wall) for pair in pairs if pair.own and pair.peer]


def peers_tables(content: Content) -> Lines:
    """For each batch size a table, a picture, and what must be said of single rows."""
    settings, entries = content["settings"], content["entries"]
    for batch, (hidden, examples, rate) in settings["sizes"].items():
        pairs = pairs_of(content, batch)
        network = "-".join(map(str, [784, *hidden, 10]))
        yield from (f"### {batch} examples a step", "")
        yield f"Network {network}, {settings['tasks']} tasks of {count(examples)} examples, SGD with learning rate {rate}."
        yield ""
        yield from table(
            [
                *("method", "seeds", "lifelong × by hand", "Avalanche × by hand", "Avalanche ÷ lifelong", "by the clock"),
                *("lifelong, peak MB", "Avalanche, peak MB", "lifelong, accuracy in %", "Avalanche, accuracy in %"),
            ],
            peers_rows(entries, pairs, batch),
        )
        if drawn_bars(pairs):
            yield from (f"![{bars_in_words(pairs, batch)}](speed/{bars_name(batch)})", "")
        notes = [f"- {note}" for note in peers_notes(entries, pairs, batch)]
        yield from [*notes, ""] if notes else []


def peers_rows(entries: Entries, pairs: Sequence[Pair], batch: str) -> Iterator[list[str]]:
    for pair in pairs:
        own, peer = (cells_of(each, pair.lacking) for each in (pair.own, pair.peer))
        ratios = map(times, *ratios_of([pair])) if pair.own and pair.peer else [UNDEFINED] * 2
        mark = " ≠" if pair.differ else ""
        yield [pair.method, f"{pair.seeds}", own[0], peer[0], *ratios, own[1], peer[1], own[2], peer[2] + mark]
        if "lifelong, default" in peers.libraries_of(pair.method):
            bares, memory, accuracy = cells_of(numbers(entries, pair.method, batch, "lifelong, default"), pair.lacking)
            yield [f"{pair.method}, with our defaults", f"{pair.seeds}", bares, "", "", "", memory, "", accuracy, ""]
    if all_ratios := ratios_of(pairs):
        means = (f"**{times(statistics.geometric_mean(each))}**" for each in zip(*all_ratios, strict=True))
        yield [f"**geometric mean of {len(all_ratios)}**", "", "", "", *means, "", "", "", ""]


def cells_of(each: Numbers | None, lacking: str) -> tuple[str, str, str]:
    """A step in steps by hand, the peak of memory with what was added, and the accuracy."""
    if each is None:
        return lacking, lacking, lacking
    memory = f"{each.peak / 1e6:.0f} (+{each.added / 1e6:.0f})"
    return times(each.bares), memory, percent_with_spread(each.accuracy.mean, each.accuracy.spread)


def peers_notes(entries: Entries, pairs: Sequence[Pair], batch: str) -> Iterator[str]:
    """What a reader of the table must know."""
    differing = [pair.method for pair in pairs if pair.differ]
    if differing:
        yield f"≠: the accuracies differ by more than twice the standard error of their difference: {', '.join(differing)}."
    for pair in pairs:
        if pair.own and pair.peer and pair.own.steps != pair.peer.steps:
            yield f"{pair.method}: not the same number of steps, {count(pair.own.steps)} here and {count(pair.peer.steps)} in Avalanche."
        found = [entries[peers.key(pair.method, batch, "avalanche", seed)] for seed in range(pair.seeds)]
        if any(each.get("importance_zero") for each in found):
            yield f"{pair.method}: every importance is 0 in Avalanche, so this is fine-tuning."


def differences(content: Content) -> Lines:
    """What is not the same algorithm in both libraries, with the settings that both have."""
    for name, method in content["settings"]["methods"].items():
        settings = ", ".join(f"{key} {value:g}" for key, value in method["settings"].items())
        if method["differences"]:
            yield f"- {name} ({settings}): {method['differences']}"


def failures(content: Content) -> Lines:
    """The last line of what a run said that ended so, once for all seeds."""
    failed = Counter(
        (key.rpartition(", seed ")[0], entry["failed"].splitlines()[-1]) for key, entry in content["entries"].items() if "failed" in entry
    )
    return [f"- {run}: `{said}` ({often} of its runs)" for (run, said), often in failed.items()] or ["No run failed."]


def bars_name(batch: str) -> str:
    return f"peers-batch-{batch}.svg"


def drawn_bars(pairs: Sequence[Pair]) -> list[float]:
    """The lengths of a picture's bars."""
    return [each.bares for pair in pairs for each in (pair.own, pair.peer) if each is not None and not math.isnan(each.bares)]


def bars_title(batch: str) -> str:
    return f"Seconds of a training step, {batch} examples, as multiples of the loop by hand"


def bars_in_words(pairs: Sequence[Pair], batch: str) -> str:
    """The picture's main numbers."""
    said = []
    for name, sides in (("lifelong", [pair.own for pair in pairs]), ("Avalanche", [pair.peer for pair in pairs])):
        found = [each.bares for each in sides if each is not None]
        said += [f"{name} {times(min(found))} to {times(max(found))}"] if found else []
    ratios = [cpu for cpu, _ in ratios_of(pairs)]
    if ratios:
        said.append(f"Avalanche {times(statistics.geometric_mean(ratios))} times lifelong in the geometric mean of {len(ratios)} methods")
    return f"{bars_title(batch)}: {'; '.join(said)}"


def bars(pairs: Sequence[Pair], batch: str) -> str:
    """For each method two lying bars, as long as a step is in steps by hand."""
    width, left, right, top, pitch, thick = 640.0, 84.0, 580.0, 60.0, 34.0, 12.0
    bottom, most = top + pitch * len(pairs), max(drawn_bars(pairs))

    def x(value: float) -> float:
        return left + value / most * (right - left)

    title = bars_title(batch)
    drawn = [svg.text(12, 22, title, font_size=14.0, font_weight=600)]
    for place, (name, colour) in zip((right - 130, right - 40), (("lifelong", OWN), ("Avalanche", PEER)), strict=True):
        drawn.append(svg.element("rect", x=place, y=34, width=thick, height=thick, fill=colour))
        drawn.append(svg.text(place + 18, 44, name))
    for tick in svg.ticks(0, most):
        drawn.append(svg.line(x(tick), top, x(tick), bottom, stroke=svg.GRID))
        drawn.append(svg.text(x(tick), bottom + 16, f"{tick:g}", anchor="middle", fill=svg.QUIET))
    said = []
    for position, pair in enumerate(pairs):
        y = top + (position + 0.5) * pitch
        drawn.append(svg.text(left - 8, y + 4, pair.method, anchor="end"))
        for name, each, at, colour in (("lifelong", pair.own, y - thick - 1, OWN), ("Avalanche", pair.peer, y + 1, PEER)):
            words = pair.lacking if each is None else times(each.bares)
            end = left if each is None or math.isnan(each.bares) else x(each.bares)
            drawn.append(svg.element("rect", x=left, y=at, width=end - left, height=thick, fill=colour))
            drawn.append(svg.text(end + 6, at + thick - 2, words, font_size=11.5))
            said.append(f"{pair.method} in {name} {words}")
    drawn.append(svg.line(x(1.0), top, x(1.0), bottom, stroke=svg.INK, stroke_dasharray="4 3"))
    drawn.append(svg.text(x(1.0), top - 4, "by hand", anchor="middle", fill=svg.QUIET, font_size=11))
    return card(width, bottom + 26, title, f"{'; '.join(said)}.", drawn)
