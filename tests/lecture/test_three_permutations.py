"""The lecture's section on EWC's first experiment: every task watched while all are learned."""

from xml.etree import ElementTree

import pytest

from lecture.made_results import said
from lifelong.lecture.drawing import Series
from lifelong.lecture.learners import learner_of
from lifelong.lecture.section import Json
from lifelong.lecture.sections.three_permutations import RECIPE, SECTION, curve, ends, watched
from lifelong.lecture.stacked import Panel, stacked

SVG = "{http://www.w3.org/2000/svg}"
ENDS = {"finetune": [0.31, 0.42, 0.93], "l2": [0.84, 0.55, 0.66], "weak-l2": [0.77, 0.78, 0.79], "ewc": [0.88, 0.87, 0.86]}


def measured(ends: dict[str, list[float]]) -> dict[str, Json]:
    return {
        f"three-permutations-{label}": {
            "epochs": 4,
            "seeds": 2,
            "points": [
                {"epoch": 2.0, "accuracy": [0.5, None, None]},
                {"epoch": 4.0, "accuracy": [0.96, None, None]},
                {"epoch": 8.0, "accuracy": [0.6, 0.9, None]},
                {"epoch": 12.0, "accuracy": values},
            ],
        }
        for label, values in ends.items()
    }


def test_the_page_tells_where_every_task_ends() -> None:
    shown = said(SECTION, measured(ENDS))
    for text in shown.values():
        for values in ENDS.values():
            for value in (*values, sum(values) / 3):
                assert f"{100 * value:.0f} %" in text
        assert "96 %" in text  # the first task just after its training
        assert " 4 " in text  # epochs
    assert "task B" in shown["en"]
    assert "任務 B" in shown["zh"]
    assert said(SECTION, measured({**ENDS, "ewc": [0.11, 0.12, 0.13]})) != shown


def test_a_curve_begins_with_its_task() -> None:
    measure = measured(ENDS)["three-permutations-l2"]
    assert curve(measure, 0) == [(2.0, 0.5), (4.0, 0.96), (8.0, 0.6), (12.0, 0.84)]
    assert curve(measure, 1) == [(8.0, 0.9), (12.0, 0.55)]
    assert ends(measure) == [0.84, 0.55, 0.66]


def test_what_is_watched_ends_with_what_an_evaluation_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ("seeds=1", "training.epochs=1", "network.hidden=[8]")
    monkeypatch.setattr("lifelong.lecture.sections.three_permutations.FULL", changes)
    found = watched("ewc", True)
    assert (found["epochs"], found["seeds"]) == (1, 1)
    learner, stream = learner_of(RECIPE, changes, "ewc", 0)
    for task in stream:
        learner.learn(task, evaluate=False)
    assert ends(found) == pytest.approx(learner.evaluate(stream).values[3].tolist())
    places = [point["epoch"] for point in found["points"]]
    assert places == sorted(places)
    assert places[-1] == 3.0
    assert all((point["accuracy"][2] is None) == (point["epoch"] <= 2.0) for point in found["points"])


def test_panels_share_their_axes() -> None:
    panels = [
        Panel("task A", [Series("one", [(0.0, 0.4), (10.0, 1.0)]), Series("two", [(0.0, 0.5), (10.0, 0.6)], baseline=True)]),
        Panel("task B", [Series("one", [(5.0, 0.4), (10.0, 1.0)]), Series("two", [(5.0, 0.5), (10.0, 0.6)], baseline=True)]),
    ]
    drawn = ElementTree.fromstring(stacked("Watched", panels, "epochs", [(0.0, "A begins"), (5.0, "B begins")]))
    words = [element.text for element in drawn.iter(f"{SVG}text")]
    assert [words.count(each) for each in ("task A", "task B", "epochs", "B begins", "one", "two", "100")] == [1, 1, 1, 1, 1, 1, 2]
    paths = [element for element in drawn.iter(f"{SVG}path") if element.get("fill") == "none"]
    assert [path.get("stroke-dasharray") for path in paths] == [None, "6 4"] * 2
    points = [[tuple(map(float, each.split())) for each in path.get("d", "")[1:].split("L")] for path in paths]
    assert points[0][1][0] == points[2][1][0]
    assert points[2][0][0] == pytest.approx((points[0][0][0] + points[0][1][0]) / 2, abs=0.06)  # half way across
    assert points[2][0][1] - points[0][0][1] == pytest.approx(150.0)  # one panel and the gap lower
    assert "task B, two: 5 → 50 %, 10 → 60 %" in (drawn.findtext(f"{SVG}desc") or "")
