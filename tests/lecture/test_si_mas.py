"""The lecture's section on SI and MAS, and importances from inputs without labels."""

from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from scipy import stats

from lecture.made_results import made, rows, said
from lifelong.lecture.counted import counted
from lifelong.lecture.section import Json
from lifelong.lecture.sections.si_mas import CELLS, RECIPE, SECTION, UNLABELLED, alike, parted, ranks, unlabelled
from lifelong.streams import permuted_mnist

ENDS = {"finetune": 0.31, "ewc": 0.82, "si": 0.73, "mas": 0.64}
SOURCES = {"none": 0.29, "own": 0.87, "unlabelled": 0.85, "noise": 0.56}


def measured(ends: dict[str, float], noise: float = 0.234) -> dict[str, Json]:
    counts = [[i * j for j in range(CELLS)] for i in range(CELLS)]
    without = {
        "accuracy": SOURCES,
        "seeds": 2,
        "alike": {
            "unlabelled": {"correlation": 0.987, "ranks": 0.876, "counts": counts},
            "noise": {"correlation": 0.345, "ranks": noise, "counts": counts},
        },
        "reach": [-3, 2],
        "weights": 12345,
        "labelled": 6789,
        "met": 2263,
    }
    return {RECIPE: made(RECIPE, {label: rows(5, end, end) for label, end in ends.items()}), UNLABELLED: without}


def test_the_page_tells_accuracies_and_how_alike_importances_are() -> None:
    shown = said(SECTION, measured(ENDS))
    for text in shown.values():
        for end in (*ENDS.values(), *SOURCES.values()):
            assert f"{100 * end:.0f} %" in text
        for words in ("0.987", "0.876", "0.345", "0.234", "12,345", "6,789", "2,263", "1.0 kB"):
            assert words in text, words
    assert "隨機像素" in shown["zh"]
    assert said(SECTION, measured({**ENDS, "si": 0.11})) != shown


def test_noise_is_called_wider_only_where_it_is() -> None:
    assert "how much wider" in said(SECTION, measured(ENDS))["en"]
    assert "how much wider" not in said(SECTION, measured(ENDS, noise=0.95))["en"]


def test_ranks_are_those_of_spearman() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 9, 60).astype(float), generator.integers(0, 9, 60).astype(float)
    assert ranks(one).tolist() == stats.rankdata(one).tolist()
    found = alike(1 + one, 1 + one + other, (-1, 2))
    assert found["correlation"] == pytest.approx(stats.pearsonr(one, one + other).statistic)
    assert found["ranks"] == pytest.approx(stats.spearmanr(one, one + other).statistic)


def test_weights_without_any_importance_say_nothing_about_alikeness() -> None:
    one, other = np.array([1.0, 2.0, 4.0, 0.5]), np.array([2.0, 1.0, 4.0, 0.5])
    zeros = np.zeros(1000)
    assert alike(np.r_[one, zeros], np.r_[other, zeros], (-1, 1)) == alike(one, other, (-1, 1))
    counts = np.array(alike(np.r_[one, 9.0], np.r_[other, 0.0], (-1, 1))["counts"])
    assert counts.sum() == 4  # 0 has no logarithm
    assert counts[round((np.log10(4.0) + 1) / 2 * CELLS - 0.5)].sum() == 1


def test_a_task_is_parted_into_what_is_learned_and_what_is_only_met() -> None:
    (task,) = permuted_mnist(1, examples=200)
    known, met = parted(task)
    assert (len(known.train), len(met)) == (150, 50)
    assert known.train.y.tolist() == task.train.y[:150].tolist()
    assert torch.equal(known.train.take(torch.arange(150)), task.train.take(torch.arange(150)))
    assert torch.equal(met, task.train.take(torch.arange(150, 200)))
    assert known.test is not None
    assert task.test is not None
    assert torch.equal(known.test.y, task.test.y)


def test_other_digits_give_importances_like_the_tasks_own_and_noise_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ("seeds=1", "stream.tasks=2", "stream.examples=800", "network.hidden=[20]")
    monkeypatch.setattr("lifelong.lecture.sections.si_mas.FULL", changes)
    found = unlabelled(True)
    assert (found["labelled"], found["met"], found["seeds"]) == (600, 200, 1)
    assert found["weights"] == 785 * 20 + 21 * 10
    assert found["alike"]["unlabelled"]["correlation"] > 0.9
    assert found["alike"]["noise"]["correlation"] < found["alike"]["unlabelled"]["correlation"]


def test_cells_are_where_the_numbers_are() -> None:
    drawn = ElementTree.fromstring(counted("Both", "Three of them.", [[0, 2], [0, 1]], (-1, 1), axes=("this", "that")))
    first, second = drawn.iter("{http://www.w3.org/2000/svg}rect")
    assert float(first.get("x", "0")) == float(second.get("x", "0")) > 100  # the larger number across
    assert float(first.get("y", "0")) > float(second.get("y", "0"))  # up: the smaller one first, which is lower
    assert first.get("fill") != second.get("fill")
    words = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"10⁻¹", "10⁰", "10¹", "this", "that"} == words
