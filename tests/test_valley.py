"""The network of two parameters: SGD, L2 and EWC do on it what the lecture says."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from lifelong import valley
from lifelong.landscape import Landscape, Sweep, Trajectory
from lifelong.methods import EWC, L2
from lifelong.recorder import Recorder
from lifelong.surface import losses


def loss(task: int, theta: Tensor) -> Tensor:
    """The mean loss by its formula, float64 (N,), at theta (N, 2)."""
    data = valley.tasks()[task].train
    z = theta.double() @ data.x.double().T
    return (softplus(z) - z * data.y).mean(1)


def lowest(task: int) -> tuple[Tensor, float]:
    """The best theta and its loss, by Newton's method."""
    data = valley.tasks()[task].train
    x, theta = data.x.double(), torch.zeros(2, dtype=torch.float64)
    for _ in range(50):
        p = (x @ theta).sigmoid()
        curvature = (x * (p * (1 - p))[:, None]).T @ x / len(x)
        theta = theta - 0.5 * torch.linalg.solve(curvature, ((p - data.y)[:, None] * x).mean(0))
    p = (x @ theta).sigmoid()
    assert float(((p - data.y)[:, None] * x).mean(0).norm()) < 1e-9
    return theta, float(loss(task, theta[None]))


@pytest.fixture(scope="module")
def lecture() -> Landscape:
    return valley.lecture()


@pytest.fixture(scope="module")
def strengths() -> Landscape:
    return valley.strengths()


@pytest.fixture(scope="module")
def sweeps() -> dict[str, Sweep]:
    """Two strengths a decade."""
    chosen = valley.STRENGTHS[::2]
    return {
        "L2": valley.ends("L2", lambda strength: L2(strength=strength), chosen),
        "EWC": valley.ends("EWC", lambda strength: EWC(strength=strength), chosen),
    }


def named(landscape: Landscape, name: str) -> Trajectory:
    return next(each for each in landscape.trajectories if each.name == name)


def test_two_numbers_are_trained_and_nothing_else():
    learner = valley.learned(until=1)
    assert learner.theta.layout.shapes == {"features.weight": (1, 2)}
    assert [parameter.requires_grad for parameter in learner.network.parameters()] == [True, False, False]
    head = learner.heads.layers[0]
    assert head.weight.tolist() == [[-0.5], [0.5]] and head.bias.tolist() == [0.0, 0.0]
    assert Recorder.of(learner).path(0)[0].tolist() == pytest.approx(valley.START)


def test_losses_are_those_of_logistic_regression():
    learner = valley.learned(until=1)
    theta = torch.tensor([[0.0, 0.0], [-1.0, 3.0], [2.5, 0.4], [4.0, -0.5]])
    for place, task in enumerate(valley.tasks()):
        assert losses(learner, task, theta) == pytest.approx(loss(place, theta).tolist(), rel=1e-5)
    assert losses(learner, valley.tasks()[0], theta[:1])[0] == pytest.approx(0.693147, abs=1e-5)


def test_the_surfaces_are_the_losses_of_all_of_theta(lecture: Landscape):
    places = torch.tensor([[a, b] for b in lecture.up for a in lecture.across], dtype=torch.float64)
    for place, surface in enumerate(lecture.surfaces):
        shown = torch.tensor(surface.values, dtype=torch.float64).flatten()
        assert torch.allclose(shown, loss(place, places), rtol=1e-5, atol=0)
        best, value = lowest(place)
        assert surface.best == pytest.approx(value, abs=3e-4), "the grid finds what Newton's method does"
        assert surface.low == pytest.approx(value + valley.MARGIN, abs=3e-4)
        (left, right), (bottom, top) = valley.SHOWN
        assert left < best[0] < right and bottom < best[1] < top
    assert {each.held for each in lecture.every} == {1.0} and max(each.off for each in lecture.every) < 1e-9


def test_importance_is_small_along_the_valley_and_large_across_it():
    data = valley.tasks()[0].train
    theta = Recorder.of(valley.learned(until=1)).path(0)[-1].double()
    p = (data.x.double() @ theta).sigmoid()
    fisher = ((p * (1 - p))[:, None] * data.x.double().square()).mean(0)
    along, across = valley.importance()
    assert (along, across) == pytest.approx(fisher.tolist(), rel=1e-4)
    assert across > 200 * along


def test_the_first_task_is_learned(lecture: Landscape):
    assert lecture.first is not None
    assert lecture.inside(lecture.first) == (True, False)
    assert lecture.first.points[0] == pytest.approx(valley.START)
    assert all(each.points[0] == lecture.first.end for each in lecture.trajectories), "all paths begin at theta^b"


def test_only_ewc_ends_where_both_errors_are_low(lecture: Landscape):
    sgd, l2, ewc = (named(lecture, name) for name in ("SGD", "L2", "EWC"))
    assert lecture.inside(sgd) == (False, True)
    assert lecture.inside(l2) == (False, False)
    assert lecture.inside(ewc) == (True, True)
    assert sgd.losses[0] > ewc.losses[0] + 0.2, "SGD forgets, and not by a hair"
    (along, across), (sgd_along, sgd_across) = ([abs(each.end[i] - each.points[0][i]) for i in (0, 1)] for each in (ewc, sgd))
    assert along > 20 * across and along > sgd_along, "EWC moves along the flat direction only"
    assert sgd_across > 10 * across


def test_strength_forgets_balances_or_stands_still(lecture: Landscape, strengths: Landscape):
    nothing, good, everything = strengths.trajectories
    assert nothing.points == named(lecture, "SGD").points, "b = 0 is fine-tuning, bit for bit"
    assert [strengths.inside(each) for each in (nothing, good, everything)] == [(False, True), (True, True), (True, False)]
    start = everything.points[0]
    assert max(abs(a - start[i]) for each in everything.points for i, a in enumerate(each)) < 1e-5
    assert strengths.first is not None and everything.losses == pytest.approx(strengths.first.losses, abs=1e-6)


@pytest.mark.slow
def test_no_strength_of_l2_does_what_a_wide_range_of_ewc_does(lecture: Landscape, sweeps: dict[str, Sweep]):
    assert lecture.reaching(sweeps["L2"]) == ()
    reached = lecture.reaching(sweeps["EWC"])
    assert max(reached) >= 20 * min(reached)
    assert reached == tuple(s for s in sweeps["EWC"].strengths if min(reached) <= s <= max(reached)), "without a gap"


@pytest.mark.slow
def test_that_does_not_hang_on_where_low_error_ends(sweeps: dict[str, Sweep]):
    best = [lowest(task)[1] for task in (0, 1)]
    worse = {
        name: min(max(each[0] - best[0], each[1] - best[1]) for each in sweep.losses) for name, sweep in sweeps.items()
    }  # how much higher than its lowest the worse of the two losses is, at the strength where that is least
    assert worse["EWC"] < 0.02
    assert worse["L2"] > 4 * worse["EWC"]


@pytest.mark.slow
def test_the_weakest_and_the_strongest_are_sgd_and_standing_still(lecture: Landscape, sweeps: dict[str, Sweep]):
    assert lecture.first is not None
    for name, sweep in sweeps.items():
        assert sweep.ends[0] == pytest.approx(named(lecture, "SGD").end, abs=0.1), name
        assert sweep.ends[-1] == pytest.approx(lecture.first.end, abs=0.2), name


@pytest.mark.slow
def test_all_strengths_as_a_picture(sweeps: dict[str, Sweep]):
    shown = valley.all_strengths()
    assert [sweep.name for sweep in shown.sweeps] == ["L2", "EWC"]
    for sweep in shown.sweeps:
        assert sweep.strengths == valley.STRENGTHS
        assert (sweep.ends[::2], sweep.losses[::2]) == (sweeps[sweep.name].ends, sweeps[sweep.name].losses)
    assert (shown.reaching(shown.sweeps[0]), len(shown.reaching(shown.sweeps[1]))) == ((), 6)
