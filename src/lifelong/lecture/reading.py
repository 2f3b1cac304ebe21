"""Numbers out of a recipe's results, as sections need them."""

import math
from collections.abc import Sequence

import numpy as np

from lifelong.lecture.section import Json
from lifelong.matrix import Matrix, from_json


def matrix_of(results: Json, method: str) -> Matrix:
    """R of a method, the mean over its seeds.

    Raises:
        KeyError: the results have no such method.
    """
    runs = runs_of(results, method)
    tasks = results["stream"]["tasks"]
    values = [from_json(tasks, run["initial"], run["matrix"]).values for run in runs]
    return Matrix(tuple(tasks), np.mean(values, axis=0))


def runs_of(results: Json, method: str) -> list[Json]:
    """The method's runs, one a seed.

    Raises:
        KeyError: there are none.
    """
    runs = [run for run in results["runs"] if run["method"] == method]
    if not runs:
        raise KeyError(f"no runs of {method!r} in the results of {results['recipe']!r}")
    return runs


def row(results: Json, method: str, after: int) -> list[float]:
    """Accuracy on every task after the first `after` tasks (0: untrained)."""
    return [float(value) for value in matrix_of(results, method).values[after]]


def mean(results: Json, method: str, *path: str) -> float:
    """The mean over seeds of a number of each run, as in mean(results, "ewc", "cost", "kept_bytes"); NaN where one is undefined."""
    found: list[float] = []
    for run in runs_of(results, method):
        value: object = run
        for key in path:
            assert isinstance(value, dict)
            value = value[key]
        found.append(math.nan if value is None else float(value))  # type: ignore[arg-type]
    return float(np.mean(found))


def seeds(results: Json) -> int:
    """How many seeds the results have."""
    return len({run["seed"] for run in results["runs"]})


def so_far(results: Json, method: str) -> Sequence[tuple[float, float]]:
    """(n, accuracy on the first n tasks after learning them) for every n."""
    values = matrix_of(results, method).values
    return [(float(n), float(values[n, :n].mean())) for n in range(1, len(values))]
