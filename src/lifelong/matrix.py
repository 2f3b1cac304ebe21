"""R[i, j], the performance on task j after learning tasks 1..i, and every number computed from it.

Row 0 is the untrained network. An entry is NaN where it is undefined (no outputs yet for that task's classes) or was not measured, and a
metric that needs such an entry is NaN itself: undefined, never zero, never skipped. In the functions below T is the number of tasks,
k the number of tasks learned, and `values` has shape (k+1, T), k <= T, so "after the first n tasks" is always `values[: n + 1]`.

Formulas: R, ACC, BWT and FWT are Lopez-Paz & Ranzato 2017, https://arxiv.org/abs/1706.08840, with BWT and FWT divided by T-1 as printed
there; forgetting and intransigence are Chaudhry et al. 2018, https://arxiv.org/abs/1801.10112; min-ACC, WC-ACC, WF and WP are De Lange et
al. 2023, https://arxiv.org/abs/2205.13452.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
SHOWN = 12  # tasks that the plain text table shows before it leaves out the middle
NAME_WIDTH = 16  # characters of a task's name in the plain text table


class MatrixError(ValueError):
    """Entries that can't be a matrix R, or evaluations that don't fit together."""


@dataclass(frozen=True, eq=False, repr=False)
class Matrix:
    """The matrix R of one run, with everything that is computed from it.

    It may be partial: with fewer rows than tasks, `learned` says how many tasks were learned, and every metric is about those.

    Args:
        tasks: the tasks' names; the learned ones first, in the order of learning.
        values: float64, shape (learned + 1, T). Row 0 is the untrained network, NaN undefined or not measured. Copied and made read-only,
            unless it is read-only and no view: a thousand tasks' matrix takes 8 MB.
    """

    tasks: tuple[str, ...]
    values: Values

    def __post_init__(self) -> None:
        values = as_values(self.values)
        if values.flags.writeable or values.base is not None:
            values = values.copy()
            values.flags.writeable = False
        object.__setattr__(self, "tasks", tuple(self.tasks))
        object.__setattr__(self, "values", values)
        if values.shape[1] != len(self.tasks):
            raise MatrixError(
                f"a matrix of shape {values.shape} has {values.shape[1]} columns, but {len(self.tasks)} tasks were named; give one each"
            )
        if len(set(self.tasks)) != len(self.tasks):
            twice = next(name for name in self.tasks if self.tasks.count(name) > 1)
            raise MatrixError(f"two columns are named {twice!r}; every task needs its own name")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Matrix):
            return NotImplemented
        return self.tasks == other.tasks and np.array_equal(self.values, other.values, equal_nan=True)

    __hash__ = None  # type: ignore[assignment]  # equal by its entries, like a list

    def __repr__(self) -> str:
        return f"Matrix(tasks={self.tasks!r}, values={self.values.tolist()!r})"

    def __str__(self) -> str:
        return _text(self)

    @property
    def learned(self) -> int:
        """How many tasks were learned: k, the last row's number."""
        return len(self.values) - 1

    @property
    def accuracy(self) -> float:
        """ACC: see `lifelong.matrix.accuracy`."""
        return accuracy(self.values)

    @property
    def backward_transfer(self) -> float:
        """BWT: see `lifelong.matrix.backward_transfer`."""
        return backward_transfer(self.values)

    @property
    def forward_transfer(self) -> float:
        """FWT: see `lifelong.matrix.forward_transfer`."""
        return forward_transfer(self.values)

    @property
    def forgetting(self) -> float:
        """F_k: see `lifelong.matrix.forgetting`."""
        return forgetting(self.values)

    @property
    def learning_accuracy(self) -> float:
        """LA: see `lifelong.matrix.learning_accuracy`."""
        return learning_accuracy(self.values)

    @property
    def average_incremental_accuracy(self) -> float:
        """Mean over the steps, the first one included: see `lifelong.matrix.average_incremental_accuracy`."""
        return average_incremental_accuracy(self.values)

    def intransigence(self, reference: float) -> float:
        """I_k: see `lifelong.matrix.intransigence`."""
        return intransigence(self.values, reference)

    def summary(self) -> dict[str, float]:
        """The six numbers that every result names; NaN where undefined."""
        return {
            "accuracy": self.accuracy,
            "backward_transfer": self.backward_transfer,
            "forward_transfer": self.forward_transfer,
            "forgetting": self.forgetting,
            "learning_accuracy": self.learning_accuracy,
            "average_incremental_accuracy": self.average_incremental_accuracy,
        }


def as_values(values: ArrayLike) -> Values:
    """`values` as float64 of shape (k+1, T), checked."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) < 1:
        raise MatrixError(f"a matrix needs shape (learned + 1, tasks) with row 0 the untrained network; got shape {array.shape}")
    rows, columns = array.shape
    if rows - 1 > columns:
        raise MatrixError(
            f"a matrix of shape {array.shape} has {rows - 1} rows after row 0, but only {columns} tasks; "
            f"expected at most shape {(columns + 1, columns)}"
        )
    if np.isinf(array).any():
        raise MatrixError(f"a matrix holds finite numbers, or NaN where undefined; got {array[np.isinf(array)][0]}")
    return array


def _mean(entries: Values) -> float:
    return float(np.mean(entries)) if entries.size else float("nan")


def accuracy(values: ArrayLike) -> float:
    """ACC = 1/k sum_{j<=k} R[k, j]: the mean over the learned tasks, now. NaN before the first task."""
    r = as_values(values)
    k = len(r) - 1
    return _mean(r[k, :k])


def backward_transfer(values: ArrayLike) -> float:
    """BWT = 1/(k-1) sum_{j<k} (R[k, j] - R[j, j]): what later tasks did to earlier ones, negative if they hurt. NaN below two tasks."""
    r = as_values(values)
    k = len(r) - 1
    return _mean(r[k, : k - 1] - _own(r)[: k - 1]) if k > 1 else float("nan")


def forward_transfer(values: ArrayLike) -> float:
    """FWT = 1/(k-1) sum_{2<=j<=k} (R[j-1, j] - R[0, j]): what earlier tasks did for tasks not yet learned, against the untrained network.

    NaN below two tasks, and where a network has no outputs for a task before learning it (scenarios "task" and "class").
    """
    r = as_values(values)
    k = len(r) - 1
    j = np.arange(1, k)
    return _mean(r[j, j] - r[0, j])


def forgetting(values: ArrayLike) -> float:
    """F_k = 1/(k-1) sum_{j<k} f_j, f_j = max_{1<=l<k} R[l, j] - R[k, j]: in [-1, 1], not just -BWT; NaN below two tasks.

    The maximum is over rows 1..k-1 as the paper writes it: not over the last row, so it is negative where the last row is the best; and
    rows from before task j was learned count where they are defined. An undefined entry there (l < j) is no accuracy that could be lost and
    is left out; every entry from l = j on must be there, else the result is NaN.
    """
    r = as_values(values)
    k = len(r) - 1
    if k < 2:
        return float("nan")
    earlier = r[1:k, : k - 1]
    before_learning = np.tri(k - 1, k=-1, dtype=bool).T
    best = np.where(before_learning & np.isnan(earlier), -np.inf, earlier).max(axis=0)
    return _mean(best - r[k, : k - 1])


def intransigence(values: ArrayLike, reference: float) -> float:
    """I_k = a* - R[k, k]: what holding on to earlier tasks cost the newest one. NaN before the first task.

    Args:
        reference: a*, the accuracy on task k of the same network trained jointly on tasks 1..k.
    """
    r = as_values(values)
    k = len(r) - 1
    return float(reference - r[k, k - 1]) if k else float("nan")


def learning_accuracy(values: ArrayLike) -> float:
    """LA = 1/k sum_{i<=k} R[i, i]: each task just after learning it. ACC - LA = BWT (k-1)/k."""
    return _mean(_own(as_values(values)))


def average_incremental_accuracy(values: ArrayLike) -> float:
    """The mean over steps i = 1..k of 1/i sum_{j<=i} R[i, j]. It includes the first step; tasks weigh the same whatever their size."""
    r = as_values(values)
    return _mean(np.array([r[i, :i].mean() for i in range(1, len(r))]))


def _own(r: Values) -> Values:
    """R[1, 1] .. R[k, k]."""
    i = np.arange(len(r) - 1)
    return r[i + 1, i]


# Evaluations inside tasks. `evaluations` has shape (N, T): A(E_j, f_n), accuracy on task j at evaluation n. `during` has shape (N,): the
# number (1..T) of the task being learned at that evaluation. All of them depend on how often one evaluates, so a report must state it.


def _checked(evaluations: ArrayLike, during: ArrayLike) -> tuple[Values, NDArray[np.int64]]:
    a, tasks = np.asarray(evaluations, dtype=np.float64), np.asarray(during, dtype=np.int64)
    if a.ndim != 2 or not len(a):
        raise MatrixError(f"evaluations need shape (evaluations, tasks) and at least one; got shape {a.shape}")
    if tasks.shape != (len(a),):
        raise MatrixError(
            f"during names the task of each evaluation: for evaluations of shape {a.shape} it needs shape {(len(a),)}, got {tasks.shape}"
        )
    if tasks[0] < 1 or tasks[-1] > a.shape[1] or (np.diff(tasks) < 0).any():
        raise MatrixError(f"during must count upwards from 1 to at most {a.shape[1]}, the number of tasks; got {tasks.tolist()}")
    return a, tasks


def average_anytime_accuracy(evaluations: ArrayLike, during: ArrayLike) -> float:
    """AAA: the mean over all evaluations of the accuracy on the tasks seen so far, the one being learned included."""
    a, tasks = _checked(evaluations, during)
    return _mean(np.array([row[:k].mean() for row, k in zip(a, tasks, strict=True)]))


def min_accuracy(evaluations: ArrayLike, during: ArrayLike) -> float:
    """min-ACC_k = 1/(k-1) sum_{i<k} min_{t_i < n <= t_k} A(E_i, f_n): each earlier task's worst moment since it was learned.

    t_i is the last evaluation while learning task i. NaN below two tasks.
    """
    a, tasks = _checked(evaluations, during)
    return _mean(np.array([a[tasks > i, i - 1].min() for i in range(1, tasks[-1])]))


def worst_case_accuracy(evaluations: ArrayLike, during: ArrayLike) -> float:
    """WC-ACC_n = 1/k A(E_k, f_n) + (1 - 1/k) min-ACC_k at the last evaluation n; with one task it is that task's accuracy."""
    a, tasks = _checked(evaluations, during)
    k = int(tasks[-1])
    newest = float(a[-1, k - 1])
    return newest if k == 1 else newest / k + (1 - 1 / k) * min_accuracy(a, tasks)


def window_forgetting(evaluations: ArrayLike, during: ArrayLike, window: int) -> float:
    """WF^D: the largest drop inside any `window` = D consecutive evaluations, averaged over the tasks seen so far; 0 if none ever drops.

    Evaluations before a task's first defined one are left out; an undefined one after it makes the result NaN.
    """
    return _largest_change(evaluations, during, window, sign=-1.0)


def window_plasticity(evaluations: ArrayLike, during: ArrayLike, window: int) -> float:
    """WP^D: the largest rise inside any `window` = D consecutive evaluations, averaged over the tasks seen so far; 0 if none ever rises.

    Undefined evaluations count as in `window_forgetting`.
    """
    return _largest_change(evaluations, during, window, sign=1.0)


def _largest_change(evaluations: ArrayLike, during: ArrayLike, window: int, sign: float) -> float:
    a, tasks = _checked(evaluations, during)
    if window < 2:
        raise MatrixError(f"a window needs at least 2 evaluations to see a change; got {window}")
    largest = []
    for column in a[:, : tasks[-1]].T:
        defined = np.flatnonzero(~np.isnan(column))
        series = column[defined[0] :] if len(defined) else column
        changes = [sign * (series[gap:] - series[:-gap]) for gap in range(1, min(window, len(series)))]
        largest.append(np.max(np.concatenate([[0.0 * series.sum()], *changes])))  # 0, or NaN if any entry is
    return _mean(np.array(largest))


def empty_matrix(tasks: Sequence[str] = ()) -> Matrix:
    """A matrix with nothing measured: row 0 only, all NaN."""
    return Matrix(tuple(tasks), np.full((1, len(tasks)), np.nan))


def with_tasks(matrix: Matrix, tasks: Sequence[str]) -> Matrix:
    """The same entries with `tasks` as the first columns, in that order; new ones are NaN, the other columns follow in their old order."""
    names = tuple(dict.fromkeys((*tasks, *matrix.tasks)))
    if names == matrix.tasks:
        return matrix
    values = np.full((len(matrix.values), len(names)), np.nan)
    column = {name: j for j, name in enumerate(names)}
    values[:, [column[name] for name in matrix.tasks]] = matrix.values
    return Matrix(names, values)


def with_row(matrix: Matrix, row: int, entries: Mapping[str, float]) -> Matrix:
    """A matrix with R[row, task] = entries[task]; the other entries stay, rows in between are NaN, unknown tasks become new last columns.

    A learner that has learned `tasks` records an evaluation with `with_row(with_tasks(matrix, tasks), len(tasks), {name: accuracy, ...})`.
    """
    matrix = with_tasks(matrix, (*matrix.tasks, *entries))
    if not 0 <= row <= len(matrix.tasks):
        raise MatrixError(f"row {row} is out of range: with {len(matrix.tasks)} tasks the rows are 0 (untrained) to {len(matrix.tasks)}")
    values = np.full((max(row, matrix.learned) + 1, len(matrix.tasks)), np.nan)
    values[: matrix.learned + 1] = matrix.values
    for j, name in enumerate(matrix.tasks):
        values[row, j] = entries.get(name, values[row, j])
    values.flags.writeable = False
    return Matrix(matrix.tasks, values)


def numbers_to_json(numbers: Any) -> Any:
    """Numbers, or arrays, lists and dicts of them, as JSON has them: NaN becomes None, the rest Python floats."""
    if isinstance(numbers, Mapping):
        return {key: numbers_to_json(value) for key, value in numbers.items()}
    if isinstance(numbers, Sequence) or (isinstance(numbers, np.ndarray) and numbers.ndim):
        return [numbers_to_json(value) for value in numbers]
    return None if np.isnan(numbers) else float(numbers)


def to_json(matrix: Matrix) -> dict[str, Any]:
    """{"tasks", "initial" (row 0), "matrix" (rows 1..k)} with None where undefined; `from_json` reads it back, bit for bit."""
    return {"tasks": list(matrix.tasks), "initial": numbers_to_json(matrix.values[0]), "matrix": numbers_to_json(matrix.values[1:])}


def from_json(tasks: Sequence[str], initial: Sequence[float | None], matrix: Sequence[Sequence[float | None]]) -> Matrix:
    """The matrix written by `to_json`: `from_json(**to_json(matrix)) == matrix`."""
    lengths = {len(row) for row in (initial, *matrix)}
    if lengths != {len(tasks)}:
        raise MatrixError(f"every row needs one entry for each of the {len(tasks)} tasks; got rows of {sorted(lengths)} entries")
    values = np.array([initial, *matrix], dtype=np.float64)  # None becomes NaN
    return Matrix(tuple(tasks), values)


def _text(matrix: Matrix) -> str:
    """R in percent with one decimal, blank where undefined, then ACC, BWT and FWT in percent points ("–": undefined)."""

    def number(value: float, blank: str) -> str:
        return blank if np.isnan(value) else f"{round(100 * value, 1) + 0.0:.1f}"  # + 0.0: no "-0.0"

    def short(name: str) -> str:
        return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…"

    def some(count: int) -> list[int | None]:
        return [*range(count)] if count <= SHOWN else [*range(SHOWN // 2), None, *range(count - SHOWN // 2, count)]

    columns = some(len(matrix.tasks))
    lines = [["accuracy in %", *("…" if j is None else short(matrix.tasks[j]) for j in columns)]]
    rows = [0, *(None if i is None else i + 1 for i in some(matrix.learned))]
    for i in rows:
        label = "…" if i is None else f"after {short(matrix.tasks[i - 1])}" if i else "untrained"
        lines.append([label, *("…" if i is None or j is None else number(matrix.values[i, j], "") for j in columns)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip() for line in lines
    ]
    metrics = {"accuracy": matrix.accuracy, "backward transfer": matrix.backward_transfer, "forward transfer": matrix.forward_transfer}
    return "\n".join([*table, "", *(f"{name + ':':<18} {number(value, '–'):>6}" for name, value in metrics.items())])
