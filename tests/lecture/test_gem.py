"""The lecture's section on gradient episodic memory."""

import math
import re

import pytest

from lecture.made_results import made, rows, said
from lifelong.lecture.gem_step import cosine, watched
from lifelong.lecture.plane import Arrow, half_plane
from lifelong.lecture.section import Json
from lifelong.lecture.sections.gem import SECTION, degrees

STEP = {
    "tasks": ["rotation 1 (24°)", "rotation 4 (122°)"],
    "examples": 77,
    "steps": 91,
    "conflicts": 13,
    "number": 42,
    "gg": 4.0,
    "bb": 1.0,
    "gb": -1.0,
    "pp": 3.0,
    "pb": 0.0,  # g is at 120 degrees from b
    "before": 0.512,
    "plain": 0.734,
    "projected": 0.523,
}
ENDS = {"finetune": 0.31, "gem-no-margin": 0.42, "gem": 0.73, "agem": 0.64, "replay": 0.85}


def measured(**changes: object) -> dict[str, Json]:
    return {"lecture-gem": made("lecture-gem", {label: rows(5, 0.9, end) for label, end in ENDS.items()}), "gem-step": {**STEP, **changes}}


def test_the_page_tells_the_step_and_the_results() -> None:
    shown = said(SECTION, measured())
    for text in shown.values():
        for words in ("77", "91", "13", "42", "−1.00", "120°", "87 %", "0.512", "0.734", "0.523", "rotation 4 (122°)"):
            assert words in text, words
        for end in ENDS.values():
            assert f"{100 * (4 * end + 0.9) / 5:.0f} %" in text
            assert f"−{100 * (0.9 - end):.1f}" in text
    assert "nearest to g" in shown["en"]
    assert "離 g 最近" in shown["zh"]


def test_without_a_conflict_it_does_not_say_that_there_was_one() -> None:
    shown = said(SECTION, measured(gb=1.0, pb=1.0, pp=4.0, conflicts=0))
    assert "60°" in shown["en"]
    assert "That is no conflict" in shown["en"]
    assert "takes instead" not in shown["en"]
    assert "這不算衝突" in shown["zh"]


def test_angles_come_from_inner_products() -> None:
    assert degrees(STEP, "g", "b") == pytest.approx(120.0)
    assert degrees(STEP, "p", "b") == pytest.approx(90.0)
    assert cosine(STEP) == pytest.approx(-0.5)


def test_arrows_are_drawn_to_scale() -> None:
    drawn = half_plane("t", [Arrow("a", "one", (3.0, -1.0)), Arrow("b", "two", (0.0, 2.0))], "allowed", [(0, 1, "108°")])
    tips = [tuple(map(float, found.split(","))) for found in re.findall(r'points="([-\d.]+,[-\d.]+) ', drawn)]
    origin = re.search(r'<line x1="([\d.]+)" y1="([\d.]+)" [^>]*stroke-width="3"', drawn)
    assert origin is not None
    (ax, ay), (bx, by) = ((x - float(origin[1]), float(origin[2]) - y) for x, y in tips)
    assert bx == pytest.approx(0.0, abs=0.1)
    assert (ax / by, ay / by) == pytest.approx((1.5, -0.5), abs=0.01)
    assert "a: one, (3.00, -1.00); b: two, (0.00, 2.00); a, b: 108°" in drawn


def test_the_watched_step_is_the_projection_on_the_half_plane() -> None:
    step = watched(full=False)
    assert step["gb"] < 0 < step["conflicts"] <= step["steps"] == 100
    assert 1 <= step["number"] <= step["steps"]
    # p = g - (gb / bb) b, in a plane: orthogonal to b, and by Pythagoras as long as the rest of g
    assert step["pb"] == pytest.approx(0.0, abs=1e-4 * math.sqrt(step["pp"] * step["bb"]))
    assert step["pp"] == pytest.approx(step["gg"] - step["gb"] ** 2 / step["bb"], rel=1e-4)
    assert step["projected"] < step["plain"]
