"""Learning curves: means over seeds, which tasks are shown, and when the goal is reached."""

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from lifelong.report.charts import method_style
from lifelong.report.curves import curve_of, learning_curves
from lifelong.report.digest import MethodDigest, digest
from report import synthetic


def digests(curves: dict[str, list[Any]], tasks: int = 1) -> list[MethodDigest]:
    """Methods with one curve a seed, the same for every task."""
    names = synthetic.task_names(tasks)
    runs = [
        synthetic.run(method, seed, names, **({} if curve is None else {"curves": dict.fromkeys(names, curve)}))
        for method, seeds in curves.items()
        for seed, curve in enumerate(seeds)
    ]
    return digest(synthetic.results(runs, names))


def shown(methods: list[MethodDigest], tasks: list[str]) -> list[tuple[str, str, str]]:
    return learning_curves(methods, [method_style(i, method.baseline) for i, method in enumerate(methods)], tasks)


def test_a_curve_is_the_mean_over_seeds_at_the_steps_that_all_have():
    (ewc,) = digests({"ewc": [[[10, 0.2], [20, 0.6], [30, 0.8]], [[10, 0.4], [20, 0.8], [40, 0.9]]]})
    curve = curve_of(ewc, 1)
    assert [step for step, _ in curve] == [10, 20]
    assert [one.mean for _, one in curve] == pytest.approx([0.3, 0.7])


def test_no_curve_where_a_seed_has_none():
    old, new = None, [[10, 0.5]]
    methods = digests({"ewc": [new, old], "l2": [old, old], "si": [[], []], "mas": [new, new]})
    assert [bool(curve_of(method, 1)) for method in methods] == [False, False, False, True]
    assert curve_of(methods[3], 2) == []


def test_an_undefined_accuracy_stays_undefined():
    (ewc,) = digests({"ewc": [[[10, None], [20, 0.5]], [[10, 0.5], [20, 0.5]]]})
    assert [math.isnan(one.mean) for _, one in curve_of(ewc, 1)] == [True, False]


@pytest.mark.parametrize(
    ("tasks", "headings"),
    [
        (1, ["Task 1, permutation-1"]),
        (4, ["Task 4, permutation-4"]),
        (5, ["Task 5, permutation-5"]),
        (6, ["Task 5, permutation-5", "Task 6, permutation-6"]),
        (20, ["Task 5, permutation-5", "Task 20, permutation-20"]),
    ],
)
def test_the_fifth_and_the_last_task_are_shown(tasks: int, headings: list[str]):
    methods = digests({"ewc": [[[10, 0.5]]]}, tasks)
    assert [heading for heading, _, _ in shown(methods, synthetic.task_names(tasks))] == headings


def test_tasks_without_names_are_not_named_twice():
    assert [heading for heading, _, _ in shown(digests({"ewc": [[[10, 0.5]]]}), ["task 1"])] == ["Task 1"]


def test_the_tasks_own_curve_is_drawn():
    names = synthetic.task_names(6)
    curves = {name: [[10, 0.1 * (position + 1)], [20, 0.9]] for position, name in enumerate(names)}
    methods = digest(synthetic.results([synthetic.run("ewc", 0, names, curves=curves)], names))
    assert [curve_of(methods[0], task)[0][1].mean for task in (1, 5, 6)] == pytest.approx([0.1, 0.5, 0.6])


def test_the_first_step_at_the_goal_is_told_in_words():
    """Of the mean: 0.85 and 0.95 reach 0.9 together, and one seed alone does not."""
    methods = digests(
        {
            "ewc": [[[10, 0.8], [20, 0.85], [30, 0.99]], [[10, 0.95], [20, 0.95], [30, 0.99]]],
            "l2": [[[10, 0.1], [1200, 0.91], [1300, 0.5]]],
            "si": [[[10, 0.899]]],
            "mas": [None],
        }
    )
    ((_, picture, words),) = shown(methods, ["a"])
    assert words == "First step measured with a mean of at least 90\u00a0%: ewc 20, l2 1,200, si not reached."
    image = ElementTree.fromstring(picture)
    assert image.findtext("{*}title") == "Learning curves of Task 1, a"
    assert image.findtext("{*}desc") == (
        "In percent, ewc ends at 99.0 after 30 steps; l2 ends at 50.0 after 1,300 steps; si ends at 89.9 after 10 steps."
    )
    assert len(list(image.iterfind("{*}path"))) == 3, "a line a method"


def test_nothing_where_no_run_has_curves():
    methods = digests({"ewc": [None]}, 6)
    assert shown(methods, synthetic.task_names(6)) == []
    assert shown([], ["a"]) == []
    assert shown(digest(synthetic.several(tasks=6)), synthetic.task_names(6)) == []


def test_points_are_where_they_belong():
    """The axes' own numbers say where 0.5 at step 20 is."""
    ((_, picture, _),) = shown(digests({"ewc": [[[20, 0.5], [40, 1.0]]]}), ["a"])
    image = ElementTree.fromstring(picture)
    at = {text.text: (float(text.get("x", 0)), float(text.get("y", 0))) for text in image.iterfind("{*}text")}
    first, last = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in image.iterfind("{*}circle")]
    assert first == pytest.approx((at["20"][0], at["50"][1] - 4), abs=0.1)
    assert last == pytest.approx((at["40"][0], at["100"][1] - 4), abs=0.1)
