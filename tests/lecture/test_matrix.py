"""The lecture's section on the matrix R."""

import math

import numpy as np
import pytest

from lecture.made_results import made, rows, said
from lifelong.lecture.outlined import Group, outlined
from lifelong.lecture.sections.matrix import SECTION, accuracy_formula, backward_formula, forward_formula
from lifelong.matrix import Matrix

# One decimal in percent, as a test set of a thousand gives.
R = Matrix(("a", "b", "c"), np.array([[0.1, 0.12, 0.08], [0.9, 0.3, 0.1], [0.6, 0.88, 0.405], [0.5, 0.702, 0.95]]))


def value(formula: str) -> tuple[float, float]:
    """What the numbers in a formula come to, and what it says they do."""
    left, right = formula.replace("−", "-").split(" = ")
    return eval(left, {"__builtins__": {}}), float(right)  # digits, brackets and + - / only, from the formula under test


def test_formulas_have_the_cells_and_come_to_what_the_matrix_says() -> None:
    assert accuracy_formula(R) == "(50.0 + 70.2 + 95.0) / 3 = 71.73"
    assert backward_formula(R) == "((50.0 − 90.0) + (70.2 − 88.0)) / 2 = −28.90"
    assert forward_formula(R) == "((30.0 − 12.0) + (40.5 − 8.0)) / 2 = +25.25"
    for formula, expected in (
        (accuracy_formula(R), R.accuracy),
        (backward_formula(R), R.backward_transfer),
        (forward_formula(R), R.forward_transfer),
    ):
        computed, stated = value(formula)
        assert computed == pytest.approx(100 * expected)
        assert stated == pytest.approx(computed, abs=0.00501)


def test_cells_of_larger_test_sets_keep_their_second_decimal() -> None:
    assert accuracy_formula(Matrix(("a", "b"), np.array([[0.1, 0.1], [0.9, 0.1], [0.5123, 0.95]]))) == "(51.23 + 95.00) / 2 = 73.11"


def test_the_page_puts_both_learners_numbers_into_the_formulas() -> None:
    matrices = {"finetune": rows(5, 0.912, 0.345, 0.118), "replay": rows(5, 0.876, 0.812, 0.118)}
    shown = said(SECTION, {"lecture-matrix": made("lecture-matrix", matrices)})
    for text in shown.values():
        assert "ACC = (34.5 + 34.5 + 34.5 + 34.5 + 91.2) / 5 = 45.84" in text
        assert "BWT = ((81.2 − 87.6) + (81.2 − 87.6) + (81.2 − 87.6) + (81.2 − 87.6)) / 4 = −6.40" in text
        assert "FWT = ((11.8 − 11.8) + (11.8 − 11.8) + (11.8 − 11.8) + (11.8 − 11.8)) / 4 = +0.00" in text
    assert "未訓練" in shown["zh"]
    assert "500 kept examples" in shown["en"]


def test_outlines_stand_around_their_cells() -> None:
    drawn = outlined("R", [[0.5, math.nan], [0.25, 0.75]], ["0", "1"], ["a", "b"], [Group("low", [(1, 0, 2)], "#123456", dashed=True)])
    assert drawn.count('stroke="#123456"') == 2  # the row's, and the legend's
    assert "0: 50.0, –; 1: 25.0, 75.0; low" in drawn
