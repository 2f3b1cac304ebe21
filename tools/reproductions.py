"""Keeps what the recipes gave in docs/results/, and makes docs/reproductions.md from it.

    python tools/reproductions.py store runs/demo --command "lifelong run demo"
    python tools/reproductions.py note demo ewc "strength 10, 100 and 1000: 100 is best"
    python tools/reproductions.py write

docs/results/NAME.json holds one recipe's runs, one line each. Its published numbers are not in there: they are the recipe's own.
docs/results/earlier.md is put at the page's end as it is.
"""

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date as day
from functools import partial
from pathlib import Path
from typing import Any

from cyclopts import App

from lifelong import recipe as recipes
from lifelong.errors import RecipeError, nearest
from lifelong.report import units
from lifelong.report.digest import WAYS, check_results, estimate
from lifelong.report.published import PublishedRow, beside, cells, counts, measure_of
from lifelong.results import difference, in_order, read_json, read_results

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "reproductions.md"
SHARED = ("stream", "outputs", "tasks")  # the settings that all methods of a table have in common
LAST_ROW = 20  # of no more tasks than this, what is known of each in the end is stored
HEAD = """\
# What the recipes gave

`python tools/reproductions.py write` makes this page from the runs in [results/](results/) and the recipes in
[src/lifelong/recipes/](../src/lifelong/recipes/), where the published numbers are. The command under a heading repeats its runs;
with `--check` it exits with 1 when a number is outside.

Numbers are in percent. Ours are means over seeds ± the standard deviation, and so is what the source publishes where it says so. A
number is *within* when it is no further from the published one than the tolerance that the recipe states, which is 3 points, or 2.5 times
the source's standard deviation where that is more, unless the recipe says otherwise; or when it meets a bound (≥, ≤). Seconds are those
of training in one run, on a machine that did other work at the same time. What is outside stays here, with what was tried.
"""
COLUMNS = ("method", "measure", "seeds", "ours", "published", "difference", "tolerance", "verdict", "seconds", "source")

Stored = dict[str, Any]
app = App(name="reproductions", help="What the recipes gave: docs/results/ and docs/reproductions.md.", help_format="plaintext")


@app.command
def store(folder: Path, *, command: str, name: str | None = None, machine: str | None = None, replace: bool = False) -> None:
    """Keep the runs in a folder that `lifelong run` wrote to, in place of earlier runs of the same method and seed.

    Args:
        folder: The folder with results.json.
        command: The command that gave them, without paths of this machine.
        name: Another name than the recipe's, for runs of it with other settings.
        machine: Where they ran; this machine's processor and cores when not given.
        replace: Drop earlier runs with other settings.
    """
    results = read_results(folder)
    check_results(results)
    _check_command(command, results["recipe"])
    path = RESULTS / f"{name or results['recipe']}.json"
    earlier = read_json(path) if path.is_file() else None
    done = [run for run in results["runs"] if run["status"] != "running"]
    if not done:
        raise RecipeError(f"{folder} has no run that has ended; let the command finish first")
    told = {"command": command, "date": day.today().isoformat(), "machine": machine or this_machine(), **results["environment"]}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path.write_text(dumped(merged(earlier, results, done, told, path.stem, replace=replace)), encoding="utf-8")
    left_out = len(results["runs"]) - len(done)
    print(f"{path.name}: {len(done)} runs stored" + (f", {left_out} left out that have not finished" if left_out else ""))


@app.command
def note(name: str, method: str, text: str) -> None:
    """Say of a method of a recipe what was tried; it stays when runs are stored again.

    Args:
        name: The recipe's name, or the one that its runs were stored under.
        method: The method's label in the recipe.
        text: One sentence or two.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        known = [path.stem for path in RESULTS.glob("*.json")]
        raise RecipeError(f"no runs of {name!r} are stored; {nearest(name, known)}")
    stored = read_json(path)
    methods = recipes.load(stored["recipe"]).methods
    if method not in methods:
        raise RecipeError(f"recipe {stored['recipe']!r} has no method {method!r}; {nearest(method, methods)}")
    said = stored["tried"].setdefault(method, [])
    if text not in said:
        said.append(text)
    path.write_text(dumped(stored), encoding="utf-8")


@app.command
def write() -> None:
    """Make docs/reproductions.md anew."""
    PAGE.write_text(page(RESULTS), encoding="utf-8")


def this_machine() -> str:
    """The processor's model and the number of cores, without names of the machine."""
    information = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE) if information.is_file() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{models[0] if models else platform.processor() or platform.machine()}, {cores} cores"


def merged(
    earlier: Stored | None, results: Mapping[str, Any], done: Sequence[Mapping[str, Any]], told: Stored, name: str, *, replace: bool
) -> Stored:
    """What to store: the runs that are `done` with those stored `earlier` whose settings they share."""
    recipe = recipes.load(results["recipe"])
    settings = {run["method"]: run["config"] for run in done}
    kept = _kept(earlier, settings, name, replace=replace) if earlier else {}
    new = {(run["method"], run["seed"]) for run in done}
    runs = [run for run in (earlier or {}).get("runs", []) if run["method"] in kept and (run["method"], run["seed"]) not in new]
    known = [*(earlier or {}).get("commands", []), told]
    runs += [_run(run, recipe, len(known) - 1) for run in done]
    commands = [one for i, one in enumerate(known) if one not in known[:i] and any(known[run["command"]] == one for run in runs)]
    return {
        "recipe": results["recipe"],
        "stream": {**results["stream"], "tasks": len(results["stream"]["tasks"])},
        "commands": commands,
        "settings": {**kept, **settings},
        "tried": earlier["tried"] if earlier else {},
        "runs": in_order([{**run, "command": commands.index(known[run["command"]])} for run in runs], list(recipe.methods)),
    }


def _kept(earlier: Stored, settings: Mapping[str, Any], name: str, *, replace: bool) -> Stored:
    """The settings of the methods whose earlier runs can stand in one table with the new ones."""
    kept: Stored = {}
    for method, was in earlier["settings"].items():
        now = settings.get(method) or next(iter(settings.values()))
        keys = was.keys() | now.keys() if method in settings else SHARED
        differing = difference({key: was.get(key) for key in sorted(keys)}, {key: now.get(key) for key in sorted(keys)})
        if differing is None:
            kept[method] = was
        elif not replace:
            raise RecipeError(
                f"the stored runs of {method} in {name}.json have other settings: {differing}. Drop them with --replace, or store these "
                "under another name with --name"
            )
    return kept


def _run(run: Mapping[str, Any], recipe: recipes.Recipe, command: int) -> Stored:
    """One run with the numbers that are shown or published, rounded to a millionth."""
    entry: Stored = {"method": run["method"], "seed": run["seed"], "status": run["status"], "command": command}
    if run["status"] == "failed":
        return {**entry, "error": run["error"]}
    measures = [*run["summary"], *(number.measure for number in recipe.published if number.method == run["method"])]
    tasks = len(run["initial"])
    if tasks <= LAST_ROW:
        measures += [f"R[{tasks},{j}]" for j in range(1, tasks + 1)]
    for way in WAYS:
        measures += [f"{way}.{name}" for name in run[way]["summary"]] if way in run else []
    found = {_key(measure): measure_of(measure)[1](run) for measure in measures}
    values = {measure: round(value, 6) for measure, value in found.items() if value is not None}
    return {**entry, "seconds": round(run["cost"]["train_seconds"], 2), "values": values}


def _key(measure: str) -> str:
    return measure.replace(" ", "")


def dumped(stored: Stored) -> str:
    """JSON with one line for each run, command and method's settings."""
    lines = []
    for key, value in stored.items():
        if isinstance(value, list):
            inner, ends = [json.dumps(one, ensure_ascii=False) for one in value], "[]"
        elif isinstance(value, dict):
            inner, ends = [f"{json.dumps(name)}: {json.dumps(one, ensure_ascii=False)}" for name, one in value.items()], "{}"
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
            continue
        content = "\n  " + ",\n  ".join(inner) + "\n " if inner else ""
        lines.append(f"{json.dumps(key)}: {ends[0]}{content}{ends[1]}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def _check_command(command: str, recipe: str) -> None:
    words = shlex.split(command)
    if words[:3] != ["lifelong", "run", recipe]:
        raise RecipeError(f"--command {command!r}: these are results of `lifelong run {recipe}`; give the command that made them")
    if "--tasks" in words:
        raise RecipeError(f"--command {command!r}: a part of the stream can't be compared with what is published of all of it")
    if re.search(r"(^|[\s='\"])[/~]", command):
        raise RecipeError(f"--command {command!r}: leave out the paths of this machine")


def page(folder: Path) -> str:
    """docs/reproductions.md, from what is stored in the folder."""
    stored = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    rows = {name: compared(one, name) for name, one in stored.items()}
    parts = [HEAD]
    if stored:
        parts.append("\n".join(f"- [{name}](#{name}): {counts(rows[name]) or 'nothing published'}" for name in stored) + "\n")
    parts += [_section(name, one, rows[name]) for name, one in stored.items()]
    earlier = folder / "earlier.md"
    if earlier.is_file():
        parts.append(earlier.read_text(encoding="utf-8"))
    return "\n".join(parts)


def compared(stored: Stored, name: str) -> list[PublishedRow]:
    """The recipe's published numbers beside the stored ones; under another name than the recipe's, only for methods that were run."""
    recipe = recipes.load(stored["recipe"])
    run = {one["method"] for one in stored["runs"]}
    rows = [
        beside(number.model_dump(exclude_none=True), stored["runs"], partial(_stored_value, _key(number.measure)))
        for number in recipe.published
        if number.method in run or name == stored["recipe"]
    ]
    order = list(recipe.methods)
    return sorted(rows, key=lambda row: order.index(row.method))


def _stored_value(key: str, run: Mapping[str, Any]) -> float | None:
    value: float | None = run["values"].get(key)
    return value


def _section(name: str, stored: Stored, rows: Sequence[PublishedRow]) -> str:
    recipe, stream = recipes.load(stored["recipe"]), stored["stream"]
    about = (
        f"{recipe.description} Stream: {stream['name']}, {stream['tasks']} tasks, scenario “{stream['scenario']}”, data {stream['data']}."
    )
    published = {row.method for row in rows}
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for method in dict.fromkeys([*recipe.methods, *(run["method"] for run in stored["runs"])]):
        own = [run for run in stored["runs"] if run["method"] == method]
        finished = [run for run in own if run["status"] == "finished"]
        seeds = str(len(own)) if len(own) == len(finished) else f"{len(finished)} of {len(own)}"
        seconds = _seconds([run["seconds"] for run in finished])
        for row in rows:
            if row.method == method:
                ours, _, *theirs = cells(row)
                lines.append(_line([method, row.label, seeds, ours, *theirs, seconds, row.source]))
        if finished and method not in published:
            mean = estimate([run["values"].get("accuracy", float("nan")) for run in finished])
            lines.append(
                _line(
                    [method, "accuracy", seeds, units.percent_with_spread(mean.mean, mean.spread), *["–"] * 4, seconds, "nothing published"]
                )
            )
    notes = [f"- {said}" for said in _notes(stored, rows)]
    return "\n\n".join([f"## {name}", about, "\n".join(_commands(stored)), "\n".join(lines), *(["\n".join(notes)] if notes else [])]) + "\n"


def _commands(stored: Stored) -> list[str]:
    """The commands that gave the runs, with whose they are where there are several."""
    lines = []
    for position, one in enumerate(stored["commands"]):
        methods = ", ".join(dict.fromkeys(run["method"] for run in stored["runs"] if run["command"] == position))
        whose = f"{methods}: " if len(stored["commands"]) > 1 else ""
        software = ", ".join(f"{name} {value}" for name, value in one.items() if name in ("lifelong", "torch", "python"))
        lines.append(f"- {whose}`{one['command']}` ({one['date']}; {one['machine']}; {software})")
    return lines


def _notes(stored: Stored, rows: Sequence[PublishedRow]) -> list[str]:
    noted = [f"{row.method}, {row.label}: {row.note}" for row in rows if row.note]
    tried = [f"{method}, tried: {said}" for method, all_said in stored["tried"].items() for said in all_said]
    failed = [f"{run['method']}, seed {run['seed']}, failed: {run['error']}" for run in stored["runs"] if run["status"] == "failed"]
    return [*dict.fromkeys(noted), *tried, *failed]


def _seconds(values: Sequence[float]) -> str:
    mean = estimate(values).mean
    return units.UNDEFINED if not values else f"{mean:.1f}" if mean < 10 else f"{mean:,.0f}"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|").replace("\n", " ") for word in words) + " |"


def main() -> None:
    try:
        app(sys.argv[1:])
    except (ValueError, RuntimeError) as error:
        if not type(error).__module__.startswith("lifelong."):
            raise
        sys.exit(f"reproductions: {error}")


if __name__ == "__main__":
    main()
