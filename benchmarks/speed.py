"""Writes docs/speed.md and its pictures from what the benchmarks stored; it measures nothing.

    python benchmarks/speed.py

The words are in speed_words.md, where a line `{{name}}` is the place for one of PLACES. What was not measured is said to be so.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pieces
import step
import ways
from passes import CASES, SIZES
from speed_peers import bars, bars_name, differences, drawn_bars, failures, pairs_of, peers_tables
from speed_tables import NOT_MEASURED, Content, Entries, Lines, cell, micro, table, times
from speed_thousand import growth_picture, thousand_tables
from stored import RESULTS

from lifelong.errors import nearest
from lifelong.report.units import count, seconds, size

DOCS, WORDS = Path(__file__).parent.parent / "docs", Path(__file__).with_name("speed_words.md")
BENCHMARKS = ("step", "peers", "thousand", "stream", "ways", "pieces")
BEFORE = "step-before"  # what `step.py` measured before it led to changes

Results = Mapping[str, Content]  # of the benchmarks that were run


def read(folder: Path) -> Results:
    """The files that there are."""
    paths = {name: folder / f"{name}.json" for name in (*BENCHMARKS, BEFORE)}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


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
