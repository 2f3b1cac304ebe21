"""The lecture's section on joint training: measured costs, and what the formulas make of them."""

import itertools
import math
from xml.etree import ElementTree

import pytest

from lecture.made_results import made, rows, said
from lifelong import recipe as recipes
from lifelong.lecture.projection import Projected, projection
from lifelong.lecture.section import Json
from lifelong.lecture.sections.joint_cost import FULL, RECIPE, SECTION, growth, timed_joint
from lifelong.report import units

TEXT, PATH = ("{http://www.w3.org/2000/svg}" + name for name in ("text", "path"))
ENDS = {"joint": 0.91, "replay": 0.72, "online-ewc": 0.63, "finetune": 0.34}
STEPS = [100 * n for n in range(1, 9)]


def measured(ends: dict[str, float], second: float = 0.01) -> dict[str, Json]:
    """Joint training with a thousand bytes a task and `second` a step; the others take twice a step's time for each of 100 steps."""
    sizes = {
        label: [{"parameters": 5, "kept_bytes": {"joint": 1000 * n, "finetune": 0}.get(label, 777)} for n in range(1, 9)] for label in ends
    }
    results = made(RECIPE, {label: rows(8, end, end) for label, end in ends.items()}, sizes=sizes)
    others = {"steps": [100] * 8, "seconds": [200 * second] * 8}
    return {
        RECIPE: results,
        "joint-cost-joint": {"joint": {"steps": STEPS, "seconds": [second * steps for steps in STEPS]}},
        "joint-cost-others": {label: others for label in ends if label != "joint"},
    }


def test_the_page_tells_accuracies_and_what_task_1000_would_cost() -> None:
    shown = said(SECTION, measured(ENDS))
    for text in shown.values():
        for end in ENDS.values():
            assert f"{100 * end:.0f} %" in text
        # 1,000 bytes a task, 1 s for the first task, 1,000 s for the last, 1 + 2 + ... + 1000 s for all; 2 s a task for the others
        for words in ("1.0 MB", "16 min 40 s", units.seconds(500_500), units.seconds(2000), "777 B", "0 B"):
            assert words in text, words
    assert "第 n 個任務的訓練時間" in shown["zh"]
    assert said(SECTION, measured({**ENDS, "replay": 0.11})) != shown
    assert said(SECTION, measured(ENDS, second=0.03)) != shown


def test_joint_training_costs_n_times_the_first_task() -> None:
    noisy = growth("joint", [50.0, 100.0, 150.0], [10, 20, 30], [1.3, 1.7, 3.0])  # 6 s for 60 steps: a tenth a step, 1 s the first task
    assert [noisy.seconds_at(n) for n in (1, 1000)] == pytest.approx([1.0, 1000.0])
    assert noisy.total_at(1000) == pytest.approx(sum(range(1, 1001)))
    assert noisy.kept_at(1000) == 50_000


def test_other_methods_cost_the_same_in_every_later_task() -> None:
    steady = growth("replay", [7.0, 9.0], [10, 10, 10], [1.0, 3.0, 5.0])
    assert (steady.seconds_at(2), steady.seconds_at(1000), steady.total_at(1000), steady.kept_at(1000)) == (4.0, 4.0, 4000.0, 9.0)


def test_the_steps_of_joint_training_are_those_of_all_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifelong.lecture.sections.joint_cost.FULL", ("stream.tasks=3", "stream.examples=100", "training.epochs=2"))
    found = timed_joint(True)["joint"]
    assert found["steps"] == [2 * math.ceil(100 * n / 32) for n in (1, 2, 3)]
    assert min(found["seconds"]) > 0


def test_the_full_lecture_changes_settings_that_the_recipe_has() -> None:
    recipe = recipes.load(RECIPE, FULL)
    assert recipe.stream.arguments["data"] == "mnist"
    assert recipe.training.epochs == 5


def test_a_projection_goes_from_the_first_task_to_the_last() -> None:
    series = [
        Projected("all", [(1, 10.0), (2, 20.0)], lambda n: 10.0 * n),
        Projected("some", [(1, 30.0), (2, 30.0)], lambda n: 30.0),
        Projected("none", [(1, 0.0), (2, 0.0)], lambda n: 0.0),
    ]
    drawn = ElementTree.fromstring(projection("Kept", series, "task", units.size, last=1000))
    words = [element.text for element in drawn.iter(TEXT)]
    assert {"10 B", "1 kB", "10.0 kB", "30 B", "1,000", "task", "all", "some", "none"} <= set(words)
    lines = [element.get("d", "") for element in drawn.iter(PATH)]
    ends = [[tuple(map(float, point.split())) for point in line[1:].split("L")] for line in lines if line]
    assert len(ends) == 2  # nothing kept has no place on a logarithmic axis
    (start, stop), (flat, level) = ends
    assert start[0] == flat[0] < stop[0] == level[0]
    assert stop[1] < start[1]
    assert flat[1] == level[1]
    assert "all: 1 → 10 B, 2 → 20 B; 1,000 → 10.0 kB" in (drawn.findtext("{http://www.w3.org/2000/svg}desc") or "")


def test_words_at_the_ends_of_lines_that_meet_are_apart() -> None:
    series = [Projected(name, [(1, 10.0)], lambda n: 10.0) for name in ("one", "other", "third")]
    drawn = ElementTree.fromstring(projection("Kept", series, "task", units.size, last=1000))
    heights = sorted(float(element.get("y", "0")) for element in drawn.iter(TEXT) if element.get("font-weight") == "600")
    assert len(heights) == 3
    assert min(after - before for before, after in itertools.pairwise(heights)) >= 14
