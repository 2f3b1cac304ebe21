"""Results as one self-contained HTML page: no scripts, no files or addresses beside it, readable on a phone and on paper."""

import base64
import binascii
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lifelong.report import charts, curves, heat, sizes, units
from lifelong.report.digest import COSTS, MEASURES, WAYS, MethodDigest, ReportError, Results, digest, sampled_in_words
from lifelong.report.frame import Style
from lifelong.report.png import SIGNATURE
from lifelong.report.published import COLUMNS, cells, counts, published_rows

NAMES_LISTED = 24  # more tasks than this are not all named
BASELINE_MEANING = {
    "finetune": "no method at all: what forgetting does if nothing is done",
    "joint": "all tasks' data at once: the upper bound",
    "independent": "one network for each task: no forgetting, no transfer",
    "replay": "plain repetition of kept examples",
}
MEASURE_MEANING = {
    "accuracy": "the mean over all tasks after the last one",
    "backward_transfer": "what learning later tasks did to earlier ones, mean of R[T, j] − R[j, j]; negative is forgetting",
    "forward_transfer": "what earlier tasks did for a task not yet learned, against the untrained network, mean of R[j−1, j] − R[0, j]",
    "forgetting": "the mean over tasks of the best earlier accuracy minus the last one",
    "learning_accuracy": "the mean accuracy on each task just after learning it",
    "average_incremental_accuracy": "the mean over steps of the accuracy on all tasks seen so far, the first step included",
}
COST_LABELS = {
    "train_seconds": ("training", units.seconds),
    "evaluate_seconds": ("evaluation", units.seconds),
    "steps": ("steps", units.count),
    "peak_memory_bytes": ("peak memory", units.size),
    "kept_bytes": ("kept between tasks", units.size),
    "parameters": ("parameters", units.count),
}


@dataclass(frozen=True)
class Drawn:
    """An image that a method made, as PNG in base64, and what it shows."""

    title: str
    whose: str
    png: str


@dataclass(frozen=True)
class Row:
    """A table's row: what it is about, and a text for each column."""

    label: str
    cells: list[str]


def write_page(results: Results, path: Path | str) -> None:
    """Write `results` (the content of results.json) as a page to `path`, whole or not at all."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    beside.write_text(page(results), encoding="utf-8")
    os.replace(beside, path)


def page(results: Results) -> str:
    """The page as a string."""
    import jinja2
    from markupsafe import Markup

    template = resources.files("lifelong.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    methods = digest(results)
    shown = [method for method in methods if method.matrix is not None]
    measures = [(MEASURES[name], MEASURE_MEANING[name]) for name in MEASURES]
    ways = [way for way in WAYS if any(way in method.asked for method in methods)]
    measures[1:1] = [(f"accuracy, {WAYS[way][0]}", WAYS[way][1]) for way in ways]
    rows = published_rows(results)
    used = [charts.method_style(methods.index(method), method.baseline) for method in shown]
    pictures = {kind: [(name, Markup(image)) for name, image in drawn] for kind, drawn in _pictures(shown, used).items()}
    learning = curves.learning_curves(shown, used, results["stream"]["tasks"])
    return environment.from_string(template).render(
        results=results,
        facts=_facts(results, methods),
        tasks=_task_names(results["stream"]["tasks"]),
        methods=methods,
        shown=shown,
        many=len(results["stream"]["tasks"]) > heat.NUMBERED,
        more_than_drawn=len(results["stream"]["tasks"]) > charts.MOST_LINES,
        sampled=sampled_in_words(methods),
        troubles=list(_troubles(methods)),
        measures=measures,
        summary=[Row(_label(method), _summary_cells(method, ways)) for method in methods],
        baselines=[(method.name, BASELINE_MEANING.get(method.name, "")) for method in methods if method.baseline],
        pictures=pictures,
        published=[(row, cells(row)) for row in rows],
        published_columns=COLUMNS,
        verdicts=counts(rows),
        drawn=list(_drawn(methods)),
        curves=[(heading, Markup(image), words) for heading, image, words in learning],
        tables=[(whose, title, Markup(image)) for whose, title, image in heat.tables(methods)],
        cost_labels=[label for label, _ in COST_LABELS.values()],
        costs=[Row(_label(method), [COST_LABELS[cost][1](method.costs[cost].mean) for cost in COSTS]) for method in shown],
        common_settings=_common_settings(methods),
        own_settings=_own_settings(methods),
    )


def _label(method: MethodDigest) -> str:
    return f"{method.name}\u00a0†" if method.baseline else method.name  # never alone on a new line


def _facts(results: Results, methods: Sequence[MethodDigest]) -> list[tuple[str, str]]:
    stream, environment = results["stream"], results["environment"]
    seeds = sorted({run["seed"] for run in results["runs"]})
    software = ", ".join(f"{name} {value}" for name, value in environment.items() if name != "threads")
    threads = f", {environment['threads']} thread{'s' if environment['threads'] != 1 else ''}" if "threads" in environment else ""
    tasks = len(stream["tasks"])
    facts = [
        ("Stream", f"{stream['name']}, {tasks} task{'s' if tasks != 1 else ''}, scenario “{stream['scenario']}”"),
        ("Data", str(stream["data"])),
        ("Methods", ", ".join(method.name for method in methods)),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Environment", software + threads),
    ]
    if results.get("date"):
        facts.append(("Date", str(results["date"])))
    return facts


def _task_names(tasks: Sequence[str]) -> str:
    named = [f"{position} = {name}" for position, name in enumerate(tasks, start=1)]
    return ", ".join(named if len(named) <= NAMES_LISTED else [*named[:3], "…", named[-1]])


def _troubles(methods: Sequence[MethodDigest]) -> Iterator[str]:
    for method in methods:
        for run in method.failed:
            yield f"{method.name}, seed {run['seed']}, failed: {run['error']}"
        for run in method.running:
            yield f"{method.name}, seed {run['seed']}, has not finished yet"


def _summary_cells(method: MethodDigest, ways: Sequence[str]) -> list[str]:
    total = len(method.finished) + len(method.failed) + len(method.running)
    seeds = str(total) if len(method.finished) == total else f"{len(method.finished)} of {total}"
    shown = [units.percent_with_spread(one.mean, one.spread) for one in method.measures.values()]
    shown[1:1] = [units.percent_with_spread(one.mean, one.spread) for one in map(method.accuracy, ways)]
    return [*shown, seeds]


def _drawn(methods: Sequence[MethodDigest]) -> Iterator[Drawn]:
    """The images that runs carry, each checked to be what it says: it goes into the page as it is."""
    for method in methods:
        for run in method.finished:
            for image in run.get("pictures", []):
                try:
                    content = base64.b64decode(image["png"], validate=True)
                except binascii.Error:
                    content = b""
                if not content.startswith(SIGNATURE):
                    raise ReportError(f"{method.name}, seed {run['seed']}: the picture {image['title']!r} is no PNG in base64")
                yield Drawn(image["title"], f"{_label(method)}, seed {run['seed']}", image["png"])


def _pictures(shown: Sequence[MethodDigest], used: Sequence[Style]) -> dict[str, list[tuple[str, str]]]:
    matrices = [(method, method.matrix) for method in shown if method.matrix is not None]
    floor = charts.shared_floor([matrix for _, matrix in matrices])
    tasks = matrices[0][1].tasks if matrices else ()
    bars = [(name, charts.bars(MEASURES[name].capitalize(), shown, name, used)) for name in list(MEASURES)[:3]] if shown else []
    few = len(tasks) <= charts.NAMED_LINES
    return {
        "bars": bars,
        "average": [("", charts.average_lines(shown, used))] if shown else [],
        "average_legend": [(_label(method), charts.line_swatch(*style)) for method, style in zip(shown, used, strict=True)],
        "lines": [(_label(method), charts.task_lines(method.name, matrix, floor)) for method, matrix in matrices],
        "lines_legend": [(name, charts.line_swatch(*charts.task_style(j, len(tasks)))) for j, name in enumerate(tasks)] if few else [],
        "maps": [(_label(method), charts.heat_map(method.name, matrix, floor)) for method, matrix in matrices],
        "key": [("", charts.colour_key(floor))],
        "growth": sizes.growth(shown, used),
    }


def _common_settings(methods: Sequence[MethodDigest]) -> list[tuple[str, str]]:
    told = [method.settings for method in methods if method.settings]
    return [(name, value) for name, value in told[0].items() if _is_common(name, value, told)] if len(told) > 1 else []


def _is_common(name: str, value: str, told: Sequence[Mapping[str, str]]) -> bool:
    return all(settings.get(name) == value for settings in told)


def _own_settings(methods: Sequence[MethodDigest]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    common = dict(_common_settings(methods))
    own = {m.name: [(name, value) for name, value in m.settings.items() if name not in common] for m in methods}
    # methods.ewc.strength is just its strength in the row of ewc.
    return [(_label(m), m.keeps, [(name.removeprefix(f"methods.{m.name}."), value) for name, value in own[m.name]]) for m in methods]
