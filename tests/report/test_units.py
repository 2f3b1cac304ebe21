"""Numbers at the borders between units; the rest is in the doctests."""

import math

import pytest

from lifelong.report import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (math.nan, "–"),
    ],
)
def test_seconds(value: float, text: str):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (3e12, "3.0 TB"), (math.nan, "–")]
)
def test_size(value: float, text: str):
    assert units.size(value) == text


def test_no_negative_zero():
    assert units.percent(-0.0001) == "0.0"
    assert units.signed_percent(-0.0001) == "0.0"
    assert units.signed_percent(0.0001) == "0.0"
    assert units.count(math.nan) == "–"
