"""R and its numbers: a worked example, loops written from the formulas as an independent truth, and properties of random matrices."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lifelong import matrix as mx
from lifelong.matrix import Matrix, MatrixError, from_json, to_json, with_row, with_tasks

NAN = float("nan")
WORKED = np.array([[0.10, 0.11, 0.09], [0.90, 0.20, 0.12], [0.93, 0.92, 0.30], [0.60, 0.85, 0.95]])
METRICS = [
    mx.accuracy,
    mx.backward_transfer,
    mx.forward_transfer,
    mx.forgetting,
    mx.learning_accuracy,
    mx.average_incremental_accuracy,
]


def near(value: float) -> object:
    return pytest.approx(value, abs=1e-12, nan_ok=True)


@st.composite
def matrices(draw: st.DrawFn, least_tasks: int = 1) -> np.ndarray:
    tasks = draw(st.integers(least_tasks, 6))
    learned = draw(st.integers(min(least_tasks, tasks), tasks))
    return draw(arrays(np.float64, (learned + 1, tasks), elements=st.floats(0, 1)))


def matrix_of(values: np.ndarray) -> Matrix:
    return Matrix(tuple(f"task-{j + 1}" for j in range(values.shape[1])), values)


def test_worked_example() -> None:
    r = Matrix(("a", "b", "c"), WORKED)
    assert r.summary() == {
        "accuracy": near(0.800),
        "backward_transfer": near(-0.185),
        "forward_transfer": near(0.150),
        "forgetting": near(0.200),
        "learning_accuracy": near(2.77 / 3),
        "average_incremental_accuracy": near(0.875),
    }
    assert r.intransigence(0.97) == near(0.02)
    assert mx.min_accuracy(WORKED[1:], [1, 2, 3]) == near(0.725)
    assert mx.worst_case_accuracy(WORKED[1:], [1, 2, 3]) == near(0.800)
    assert mx.average_anytime_accuracy(WORKED[1:], [1, 2, 3]) == near(0.875)


def test_after_two_of_three_tasks_the_metrics_are_about_those_two() -> None:
    r = Matrix(("a", "b", "c"), WORKED[:3])
    assert r.learned == 2
    assert r.accuracy == near((0.93 + 0.92) / 2)
    assert r.backward_transfer == near(0.03)
    assert r.forward_transfer == near(0.20 - 0.11)
    assert r.forgetting == near(-0.03)  # the last row is the best, and it is not in the maximum
    assert r.average_incremental_accuracy == near((0.90 + 0.925) / 2)


def test_one_task_leaves_what_divides_by_t_minus_1_undefined() -> None:
    summary = Matrix(("only",), np.array([[0.1], [0.9]])).summary()
    assert [summary[name] for name in ("accuracy", "learning_accuracy", "average_incremental_accuracy")] == [0.9, 0.9, 0.9]
    assert all(math.isnan(summary[name]) for name in ("backward_transfer", "forward_transfer", "forgetting"))


def test_before_the_first_task_everything_is_undefined() -> None:
    nothing = mx.empty_matrix(["a", "b"])
    assert nothing.learned == 0
    assert all(math.isnan(value) for value in nothing.summary().values())
    assert math.isnan(nothing.intransigence(1.0))


def test_class_scenario_has_no_forward_transfer_but_has_forgetting() -> None:
    r = np.where(np.tri(4, 3, k=-1, dtype=bool), WORKED, NAN)
    assert math.isnan(mx.forward_transfer(r))
    assert mx.forgetting(r) == near(((0.93 - 0.60) + (0.92 - 0.85)) / 2)
    assert mx.backward_transfer(r) == near(-0.185)


def test_forgetting_counts_what_was_known_before_learning_the_task() -> None:
    r = np.array([[0.5, 0.5, 0.5], [0.9, 0.95, 0.5], [0.9, 0.80, 0.5], [0.9, 0.70, 0.9]])
    assert mx.forgetting(r) == near(0.25 / 2)


@pytest.mark.parametrize(
    ("entry", "undefined"),
    [
        ((3, 0), {"accuracy", "backward_transfer", "forgetting", "average_incremental_accuracy"}),
        ((1, 0), {"backward_transfer", "forgetting", "learning_accuracy", "average_incremental_accuracy"}),
        ((2, 0), {"forgetting", "average_incremental_accuracy"}),
        ((1, 1), {"forward_transfer"}),
        ((0, 2), {"forward_transfer"}),
        ((0, 0), set()),
        ((1, 2), set()),
    ],
)
def test_a_missing_entry_makes_exactly_the_metrics_that_need_it_undefined(entry: tuple[int, int], undefined: set[str]) -> None:
    r = WORKED.copy()
    r[entry] = NAN
    assert {name for name, value in matrix_of(r).summary().items() if math.isnan(value)} == undefined


def by_loops(r: np.ndarray) -> dict[str, float]:
    """The formulas with 1-based R(i, j), term by term, on a matrix without NaN."""
    k = len(r) - 1

    def entry(i: int, j: int) -> float:
        return float(r[i][j - 1])

    def average(total: float, count: int) -> float:
        return total / count if count else NAN

    lost = 0.0
    for j in range(1, k):
        best = -math.inf
        for row in range(1, k):
            best = max(best, entry(row, j))
        lost += best - entry(k, j)
    steps = 0.0
    for i in range(1, k + 1):
        steps += sum(entry(i, j) for j in range(1, i + 1)) / i
    return {
        "accuracy": average(sum(entry(k, j) for j in range(1, k + 1)), k),
        "backward_transfer": average(sum(entry(k, j) - entry(j, j) for j in range(1, k)), k - 1),
        "forward_transfer": average(sum(entry(j - 1, j) - entry(0, j) for j in range(2, k + 1)), k - 1),
        "forgetting": average(lost, k - 1),
        "learning_accuracy": average(sum(entry(i, i) for i in range(1, k + 1)), k),
        "average_incremental_accuracy": average(steps, k),
    }


@given(matrices())
def test_equals_the_loops(r: np.ndarray) -> None:
    assert matrix_of(r).summary() == {name: near(value) for name, value in by_loops(r).items()}


@given(matrices(least_tasks=2))
def test_identities_and_bounds(r: np.ndarray) -> None:
    k = len(r) - 1
    s = matrix_of(r).summary()
    assert s["accuracy"] - s["learning_accuracy"] == near(s["backward_transfer"] * (k - 1) / k)
    assert s["forgetting"] >= -s["backward_transfer"] - 1e-12  # R[j, j] is one of the rows of the maximum
    assert all(0 <= s[name] <= 1 for name in ("accuracy", "learning_accuracy", "average_incremental_accuracy"))
    assert all(-1 <= s[name] <= 1 for name in ("backward_transfer", "forward_transfer", "forgetting"))


@given(matrices(least_tasks=2), st.randoms(use_true_random=False))
def test_order_of_what_a_metric_only_averages_does_not_matter(r: np.ndarray, random: object) -> None:
    k = len(r) - 1
    order = list(range(k))
    random.shuffle(order)  # type: ignore[attr-defined]
    columns = r.copy()
    columns[k, :k] = r[k, order]
    assert mx.accuracy(columns) == near(mx.accuracy(r))
    rows = r.copy()
    rows[1:k] = r[1:k][[i for i in order if i < k - 1]]
    assert mx.forgetting(rows) == near(mx.forgetting(r))  # a maximum does not know the order of rows 1..k-1


@given(matrices(least_tasks=2))
def test_identical_rows_transfer_nothing_back_and_forget_nothing(r: np.ndarray) -> None:
    joint = np.vstack([r[:1], np.tile(r[-1], (len(r) - 1, 1))])
    assert mx.backward_transfer(joint) == 0
    assert mx.forgetting(joint) == 0
    assert mx.learning_accuracy(joint) == near(mx.accuracy(joint))


@given(matrices(least_tasks=2))
def test_a_prefix_does_not_see_later_rows(r: np.ndarray) -> None:
    later = r.copy()
    later[-1] = NAN
    for metric in METRICS:
        assert metric(later[:-1]) == near(metric(r[:-1]))


def within_by_loops(a: np.ndarray, during: list[int], window: int) -> dict[str, float]:
    count, k = len(a), during[-1]
    last = {i: max(n for n in range(count) if during[n] == i) for i in range(1, k + 1)}
    worst = [min(a[n][i - 1] for n in range(last[i] + 1, last[k] + 1)) for i in range(1, k)]
    drops, rises = [], []
    for j in range(k):
        inside = [(a[m][j], a[n][j]) for n in range(count) for m in range(max(0, n - window + 1), n + 1)]
        drops.append(max(before - after for before, after in inside))
        rises.append(max(after - before for before, after in inside))
    least = sum(worst) / len(worst) if worst else NAN
    return {
        "min": least,
        "worst": a[-1][k - 1] / k + ((1 - 1 / k) * least if k > 1 else 0),
        "any": sum(sum(a[n][: during[n]]) / during[n] for n in range(count)) / count,
        "drop": sum(drops) / k,
        "rise": sum(rises) / k,
    }


@given(st.data())
@settings(max_examples=60)
def test_evaluations_inside_tasks_equal_the_loops(data: st.DataObject) -> None:
    per_task = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    during = [task + 1 for task, count in enumerate(per_task) for _ in range(count)]
    a = data.draw(arrays(np.float64, (len(during), len(per_task)), elements=st.floats(0, 1)))
    window = data.draw(st.integers(2, 5))
    expected = within_by_loops(a, during, window)
    assert {
        "min": mx.min_accuracy(a, during),
        "worst": mx.worst_case_accuracy(a, during),
        "any": mx.average_anytime_accuracy(a, during),
        "drop": mx.window_forgetting(a, during, window),
        "rise": mx.window_plasticity(a, during, window),
    } == {name: near(value) for name, value in expected.items()}


def test_a_collapse_between_task_ends_shows_in_the_worst_case_only() -> None:
    during = [1, 2, 2, 2]
    a = np.array([[0.9, NAN], [0.1, 0.5], [0.7, 0.8], [0.9, 0.9]])
    assert mx.min_accuracy(a[[0, 3]], [1, 2]) == near(0.9)
    assert mx.min_accuracy(a, during) == near(0.1)
    assert mx.worst_case_accuracy(a, during) == near(0.5)
    assert mx.window_forgetting(a, during, 2) == near(0.4)  # 0.8 on the first task, nothing on the second, not defined at first
    assert mx.window_plasticity(a, during, 2) == near((0.6 + 0.3) / 2)
    assert mx.window_plasticity(a, during, 4) == near((0.8 + 0.4) / 2)
    a[2, 0] = NAN
    assert math.isnan(mx.window_forgetting(a, during, 2))
    assert math.isnan(mx.min_accuracy(a, during))
    a[:, 1] = NAN
    assert math.isnan(mx.window_plasticity(a, during, 2))


def test_recording_in_any_order_gives_the_same_matrix() -> None:
    names = ("a", "b", "c")
    recorded = mx.empty_matrix()
    for row in (3, 0, 2, 1):
        recorded = with_row(with_tasks(recorded, names), row, dict(zip(names, WORKED[row], strict=True)))
    assert recorded == Matrix(names, WORKED)


def test_rows_recorded_in_parts_and_with_new_tasks() -> None:
    r = with_row(mx.empty_matrix(), 0, {"later": 0.1})
    assert (r.tasks, r.learned) == (("later",), 0)
    r = with_row(with_tasks(r, ["first"]), 1, {"first": 0.9})
    r = with_row(r, 1, {"later": 0.2})
    assert r == Matrix(("first", "later"), np.array([[NAN, 0.1], [0.9, 0.2]]))
    assert with_row(r, 1, {"first": 0.8}).values[1].tolist() == [0.8, 0.2]
    assert r.values[1, 0] == 0.9, "with_row must leave the old matrix alone"


def test_a_skipped_row_is_not_measured_rather_than_zero() -> None:
    r = with_row(mx.empty_matrix(["a", "b"]), 2, {"a": 0.5, "b": 0.7})
    assert np.isnan(r.values[:2]).all()
    assert r.accuracy == near(0.6)
    assert math.isnan(r.backward_transfer)


@given(matrices(), st.data())
def test_json_round_trip_is_exact(r: np.ndarray, data: st.DataObject) -> None:
    holes = data.draw(arrays(np.bool_, r.shape))
    matrix = matrix_of(np.where(holes, NAN, r))
    text = json.dumps(to_json(matrix), allow_nan=False)
    assert from_json(**json.loads(text)) == matrix


def test_json_of_a_summary_has_null_for_undefined() -> None:
    summary = mx.numbers_to_json(Matrix(("a",), np.array([[NAN], [0.5]])).summary())
    assert json.loads(json.dumps(summary, allow_nan=False))["backward_transfer"] is None
    assert summary["accuracy"] == 0.5


def test_matrix_does_not_change_with_the_array_it_came_from() -> None:
    source = WORKED.copy()
    r = Matrix(("a", "b", "c"), source)
    source[3, 0] = 0.0
    assert r.values[3, 0] == 0.6
    with pytest.raises(ValueError, match="read-only"):
        r.values[0, 0] = 1.0


def test_equality() -> None:
    r = Matrix(("a", "b", "c"), WORKED)
    assert r == Matrix(("a", "b", "c"), WORKED.copy())
    assert r != Matrix(("a", "b", "d"), WORKED)
    assert r != Matrix(("a", "b", "c"), WORKED[:3])
    assert r != WORKED.tolist()


def test_text() -> None:
    r = np.where(np.tri(4, 3, k=-1, dtype=bool), WORKED, NAN)
    assert str(Matrix(("digits", "letters", "a-very-very-long-name"), r)) == (
        "accuracy in %           digits  letters  a-very-very-lon…\n"
        "untrained\n"
        "after digits              90.0\n"
        "after letters             93.0     92.0\n"
        "after a-very-very-lon…    60.0     85.0              95.0\n"
        "\n"
        "accuracy:            80.0\n"
        "backward transfer:  -18.5\n"
        "forward transfer:       –"
    )


def test_repr_shows_all_entries() -> None:
    assert repr(Matrix(("a",), np.array([[NAN], [0.5]]))) == "Matrix(tasks=('a',), values=[[nan], [0.5]])"


def test_text_of_many_tasks_leaves_out_the_middle() -> None:
    text = str(matrix_of(np.full((101, 100), 0.5)))
    lines = text.splitlines()
    assert max(map(len, lines)) < 140
    assert len(lines) == 1 + 1 + 13 + 4
    assert "task-6" in lines[0] and "…" in lines[0] and "task-95" in lines[0] and "task-50" not in lines[0]
    assert lines[-2].endswith(" 0.0"), "no negative zero"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Matrix(("a", "b"), WORKED), "a matrix of shape (4, 3) has 3 columns, but 2 tasks were named"),
        (lambda: Matrix(("a", "b", "a"), WORKED), "two columns are named 'a'"),
        (
            lambda: mx.accuracy(np.zeros((4, 2))),
            "a matrix of shape (4, 2) has 3 rows after row 0, but only 2 tasks; expected at most shape (3, 2)",
        ),
        (lambda: mx.accuracy(np.zeros(3)), "got shape (3,)"),
        (lambda: mx.accuracy(np.zeros((0, 3))), "got shape (0, 3)"),
        (lambda: mx.accuracy([[0.0], [math.inf]]), "finite numbers, or NaN where undefined; got inf"),
        (lambda: with_row(mx.empty_matrix(["a"]), 2, {"a": 0.5}), "row 2 is out of range: with 1 tasks the rows are 0 (untrained) to 1"),
        (lambda: from_json(["a", "b"], [None, None], [[0.5]]), "each of the 2 tasks; got rows of [1, 2] entries"),
        (lambda: mx.min_accuracy(np.zeros((0, 2)), []), "at least one; got shape (0, 2)"),
        (lambda: mx.min_accuracy(np.zeros((3, 2)), [1, 2]), "for evaluations of shape (3, 2) it needs shape (3,), got (2,)"),
        (lambda: mx.min_accuracy(np.zeros((2, 2)), [2, 1]), "from 1 to at most 2, the number of tasks; got [2, 1]"),
        (lambda: mx.average_anytime_accuracy(np.zeros((1, 2)), [0]), "from 1 to at most 2"),
        (lambda: mx.window_forgetting(np.zeros((1, 2)), [1], 1), "at least 2 evaluations to see a change; got 1"),
    ],
)
def test_bad_input(make: Callable[[], object], text: str) -> None:
    with pytest.raises(MatrixError) as error:
        make()
    assert text in str(error.value)


def test_values_that_nobody_can_change_are_not_copied() -> None:
    own = np.array([[np.nan], [0.5]])
    assert Matrix(("a",), own).values is not own
    own.flags.writeable = False
    assert Matrix(("a",), own).values is own
    wide = np.array([[np.nan, 0.1], [0.5, 0.2]])
    view = wide[:, :1]
    view.flags.writeable = False
    taken = Matrix(("a",), view)
    wide[1, 0] = 0.9
    assert taken.values[1, 0] == 0.5


def test_a_row_without_new_columns_copies_nothing_twice() -> None:
    r = mx.empty_matrix(["a", "b"])
    assert with_tasks(r, ["a"]) is r
    assert with_tasks(r, ["b"]) is not r
