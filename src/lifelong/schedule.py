"""Which tasks are evaluated after how many learned ones, and what can be said of a matrix of which not all was measured."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lifelong.matrix import Values, as_values

Schedule = Literal["all", "seen", "last", "log"]


def scheduled(schedule: Schedule, most: int | None, learned: int, total: int) -> list[int]:
    """Positions of the tasks to evaluate for row `learned` of R.

    Args:
        schedule: "all": every task of the stream in every row. "seen": the tasks learned so far; row 0 is empty. "last": the task just
            learned, and after the last one all. "log": the tasks learned so far after 1, 2, 4, 8, ... tasks and after the last one, and
            else the one just learned.
        most: at most so many tasks a row, >= 1: the first, the newest, and evenly spread ones between them. None: no limit.
        learned: how many tasks were learned, from 0 to `total`.
        total: how many tasks the stream has.

    >>> [scheduled("log", None, learned, 5) for learned in range(6)]
    [[], [0], [0, 1], [2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    >>> scheduled("seen", 3, 101, 1000)
    [0, 50, 100]
    """
    whole = schedule in ("all", "seen") or learned == total or (schedule == "log" and learned & (learned - 1) == 0)
    row = range(total) if schedule == "all" else range(learned) if whole else range(learned - 1, learned)
    row = range(0) if learned == 0 and schedule != "all" else row
    if most is None or len(row) <= most:
        return list(row)
    if most == 1:
        return [row[max(learned - 1, 0)]]
    spread = [row[round(i * (len(row) - 1) / (most - 1))] for i in range(most)]
    newest = max(learned - 1, 0)
    nearest = min(spread[1:], key=lambda position: abs(position - newest))  # makes room for the newest, not for the first
    return spread if newest in spread else sorted({newest, *spread} - {nearest})


class Sampled(NamedTuple):
    """A measure of R from the entries that were measured: its value, from how many terms, of how many that it is the mean of."""

    value: float
    measured: int
    of: int


def sampled_summary(values: ArrayLike) -> dict[str, Sampled]:
    """Every measure of `Matrix.summary` as the mean over those of its terms that were measured.

    Where all were, the values are the summary's. Forgetting compares with the best of the earlier rows that were measured, which is a lower
    bound where rows are missing.
    """
    r = as_values(values)
    k = len(r) - 1
    i = np.arange(k)
    own, last = r[i + 1, i], r[k, :k]
    rows = [_mean(r[n, :n]).value for n in range(1, k + 1)]
    entries = np.concatenate([r[n, :n] for n in range(1, k + 1)]) if k else np.empty(0)
    return {
        "accuracy": _mean(last),
        "backward_transfer": _mean((last - own)[: k - 1]) if k > 1 else _mean(np.empty(0)),
        "forward_transfer": _mean(r[i[1:], i[1:]] - r[0, i[1:]]) if k > 1 else _mean(np.empty(0)),
        "forgetting": _forgetting(r),
        "learning_accuracy": _mean(own),
        "average_incremental_accuracy": _mean(np.array(rows))._replace(measured=int((~np.isnan(entries)).sum()), of=entries.size),
    }


def _mean(terms: Values) -> Sampled:
    known = terms[~np.isnan(terms)]
    return Sampled(float(known.mean()) if known.size else float("nan"), known.size, terms.size)


def _forgetting(r: Values) -> Sampled:
    k = len(r) - 1
    if k < 2:
        return _mean(np.empty(0))
    earlier = np.where(np.isnan(r[1:k, : k - 1]), -np.inf, r[1:k, : k - 1]).max(axis=0)
    return _mean(np.where(np.isinf(earlier), np.nan, earlier) - r[k, : k - 1])
