"""From runs (one method, one seed each) to numbers for each method: the mean over seeds and their spread."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifelong.matrix import Matrix, Values, from_json

SCHEMA = 1
BASELINES = ("finetune", "joint", "independent", "replay")
MEASURES = {
    "accuracy": "accuracy",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "forgetting": "forgetting",
    "learning_accuracy": "learning accuracy",
    "average_incremental_accuracy": "average incremental accuracy",
}
# How prediction can be asked beside the scenario's own way, by the run's key: its name, and what it means.
WAYS = {
    "told": ("told the task", "the same where prediction is told the task, so that only its own classes compete"),
    "routed": ("not told the task", "the same where prediction is not told the task, and the method's gate chooses it"),
}
COSTS = ("train_seconds", "evaluate_seconds", "steps", "peak_memory_bytes", "kept_bytes", "parameters")
Results = Mapping[str, Any]
Run = Mapping[str, Any]


class ReportError(ValueError):
    """Results that can't be shown."""


@dataclass(frozen=True)
class Estimate:
    """One number of a method, from several seeds.

    Attributes:
        mean: NaN if it is undefined for any seed, or there is none.
        spread: the sample standard deviation over seeds (divided by n-1); NaN below two seeds.
        points: each seed's value.
    """

    mean: float
    spread: float
    points: tuple[float, ...]


@dataclass(frozen=True)
class MethodDigest:
    """What a report says about one method.

    Attributes:
        name: the method's name.
        baseline: whether it is there to be compared with.
        finished, failed, running: its runs, in the order of their seeds.
        matrix: R, the mean over finished seeds; None if none has finished.
        measures: for each name in MEASURES an estimate.
        asked: for each of WAYS that a run was evaluated in, and each name in MEASURES, an estimate.
        sampled: for each name in MEASURES how many terms were measured, of how many that it is the mean of; {} where all were.
        costs: for each name in COSTS an estimate.
        keeps: what the method keeps from earlier tasks; "" if not told.
        settings: flat names ("optimizer.lr") and values.
    """

    name: str
    baseline: bool
    finished: tuple[Run, ...]
    failed: tuple[Run, ...]
    running: tuple[Run, ...]
    matrix: Matrix | None
    seed_values: tuple[Values, ...]
    measures: Mapping[str, Estimate]
    asked: Mapping[str, Mapping[str, Estimate]]
    sampled: Mapping[str, tuple[int, int]]
    costs: Mapping[str, Estimate]
    keeps: str
    settings: Mapping[str, str]

    def accuracy(self, way: str) -> Estimate:
        """Where prediction was asked in one of WAYS; undefined where it was not."""
        return self.asked[way]["accuracy"] if way in self.asked else estimate([])

    def average_so_far(self) -> list[Estimate]:
        """The accuracy on all tasks seen so far, after 1, 2, ... tasks."""
        learned = len(self.seed_values[0]) - 1 if self.seed_values else 0
        return [estimate([float(values[i, :i].mean()) for values in self.seed_values]) for i in range(1, learned + 1)]


def estimate(points: Iterable[float]) -> Estimate:
    """Mean and spread of one value for each seed."""
    values = tuple(points)
    return Estimate(
        mean=float(np.mean(values)) if values else float("nan"),
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
        points=values,
    )


def check_results(results: Results) -> None:
    """Raise ReportError unless `results` has the schema that this version reads."""
    if results.get("schema") != SCHEMA:
        raise ReportError(f"these results have schema {results.get('schema')!r}; this version of lifelong reads schema {SCHEMA}")


def digest(results: Results) -> list[MethodDigest]:
    """One digest a method, in the order in which the methods first appear among the runs."""
    check_results(results)
    by_method: dict[str, list[Run]] = {}
    for run in results["runs"]:
        by_method.setdefault(run["method"], []).append(run)
    baselines = results.get("baselines", BASELINES)
    tasks = results["stream"]["tasks"]
    return [_digest_method(name, sorted(runs, key=lambda run: run["seed"]), tasks, name in baselines) for name, runs in by_method.items()]


def _digest_method(name: str, runs: Sequence[Run], tasks: Sequence[str], baseline: bool) -> MethodDigest:
    finished = tuple(run for run in runs if run["status"] == "finished")
    matrices = [from_json(tasks, run["initial"], run["matrix"]) for run in finished]
    shapes = {matrix.values.shape for matrix in matrices}
    if len(shapes) > 1:
        found = ", ".join(map(str, sorted(shapes)))
        raise ReportError(f"the matrices of {name}'s seeds have different shapes: {found}; run them anew with --fresh")
    asked = {way: [run[way]["summary"] if way in run else {} for run in finished] for way in WAYS}
    return MethodDigest(
        name=name,
        baseline=baseline,
        finished=finished,
        failed=tuple(run for run in runs if run["status"] == "failed"),
        running=tuple(run for run in runs if run["status"] == "running"),
        matrix=Matrix(tuple(tasks), np.mean([matrix.values for matrix in matrices], axis=0)) if matrices else None,
        seed_values=tuple(matrix.values for matrix in matrices),
        measures=_measured([_summary_of(run) for run in finished]),
        asked={way: _measured(summaries) for way, summaries in asked.items() if any(summaries)},
        sampled={name: (each["measured"], each["of"]) for name, each in finished[0].get("sampled", {}).items()} if finished else {},
        costs={cost: _over_seeds([run["cost"] for run in finished], cost) for cost in COSTS},
        keeps=next((run["keeps"] for run in runs if run.get("keeps")), ""),
        settings=_settings([run["config"] for run in runs if "config" in run]),
    )


def _summary_of(run: Run) -> dict[str, float | None]:
    """A run's measures; where not all of the matrix was measured, from what was."""
    return {**run["summary"], **{name: each["value"] for name, each in run.get("sampled", {}).items()}}


def sampled_in_words(methods: Sequence[MethodDigest]) -> str:
    """From how much of the matrix measures were computed; "" where all of it was measured."""
    told = next((method.sampled for method in methods if method.sampled), {})
    parts = [f"{MEASURES[name]} {measured} of {of}" for name, (measured, of) in told.items() if of]
    return f"Not all of the matrix was measured; each number is the mean over the terms that were: {', '.join(parts)}." if parts else ""


def _measured(summaries: Sequence[Mapping[str, float | None]]) -> dict[str, Estimate]:
    return {measure: _over_seeds(summaries, measure) for measure in MEASURES}


def _over_seeds(numbers: Sequence[Mapping[str, float | None]], key: str) -> Estimate:
    values = [one.get(key) for one in numbers]
    return estimate([float("nan") if value is None else float(value) for value in values])


def _settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Flat settings; one that differs from seed to seed shows all its values."""
    flat = [dict(_flatten(config)) for config in configs]
    names = dict.fromkeys(name for one in flat for name in one)
    return {name: ", ".join(dict.fromkeys(one[name] for one in flat if name in one)) for name in names}


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif prefix or key != "seed":  # a run's own seed is no setting of the method
            yield f"{prefix}{key}", _value_text(value)


def _value_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value_text, value)) + "]"
    return str(value)
