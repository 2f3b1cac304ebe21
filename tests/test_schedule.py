import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifelong.matrix import Matrix
from lifelong.schedule import Sampled, Schedule, sampled_summary, scheduled

SCHEDULES: tuple[Schedule, ...] = ("all", "seen", "last", "log")
# The worked example of the metrics, T = 3.
WORKED = np.array([[0.10, 0.11, 0.09], [0.90, 0.20, 0.12], [0.93, 0.92, 0.30], [0.60, 0.85, 0.95]])


@given(st.sampled_from(SCHEDULES), st.none() | st.integers(1, 12), st.integers(1, 70), st.data())
def test_every_row_has_the_newest_task_and_no_more_than_asked_for(
    schedule: Schedule, most: int | None, total: int, data: st.DataObject
) -> None:
    learned = data.draw(st.integers(0, total))
    row = scheduled(schedule, most, learned, total)
    assert row == sorted(set(row))
    assert all(0 <= position < total for position in row)
    assert most is None or len(row) <= most
    if learned:
        assert learned - 1 in row
    if schedule != "all":
        assert all(position < learned for position in row)
    if most is None and (schedule == "seen" or learned == total):
        assert set(row) >= set(range(learned))
    if most is None and schedule == "all":
        assert row == list(range(total))
    if most is not None and most > 1 and learned and (schedule == "seen" or learned == total):
        assert row[0] == 0


def test_each_schedule_measures_what_it_says() -> None:
    rows = {schedule: [scheduled(schedule, None, learned, 5) for learned in range(6)] for schedule in SCHEDULES}
    everything = [0, 1, 2, 3, 4]
    assert rows["all"] == [everything] * 6
    assert rows["seen"] == [[], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], everything]
    assert rows["last"] == [[], [0], [1], [2], [3], everything]
    assert rows["log"] == [[], [0], [0, 1], [2], [0, 1, 2, 3], everything]


def test_a_limited_row_is_spread_evenly() -> None:
    assert scheduled("all", 5, 0, 1000) == [0, 250, 500, 749, 999]
    assert scheduled("seen", 5, 1000, 1000) == [0, 250, 500, 749, 999]
    assert scheduled("all", 1, 7, 10) == [6]
    assert scheduled("all", 3, 4, 1000) == [0, 3, 999]
    # The cost of a whole stream: with a limit it is linear in the number of tasks.
    assert sum(len(scheduled("log", 20, learned, 1000)) for learned in range(1001)) < 1300


def test_with_everything_measured_the_numbers_are_the_matrix_own() -> None:
    matrix = Matrix(("a", "b", "c"), WORKED)
    sampled = sampled_summary(WORKED)
    assert {name: each.value for name, each in sampled.items()} == pytest.approx(matrix.summary())
    assert {name: (each.measured, each.of) for name, each in sampled.items()} == {
        "accuracy": (3, 3),
        "backward_transfer": (2, 2),
        "forward_transfer": (2, 2),
        "forgetting": (2, 2),
        "learning_accuracy": (3, 3),
        "average_incremental_accuracy": (6, 6),
    }


def test_from_a_part_each_number_is_the_mean_of_what_there_is() -> None:
    values = WORKED.copy()
    values[3, 1] = values[0, 1] = np.nan  # task 2 is not measured in the end, nor untrained
    sampled = sampled_summary(values)
    assert sampled["accuracy"] == Sampled(pytest.approx((0.60 + 0.95) / 2), 2, 3)
    assert sampled["backward_transfer"] == Sampled(pytest.approx(0.60 - 0.90), 1, 2)
    assert sampled["forward_transfer"] == Sampled(pytest.approx(0.30 - 0.09), 1, 2)
    assert sampled["forgetting"] == Sampled(pytest.approx(0.93 - 0.60), 1, 2)
    assert sampled["average_incremental_accuracy"] == Sampled(pytest.approx((0.90 + 0.925 + 0.775) / 3), 5, 6)
    assert math.isnan(Matrix(("a", "b", "c"), values).accuracy)


def test_from_nothing_there_is_no_number() -> None:
    nothing = sampled_summary(np.full((1, 3), np.nan))
    assert all(math.isnan(each.value) and each.measured == 0 for each in nothing.values())
