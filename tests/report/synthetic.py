"""Made-up results in the shape of results.json, for the tests of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lifelong.matrix import from_json, numbers_to_json

KEEPS = {
    "finetune": "nothing",
    "joint": "examples",
    "l2": "statistics",
    "ewc": "statistics",
    "replay": "examples",
    "independent": "a network",
}
STRENGTH = {"finetune": 0.35, "l2": 0.7, "ewc": 0.9, "replay": 0.85, "joint": 1.0, "independent": 1.0}


def matrix_like(method: str, tasks: int, seed: int, scenario: str = "domain") -> np.ndarray:
    """A (tasks+1, tasks) matrix that falls below its diagonal as the method's strength lets it."""
    draw = np.random.default_rng([seed, tasks, len(method)])
    keep = STRENGTH.get(method, 0.6)
    i, j = np.arange(tasks + 1)[:, None], np.arange(1, tasks + 1)[None, :]
    known = 0.2 + 0.77 * keep ** ((i - j).clip(0) / 2)
    values = np.where(i >= j, known, np.where(i == 0, 0.11, 0.12 + 0.02 * i.clip(0, 8)))
    values += draw.normal(0, 0.008, values.shape)
    if scenario != "domain":
        values[i < j] = np.nan
    return values.clip(0, 1)


def run(method: str, seed: int, tasks: Sequence[str], scenario: str = "domain", **changes: Any) -> dict[str, Any]:
    """A finished run."""
    initial, *rows = numbers_to_json(matrix_like(method, len(tasks), seed, scenario))
    initial, rows = changes.pop("initial", initial), changes.pop("matrix", rows)
    return {
        "method": method,
        "seed": seed,
        "status": "finished",
        "keeps": KEEPS.get(method, "nothing"),
        "config": {
            "methods": {"ewc": {"strength": 100.0, "labels": "exact"}} if method == "ewc" else {},
            "training": {"epochs": 2, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
            "seed": seed,
        },
        "initial": initial,
        "matrix": rows,
        "summary": numbers_to_json(from_json(tasks, initial, rows).summary()),
        "cost": {
            "train_seconds": 12.5 + seed,
            "evaluate_seconds": 0.85,
            "steps": 1250 * len(tasks),
            "peak_memory_bytes": 412_000_000,
            "kept_bytes": 0 if method == "finetune" else 716_880,
            "parameters": 89_610,
        },
        **changes,
    }


def growing(tasks: int, parameters: int = 1000, kept: int = 0) -> list[dict[str, int]]:
    """The sizes of a run that grows by the same with every task."""
    return [{"parameters": parameters * i, "kept_bytes": kept * i} for i in range(1, tasks + 1)]


def complete(tasks: int = 5, seeds: int = 2, methods: Sequence[str] = ("finetune", "ewc", "replay"), **changes: Any) -> dict[str, Any]:
    """Several methods and seeds with everything that a run can carry."""
    found = several(tasks, seeds, methods, **changes)
    for position, each in enumerate(found["runs"]):
        each["sizes"] = growing(tasks, 100 * (1 + position), 10 * position)
        each["curves"] = {name: [[20, 0.4], [40, 0.85], [60, 0.9 + 0.01 * each["seed"]]] for name in found["stream"]["tasks"]}
        each["tables"] = [] if each["seed"] else [table()]
    return found


def table(**changes: Any) -> dict[str, Any]:
    """A table with an undefined value."""
    return {
        "title": "likeness",
        "rows": ["first", "second"],
        "columns": ["x", "y", "z"],
        "values": [[0.0, 0.25, 1.0], [0.5, None, 0.126]],
        **changes,
    }


def told(accuracy: float) -> dict[str, Any]:
    """What a run has besides when prediction was told the task: two tasks, both with this accuracy in the end."""
    summary = {"accuracy": accuracy, "backward_transfer": accuracy - 1.0, "forgetting": 1.0 - accuracy}
    return {"matrix": [[1.0, None], [accuracy, accuracy]], "initial": [None, None], "summary": summary}


def failed(method: str, seed: int, error: str) -> dict[str, Any]:
    """A run that broke off."""
    return {"method": method, "seed": seed, "status": "failed", "error": error, "keeps": "statistics", "config": {"seed": seed}}


def results(runs: Sequence[Mapping[str, Any]], tasks: Sequence[str], scenario: str = "domain", **changes: Any) -> dict[str, Any]:
    """Everything around `runs`."""
    return {
        "schema": 1,
        "recipe": "demo",
        "description": "Permuted digits, one after the other.",
        "stream": {"name": "permuted_mnist", "scenario": scenario, "tasks": list(tasks), "data": "embedded mnist (4000)"},
        "environment": {"lifelong": "0.1.0", "torch": "2.13.0", "python": "3.11.2", "threads": 1},
        "baselines": ["finetune", "joint", "independent", "replay"],
        "published": [],
        "runs": list(runs),
        **changes,
    }


def task_names(count: int) -> list[str]:
    """permutation-1, permutation-2, ..."""
    return [f"permutation-{position + 1}" for position in range(count)]


def several(
    tasks: int = 5, seeds: int = 2, methods: Sequence[str] = ("finetune", "l2", "ewc", "replay", "joint"), scenario: str = "domain"
) -> dict[str, Any]:
    """Several methods and seeds on one stream."""
    names = task_names(tasks)
    return results([run(method, seed, names, scenario) for method in methods for seed in range(seeds)], names, scenario)
