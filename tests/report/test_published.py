"""Published numbers beside ours."""

import math

import numpy as np
import pytest

from lifelong.report import ReportError, published_rows
from lifelong.report.published import cells, counts, measure_of, passes
from report import synthetic


def rows_of(*published: dict, accuracies: tuple[float, ...] = (0.7, 0.8)) -> list:
    names = ["a", "b"]
    runs = [synthetic.run("ewc", seed, names) for seed in range(len(accuracies))]
    for run, accuracy in zip(runs, accuracies, strict=True):
        run["summary"]["accuracy"] = accuracy
    defaults = {"method": "ewc", "measure": "accuracy", "source": "a paper"}
    return published_rows(synthetic.results(runs, names, published=[{**defaults, **one} for one in published]))


def test_published_beside_ours():
    names = ["a", "b"]
    runs = [synthetic.run("ewc", seed, names, initial=[0.1, 0.1], matrix=[[0.9, 0.2], [0.5 + seed / 10, 0.7]]) for seed in (0, 1)]
    published = [
        {"method": "ewc", "measure": "R[2,1]", "value": 0.5, "source": "a paper", "tolerance": 0.03},
        {"method": "ewc", "measure": "R[0, 2]", "value": 0.2, "source": "a paper"},
        {"method": "ewc", "measure": "accuracy", "value": 0.8, "source": "a paper"},
        {"method": "ewc", "measure": "R[3,1]", "value": 0.8, "source": "more tasks than were run"},
        {"method": "gem", "measure": "accuracy", "value": 0.8, "source": "a method that was not run"},
    ]
    rows = published_rows(synthetic.results(runs, names, published=published))
    assert [row.label for row in rows] == ["task 1 after task 2", "task 2 untrained", "accuracy", "task 1 after task 3", "accuracy"]
    assert rows[0].ours.mean == pytest.approx(0.55)
    assert rows[0].ours.spread == pytest.approx(np.std([0.5, 0.6], ddof=1))
    assert rows[0].difference == pytest.approx(0.05)
    assert rows[0].tolerance == 0.03
    assert rows[1].ours.mean == pytest.approx(0.1)
    assert rows[1].difference == pytest.approx(-0.1)
    assert math.isnan(rows[1].tolerance)
    assert rows[2].ours.mean == pytest.approx(np.mean([0.6, 0.65]))
    assert all(math.isnan(row.ours.mean) and math.isnan(row.difference) for row in rows[3:])
    assert [row.verdict for row in rows] == ["outside", "", "", "not run", "not run"]
    assert [row.seeds for row in rows] == [2, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("published", "verdict"),
    [
        ({"value": 0.78, "tolerance": 0.03}, "within"),  # in floats, 0.78 - 0.75 is more than 0.03
        ({"value": 0.72, "tolerance": 0.03}, "within"),
        ({"value": 0.781, "tolerance": 0.03}, "outside"),
        ({"value": 0.719, "tolerance": 0.03}, "outside"),
        ({"value": 0.75, "bound": "least"}, "within"),
        ({"value": 0.76, "bound": "least"}, "outside"),
        ({"value": 0.1, "bound": "least"}, "within"),
        ({"value": 0.75, "bound": "most"}, "within"),
        ({"value": 0.74, "bound": "most"}, "outside"),
        ({"value": 0.9, "bound": "most"}, "within"),
        ({"value": 0.9}, ""),
        ({"value": 0.9, "measure": "told.accuracy", "bound": "least"}, "not run"),
    ],
)
def test_verdicts(published: dict, verdict: str):
    (row,) = rows_of(published)
    assert row.verdict == verdict
    assert passes([row]) == (verdict in ("within", ""))


def test_what_a_table_shows():
    rows = rows_of(
        {"value": 0.76, "spread": 0.004, "tolerance": 0.03},
        {"value": 0.76, "bound": "least"},
        {"value": 0.9, "bound": "most"},
        {"value": 0.5, "tolerance": 0.03},
        {"value": 0.5, "measure": "R[9,9]", "tolerance": 0.03},
        {"value": 0.5},
    )
    assert [cells(row) for row in rows] == [
        ["75.0 ± 7.1", "2", "76.0 ± 0.4", "−1.0", "3.0", "within"],
        ["75.0 ± 7.1", "2", "≥ 76.0", "−1.0", "–", "outside"],
        ["75.0 ± 7.1", "2", "≤ 90.0", "−15.0", "–", "within"],
        ["75.0 ± 7.1", "2", "50.0", "+25.0", "3.0", "outside"],
        ["–", "2", "50.0", "–", "3.0", "not run"],
        ["75.0 ± 7.1", "2", "50.0", "+25.0", "–", "–"],
    ]
    assert counts(rows) == "2 within, 2 outside, 1 not run"


def test_a_measure_where_prediction_is_told_the_task():
    names = ["a", "b"]
    runs = [synthetic.run("ewc", 0, names, told=synthetic.told(0.9)), synthetic.run("ewc", 1, names, told=synthetic.told(0.8))]
    published = [
        {"method": "ewc", "measure": f"told.{name}", "value": 0.8, "source": "a paper"} for name in ("accuracy", "R[2,1]", "R[1,1]")
    ]
    rows = published_rows(synthetic.results(runs, names, published=published))
    assert [row.label for row in rows] == [
        "accuracy, told the task",
        "task 1 after task 2, told the task",
        "task 1 after task 1, told the task",
    ]
    assert [row.ours.mean for row in rows] == pytest.approx([0.85, 0.85, 1.0])


def test_unknown_measure():
    with pytest.raises(ReportError, match="unknown published measure 'acuracy'; did you mean 'accuracy'"):
        measure_of("acuracy")
    with pytest.raises(ReportError, match="unknown published measure 'told.acuracy'; did you mean 'accuracy'"):
        measure_of("told.acuracy")
    with pytest.raises(ReportError, match=r"unknown published measure 'R\[1,0\]'"):
        measure_of("R[1,0]")
