"""Writes docs/speed.md and its pictures from what the benchmarks stored; it measures nothing.

    python benchmarks/speed.py

The words are in speed_words.md, where a line `{{name}}` is the place for one of PLACES. What was not measured is said to be so.
"""

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import peers
import pieces
import step
import thousand
import ways
from passes import CASES, SIZES
from stored import RESULTS

from lifelong.errors import nearest
from lifelong.report import svg
from lifelong.report.digest import Estimate, estimate
from lifelong.report.units import UNDEFINED, count, percent, percent_with_spread, seconds, size

DOCS, WORDS = Path(__file__).parent.parent / "docs", Path(__file__).with_name("speed_words.md")
BENCHMARKS = ("step", "peers", "thousand", "stream", "ways", "pieces")
BEFORE = "step-before"  # what `step.py` measured before it led to changes
NOT_MEASURED = "not measured"
LOOKS = ("10", "100", "1000")  # tasks after which `thousand.py` looks
SHOWN = [f"{int(look):,}" for look in LOOKS]
OWN, PEER = svg.COLOURS[0], svg.COLOURS[1]

Entries = Mapping[str, dict[str, Any]]
Content = Mapping[str, Any]  # of a benchmark's file: "machine", "settings", "entries"
Results = Mapping[str, Content]  # of the benchmarks that were run
Lines = Iterable[str]


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


def read(folder: Path) -> Results:
    """The files that there are."""
    paths = {name: folder / f"{name}.json" for name in (*BENCHMARKS, BEFORE)}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def times(value: float) -> str:
    """A ratio."""
    return UNDEFINED if math.isnan(value) else f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def micro(value: float) -> str:
    return count(1e6 * value)


def milli(value: float) -> str:
    return f"{1000 * value:.1f}"


def cell(entry: Mapping[str, Any] | None, field: str, show: Callable[[float], str] = times) -> str:
    """A number of an entry; a field that an entry lacks is one that there is not for it."""
    return NOT_MEASURED if entry is None else show(entry[field]) if field in entry else UNDEFINED


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Markdown; the numbers, which are in all columns but the first, to the right."""
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def machine_of(content: Content) -> str:
    """The machine and the software in words, with whatever else a benchmark notes about them."""
    facts = dict(content["machine"])
    return ", ".join([f"{facts.pop('processor')}, {facts.pop('cores')} cores", *(f"{name} {value}" for name, value in facts.items())])


def most_common_machine(results: Results) -> str:
    found = Counter(machine_of(content) for content in results.values()).most_common(1)
    return found[0][0] if found else NOT_MEASURED


def machines(results: Results) -> Lines:
    """Where and with what was measured."""
    yield f"- Machine: {most_common_machine(results)}."
    versions = sorted({content["settings"]["version"] for content in results.values() if "version" in content["settings"]})
    if versions:
        yield f"- lifelong {', '.join(versions)}."
    if "peers" in results:
        pinned = ", ".join(f"{name} {version}" for name, version in results["peers"]["settings"]["versions"].items())
        yield f"- lifelong and Avalanche side by side, in an environment of their own: {pinned}."
    took = sum(results[name]["seconds"] for name in BENCHMARKS if name in results)
    yield f"- Measuring took {took / 60:.0f} minutes in all."
    missing = [f"`{name}.py`" for name in BENCHMARKS if name not in results]
    if missing:
        yield f"- Here {NOT_MEASURED}: {', '.join(missing)}."


def penalties(content: Content) -> Lines:
    """A table for each size."""
    entries: Entries = content["entries"]
    names = [*step.PENALTIES, "si by hand"]
    for title in SIZES:
        yield from (f"**{title}**", "")
        found = {optimizer: entries.get(f"{optimizer}; {title}") for optimizer in step.OPTIMIZERS}
        rows = ([name, cell(entry, "bare_seconds", micro), *(cell(entry, each) for each in names)] for name, entry in found.items())
        yield from table(["optimizer", "by hand, µs", *names], rows)


def passes(content: Content) -> Lines:
    entries: Entries = content["entries"]
    columns = [column for title in SIZES for column in (title, "by hand")]
    found = {name: [entries.get(f"{name}; {title}") for title in SIZES] for name in CASES}
    yield from table(
        ["method", *columns],
        ([name, *(cell(entry, field) for entry in each for field in (name, f"{name}, by hand"))] for name, each in found.items()),
    )


def before(content: Content) -> Lines:
    """The ratios of both kinds, of the sizes that were measured then."""
    entries: Entries = content["entries"]
    loops = {name: entry for name, entry in entries.items() if "finetune" in entry}
    yield from table(["", *step.PENALTIES], ([name, *(cell(entry, each) for each in step.PENALTIES)] for name, entry in loops.items()))
    others = {name: entry for name, entry in entries.items() if name not in loops}
    yield from table(["", "to bare passes"], ([name, cell(entry, name.partition(";")[0])] for name, entry in others.items()))


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


def card(width: float, height: float, title: str, description: str, drawn: Sequence[str]) -> str:
    """A picture on white, so that it can be read on a dark page, too."""
    under = svg.element("rect", width="100%", height="100%", rx=6, fill="#ffffff")
    return svg.picture(width, height, title, description, under, *drawn).replace(">", ' font-family="system-ui, sans-serif">', 1)


def thousand_tables(content: Content) -> Lines:
    """Seconds, resident memory, and what is kept with what is known."""
    settings, entries = content["settings"], content["entries"]
    network = "-".join(map(str, [784, *settings["hidden"], 10]))
    yield f"Network {network}, {settings['examples']} examples a task, {settings['batch']} a step."
    yield ""
    looks = {name: [entries.get(name, {}).get(look) for look in LOOKS] for name in thousand.METHODS}
    after = [f"after {look}" for look in SHOWN]
    taken = ([name, *(cell(each, "seconds", milli) for each in found), growth(found, "seconds", 0)] for name, found in looks.items())
    yield from table(["method", f"ms a task {after[0]} tasks", *after[1:], f"{SHOWN[-1]} ÷ {SHOWN[0]}"], taken)
    resident = ([name, *(cell(each, "resident", size) for each in found), growth(found, "resident", 1)] for name, found in looks.items())
    yield from table(["method", f"resident memory {after[0]} tasks", *after[1:], f"{SHOWN[-1]} ÷ {SHOWN[1]}"], resident)
    kept = ([name, *(cell(each, "kept", size) for each in found), *map(known, found)] for name, found in looks.items())
    yield from table(["method", f"kept {after[0]} tasks", *after[1:], f"accuracy in % {after[0]} tasks", *after[1:]], kept)
    if any(entry for found in looks.values() for entry in found):
        yield from (f"![{growth_in_words(entries)}](speed/thousand.svg)", "")


def growth(found: Sequence[Mapping[str, float] | None], field: str, earlier: int) -> str:
    """The last look's number by an earlier one's."""
    before, last = found[earlier], found[-1]
    return NOT_MEASURED if before is None or last is None else times(last[field] / before[field])


def known(entry: Mapping[str, float] | None) -> str:
    return NOT_MEASURED if entry is None else f"{percent(entry['accuracy'])} ({count(entry['of'])})"


def growth_in_words(entries: Entries) -> str:
    """The picture's main numbers."""
    whole = {name: [entry[look] for look in LOOKS] for name, entry in entries.items() if entry.keys() >= set(LOOKS)}
    if not whole:
        return f"Seconds of a task and resident memory; after {SHOWN[-1]} tasks {NOT_MEASURED}"
    (slower, slowest), (larger, largest) = (
        max((found[-1][panel.field] / found[panel.earlier][panel.field], name) for name, found in whole.items()) for panel in PANELS
    )
    return (
        f"Of {len(whole)} methods, a task after {SHOWN[-1]} takes at most {times(slower)} times the seconds of one after {SHOWN[0]} "
        f"({slowest}), and resident memory is at most {times(larger)} times that after {SHOWN[1]} ({largest})"
    )


class Panel(NamedTuple):
    """A part of the picture: an entry's field, its unit and how many of them are in one of the field's, and what growth begins at."""

    field: str
    unit: str
    factor: float
    earlier: int


PANELS = (Panel("seconds", "ms a task", 1e3, 0), Panel("resident", "MB of resident memory", 1e-6, 1))
LEFT, WIDE, GAP, TOP, PITCH = 96.0, 250.0, 90.0, 64.0, 26.0  # of the picture; WIDE and GAP are a panel's
STYLES = [(6.5, svg.scale_colour(0.3)), (4.5, svg.scale_colour(0.65)), (2.6, svg.scale_colour(1.0))]


def growth_picture(entries: Entries) -> str:
    """A row for each method: three points for seconds a task, three for memory. Where nothing grows they lie on each other."""
    looks = {name: [entries[name].get(look) for look in LOOKS] for name in thousand.METHODS if name in entries}
    title = f"What a task costs after {SHOWN[0]}, {SHOWN[1]} and {SHOWN[2]} tasks"
    drawn = [svg.text(12, 22, title, font_size=14.0, font_weight=600)]
    for position, (look, (radius, colour)) in enumerate(zip(SHOWN, STYLES, strict=True)):
        drawn.append(svg.marker("circle", LEFT + 8 + 110 * position, 40, radius, fill=colour))
        drawn.append(svg.text(LEFT + 20 + 110 * position, 44, f"{look} tasks"))
    drawn += [svg.text(LEFT - 12, TOP + (row + 0.5) * PITCH + 4, name, anchor="end") for row, name in enumerate(looks)]
    said = []
    for position, panel in enumerate(PANELS):
        drawn += drawn_panel(panel, LEFT + position * (WIDE + GAP), list(looks.values()))
        for name, found in looks.items():
            shown = ", ".join(UNDEFINED if entry is None else f"{panel.factor * entry[panel.field]:.1f}" for entry in found)
            said.append(f"{name}, {panel.unit}: {shown}")
    return card(LEFT + 2 * (WIDE + GAP), TOP + PITCH * len(looks) + 44, title, f"{'; '.join(said)}.", drawn)


def drawn_panel(panel: Panel, start: float, rows: Sequence[Sequence[Mapping[str, float] | None]]) -> Iterator[str]:
    bottom = TOP + PITCH * len(rows)
    most = 1.05 * max(entry[panel.field] for found in rows for entry in found if entry is not None)
    for tick in svg.ticks(0, panel.factor * most, 5):
        x = start + tick / (panel.factor * most) * WIDE
        yield svg.line(x, TOP, x, bottom, stroke=svg.GRID)
        yield svg.text(x, bottom + 16, f"{tick:g}", anchor="middle", fill=svg.QUIET)
    yield svg.text(start + WIDE / 2, bottom + 34, panel.unit, anchor="middle", fill=svg.QUIET)
    yield svg.text(start + WIDE + 8, TOP - 4, f"{SHOWN[-1]} ÷ {SHOWN[panel.earlier]}", fill=svg.QUIET, font_size=11)
    for row, found in enumerate(rows):
        y = TOP + (row + 0.5) * PITCH
        for entry, (radius, colour) in zip(found, STYLES, strict=True):
            if entry is not None:
                yield svg.marker("circle", start + entry[panel.field] / most * WIDE, y, radius, fill=colour)
        if found[-1] is not None:
            yield svg.text(start + WIDE + 8, y + 4, growth(found, panel.field, panel.earlier))


def recipes(content: Content) -> Lines:
    """A table for each recipe."""
    for name in content["settings"]["recipes"]:
        entry = content["entries"].get(f"recipe {name}")
        if entry is None:
            yield from (f"**{name}**: {NOT_MEASURED}.", "")
            continue
        yield from (f"**{name}**: {seconds(entry['seconds'])} for the whole command.", "")
        rows = (
            [
                *(method, seconds(cost["train_seconds"]), seconds(cost["evaluate_seconds"]), count(cost["steps"])),
                *(micro(cost["train_seconds"] / cost["steps"] if cost["steps"] else math.nan),),
                *(size(cost["peak_memory_bytes"]), size(cost["kept_bytes"])),
            ]
            for method, cost in entry["runs"].items()
        )
        yield from table(["method", "training", "evaluating", "steps", "training, µs a step", "peak memory", "kept"], rows)


def gem(content: Content) -> Lines:
    entry = content["entries"].get("gem-rotations, gem and its bare passes")
    fields = {"training_seconds": seconds, "passes_seconds": seconds, "ratio": times, "evaluating_seconds": seconds, "whole_ratio": times}
    columns = ["", "training", "its passes by hand", "training ÷ passes", "evaluating", "both ÷ passes"]
    yield from table(columns, [["gem", *(cell(entry, field, show) for field, show in fields.items())]])


def at_once(content: Content) -> Lines:
    entry = content["entries"].get("two runs at once")
    fields = {"one_after_another_seconds": seconds, "at_once_seconds": seconds, "ratio": times}
    command = " ".join(["lifelong run", *content["settings"]["pair"]])
    columns = ["", "one after another", "at once", "at once ÷ one after another"]
    yield from table(columns, [[f"`{command}`", *(cell(entry, field, show) for field, show in fields.items())]])


def or_never(value: float | None) -> str:
    return "never" if value is None else count(value)


WAYS: dict[str, dict[str, tuple[str, Callable[[float], str]]]] = {
    "compile": {
        "eager, µs a step": ("eager_seconds", micro),
        "all compiled ÷ eager": ("whole_ratio", times),
        "features compiled ÷ eager": ("features_ratio", times),
        "compiling": ("compile_seconds", seconds),
        "compiling again": ("compile_seconds_again", seconds),
        "steps to win it back": ("steps_to_win_back", or_never),
    },
    "threads": {"one thread, µs a step": ("one_seconds", micro), "two ÷ one": ("two_ratio", times)},
    "precision": {"float32, µs a step": ("float32_seconds", micro), "bfloat16 ÷ float32": ("bfloat16_ratio", times)},
    "data": {f"{way}, an epoch": (f"{way}, seconds", seconds) for way in ways.LOADED},
}


def way(kind: str, content: Content) -> Lines:
    """A table of one of the ways."""
    found = {name: content["entries"].get(f"{kind}, {name}") for name in ways.MEASURES[kind][1]}
    rows = ([name, *(cell(entry, field, show) for field, show in WAYS[kind].values())] for name, entry in found.items())
    yield from table(["", *WAYS[kind]], rows)


def piece(content: Content) -> Lines:
    """All parts of a step in one table."""
    keys = [f"{kind}, {name}" for kind, (_, names) in pieces.MEASURES.items() for name in names]
    found = {key: content["entries"].get(key) for key in keys}
    columns = {"other way": "other_seconds", "way taken": "seconds", "bare passes": "bare_seconds"}
    yield from table(
        ["", *(f"{column}, µs" for column in columns)], ([key, *(cell(e, f, micro) for f in columns.values())] for key, e in found.items())
    )


PLACES: dict[str, tuple[str, Callable[[Content], Lines]]] = {
    "penalties": ("step", penalties),
    "passes": ("step", passes),
    "before": (BEFORE, before),
    "pieces": ("pieces", piece),
    "peers": ("peers", peers_tables),
    "differences": ("peers", differences),
    "failures": ("peers", failures),
    "thousand": ("thousand", thousand_tables),
    "recipes": ("stream", recipes),
    "gem": ("stream", gem),
    "at once": ("stream", at_once),
    **{kind: ("ways", partial(way, kind)) for kind in WAYS},
}


def page(results: Results, words: str) -> str:
    """The words with everything in its place.

    Raises:
        ValueError: a place has an unknown name.
    """
    usual = most_common_machine(results)

    def put(place: re.Match[str]) -> str:
        name = place[1]
        if name == "machines":
            return "\n".join(machines(results))
        if name not in PLACES:
            raise ValueError(f"speed_words.md has a place {{{{{name}}}}}; {nearest(name, ['machines', *PLACES])}")
        benchmark, lines = PLACES[name]
        if benchmark not in results:
            return f"`benchmarks/{benchmark}.py`: {NOT_MEASURED}."
        here = machine_of(results[benchmark])
        return "\n".join([*lines(results[benchmark]), *([] if here == usual else ["", f"Measured elsewhere: {here}."])])

    return re.sub(r"\n{3,}", "\n\n", re.sub(r"^\{\{(.+)\}\}$", put, words, flags=re.MULTILINE))


def pictures(results: Results) -> dict[str, str]:
    """By name."""
    drawn = {}
    if "peers" in results:
        for batch in results["peers"]["settings"]["sizes"]:
            pairs = pairs_of(results["peers"], batch)
            if drawn_bars(pairs):
                drawn[bars_name(batch)] = bars(pairs, batch)
    if "thousand" in results and any(results["thousand"]["entries"].values()):
        drawn["thousand.svg"] = growth_picture(results["thousand"]["entries"])
    return drawn


def write(results: Results, docs: Path) -> None:
    """The page, and its pictures beside it."""
    folder = docs / "speed"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, image in pictures(results).items():
        (folder / name).write_text(image + "\n", encoding="utf-8")
    (docs / "speed.md").write_text(page(results, WORDS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(read(RESULTS), DOCS)
