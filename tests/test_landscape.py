"""Landscapes as plain numbers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lifelong.landscape import Landscape, Surface, Sweep, Trajectory

SURFACES = (
    Surface("first", ((0.1, 0.2, 0.3), (0.4, 0.5, 1 / 3)), low=0.25, best=0.1),
    Surface("second", ((3.0, 2.0, 1.0), (3.0, 2.0, 0.5)), low=0.6, best=0.5),
)
SGD = Trajectory("SGD", ((0.0, 0.0), (2.0, 1.0)), (0.4, 0.5), held=0.75, off=0.125)
EWC = Trajectory("EWC", ((0.0, 0.0),), (0.25, 0.6))
SWEEP = Sweep("L2", (0.1, 1.0, 10.0), ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0)), ((0.3, 0.5), (0.2, 0.6), (0.1, 0.7)))
WHOLE = Landscape((0.0, 1.0, 2.0), (0.0, 1.0), SURFACES, (SGD, EWC), replace(EWC, name="first"), (SWEEP,))


def test_it_goes_through_json():
    text = json.dumps(WHOLE.plain(), allow_nan=False)
    read = Landscape.read(json.loads(text))
    rounded = replace(SURFACES[0], values=((0.1, 0.2, 0.3), (0.4, 0.5, 0.333333)))
    assert read == replace(WHOLE, surfaces=(rounded, SURFACES[1]))
    assert Landscape.read(read.plain()) == read


def test_one_without_paths_goes_through_json():
    bare = Landscape((0.0, 1.0, 2.0), (0.0, 1.0), SURFACES)
    assert bare.every == ()
    assert Landscape.read(json.loads(json.dumps(bare.plain()))).plain() == bare.plain()


def test_what_ends_in_which_low_error_region():
    assert WHOLE.inside(SGD) == (False, True)
    assert WHOLE.inside(EWC) == (True, True), "a loss as high as the limit is low"
    assert WHOLE.reaching(SWEEP) == (1.0,)
    assert SGD.end == (2.0, 1.0)
    assert [each.name for each in WHOLE.every] == ["first", "SGD", "EWC"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"across": (0.0,)}, r"the axis across has the places \[0.0\]...; expected two or more that increase"),
        ({"up": (1.0, 1.0)}, r"the axis up has the places \[1.0, 1.0\]...; expected two or more that increase"),
        (
            {"up": (0.0, 1.0, 2.0)},
            r"the surface of 'first' has 2 rows of \[3\] values; expected 3 rows of 3, one for each place of the grid",
        ),
        ({"across": (0.0, 1.0)}, r"the surface of 'first' has 2 rows of \[3\] values; expected 2 rows of 2"),
        (
            {"trajectories": (replace(SGD, points=()),)},
            "the trajectory 'SGD' has 0 points and 2 losses at its end; expected one point or more, and 2 losses, one for each surface",
        ),
        ({"first": replace(SGD, losses=(0.5,))}, "the trajectory 'SGD' has 2 points and 1 losses at its end"),
        (
            {"sweeps": (replace(SWEEP, ends=SWEEP.ends[1:]),)},
            r"the sweep of 'L2' has 3 strengths, 2 ends and losses \[2, 2, 2\]; expected one strength or more, and for each of them "
            "one end and 2 losses, one for each surface",
        ),
        ({"sweeps": (replace(SWEEP, losses=((0.1,), *SWEEP.losses[1:])),)}, r"and losses \[1, 2, 2\]"),
        ({"sweeps": (Sweep("L2", (), (), ()),)}, "has 0 strengths"),
    ],
)
def test_what_does_not_fit_together(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        replace(WHOLE, **changes)
