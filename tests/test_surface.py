"""Planes of parameter space, and losses on them."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from lifelong.errors import NOTHING_LEARNED, TaskError, ThetaError
from lifelong.learner import Learner
from lifelong.models import MLP
from lifelong.surface import Plane, landscape, losses, plane_through, principal_plane, random_plane, ranges, sweep, trajectory
from toys import FEATURES, blobs, everything, same, sgd


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def planes() -> list[Plane]:
    generator = torch.Generator().manual_seed(1)
    return [plane_through(drawn(3, 50)), random_plane(drawn(50), generator), principal_plane(drawn(20, 50))]


@pytest.mark.parametrize("plane", planes(), ids=["through points", "random", "principal"])
def test_directions_are_orthonormal_and_points_of_the_plane_have_no_residual(plane: Plane):
    directions = torch.stack([plane.across, plane.up])
    assert torch.allclose(directions @ directions.T, torch.eye(2, dtype=torch.float64), atol=1e-12)
    coordinates = drawn(30, 2, seed=2)
    found, residual = plane.project(plane.at(coordinates))
    assert torch.allclose(found, coordinates, atol=1e-12)
    assert float(residual.max()) < 1e-12


def test_directions_of_nearly_parallel_points_are_orthonormal():
    first = drawn(1000)
    plane = plane_through(torch.stack([torch.zeros(1000, dtype=torch.float64), first, first + 1e-6 * drawn(1000, seed=1)]))
    assert abs(float(plane.across @ plane.up)) < 1e-14


def test_the_residual_is_the_distance_from_the_plane():
    plane = plane_through(torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 5.0, 0.0]]))
    coordinates, residual = plane.project(torch.tensor([[4.0, -2.0, 0.75]]))
    assert coordinates.tolist() == [[3.0, -2.0]]
    assert residual.tolist() == [0.75]


def test_three_points_are_where_they_should_be():
    points = drawn(3, 40)
    coordinates, residual = plane_through(points).project(points)
    assert float(residual.max()) < 1e-12
    assert torch.allclose(coordinates[0], torch.zeros(2, dtype=torch.float64))
    assert float(coordinates[1, 0]) == pytest.approx(float((points[1] - points[0]).norm()))
    assert float(coordinates[1, 1]) == pytest.approx(0, abs=1e-12)
    assert float(coordinates[2, 1]) > 0


def test_one_step_on_a_random_plane_is_thetas_own_length():
    theta = 3 * drawn(200)
    plane = random_plane(theta, torch.Generator().manual_seed(0))
    moved = plane.at(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert torch.equal(moved[0], theta)
    assert (moved[1:] - theta).norm(dim=1).tolist() == pytest.approx([float(theta.norm())] * 2)
    other = random_plane(theta, torch.Generator().manual_seed(1))
    assert abs(float(plane.across @ other.across)) < 0.5


def test_the_principal_plane_leaves_the_smallest_residual():
    points = drawn(25, 6) * torch.tensor([5.0, 0.1, 3.0, 0.2, 0.1, 0.3], dtype=torch.float64) + 7
    left = float(principal_plane(points).project(points)[1].square().sum())
    spread = torch.linalg.eigvalsh(torch.cov(points.T, correction=0)) * len(points)
    assert left == pytest.approx(float(spread[:-2].sum()))
    others = [plane_through(points[torch.tensor(chosen)]) for chosen in ([0, 1, 2], [3, 9, 20], [0, 12, 24])]
    assert left < min(float(other.project(points)[1].square().sum()) for other in others)


def test_principal_directions_point_to_the_end():
    points = drawn(25, 6)
    coordinates, _ = principal_plane(points).project(points)
    assert bool((coordinates[-1] >= coordinates[0]).all())


@pytest.mark.parametrize("points", [torch.zeros(2, 5), torch.zeros(4, 5), torch.zeros(5)])
def test_a_plane_goes_through_three_points(points: Tensor):
    with pytest.raises(ValueError, match=r"a plane goes through three points, a tensor \(3, P\); got one of shape"):
        plane_through(points)


@pytest.mark.parametrize(
    "points",
    [
        torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]),
        torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 1.0]]),
        torch.tensor([[1.0, 0.0], [2.0, 1.0], [1.0, 0.0]]),
    ],
    ids=["in a row", "first two alike", "first and last alike"],
)
def test_no_plane_through_points_on_a_line(points: Tensor):
    with pytest.raises(ValueError, match="the points lie on one line, which is in many planes; move one of them, or use random_plane"):
        plane_through(points)


@pytest.mark.parametrize("theta", [torch.zeros(4), torch.ones(1), torch.ones(2, 2)])
def test_no_random_plane_without_a_length(theta: Tensor):
    with pytest.raises(ValueError, match=r"a random plane needs a point with a length, .* Take theta after some training"):
        random_plane(theta, torch.Generator())


def test_no_principal_plane_of_too_little():
    with pytest.raises(ValueError, match=r"principal components need three points or more, a tensor \(N, P\); got one of shape \(2, 5\)"):
        principal_plane(torch.rand(2, 5))
    with pytest.raises(ValueError, match="the points lie on one line, which is in many planes; give points of more than one path"):
        principal_plane(torch.arange(5.0)[:, None] * torch.ones(3))
    with pytest.raises(ValueError, match="one line"):
        principal_plane(torch.arange(5.0)[:, None])


def test_ranges_show_all_points_with_room():
    plane = plane_through(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert ranges(plane, torch.tensor([[0.0, 1.0], [10.0, 3.0]]), room=0.1) == ((-1.0, 11.0), (0.0, 4.0))


class Noisy(nn.Module):
    """A network with everything that an evaluation could change: dropout, batch norm, and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(FEATURES, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        features: Tensor = self.layers(x)
        return features


def taught(model: nn.Module | None = None) -> Learner:
    learner = Learner(model or Noisy(), scenario="domain", optimizer=sgd(), epochs=3)
    learner.learn(blobs(), evaluate=False)
    return learner


def by_hand(learner: Learner, theta: Tensor) -> float:
    """The mean loss of a copy of the network with the parameters set one by one."""
    network = copy.deepcopy(learner.network).eval()
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, view in learner.theta.layout.split(theta.float()).items():
            parameters[name].copy_(view)
        task = blobs()
        return float(-network(task.train.x, 0).log_softmax(1)[torch.arange(len(task.train)), task.train.y].mean())


def test_losses_are_what_the_network_gives_with_these_weights():
    learner = taught()
    points = torch.stack([learner.theta.value, learner.theta.value + 0.3 * drawn(learner.theta.layout.size).float()])
    found = losses(learner, blobs(), points)
    assert found == pytest.approx([by_hand(learner, point) for point in points], rel=1e-6)
    assert found[0] != pytest.approx(found[1], rel=1e-2)


def test_the_learner_is_as_it_was_bit_for_bit():
    learner = taught()
    learner.network.train()
    learner.network.features.layers[3].eval()
    before, modes = everything(learner), [module.training for module in learner.network.modules()]
    random = torch.get_rng_state()
    losses(learner, blobs(seed=1), drawn(4, learner.theta.layout.size))
    assert same(everything(learner), before)
    assert [module.training for module in learner.network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    learner.theta.check()
    assert all(parameter.grad is None for parameter in learner.theta.parameters)


@pytest.mark.parametrize("huge", [1e30, math.nan])
def test_an_infinite_loss_is_an_error_and_the_learner_is_as_it_was(huge: float):
    learner = taught(MLP(FEATURES, [4, 4]))
    before = everything(learner)
    points = torch.stack([learner.theta.value, huge * torch.ones_like(learner.theta.value)])
    with pytest.raises(ValueError, match=r"the loss on task 'first' is (nan|inf) at point 1 of 2; look at a smaller range"):
        losses(learner, blobs(), points)
    assert same(everything(learner), before)


def test_the_learner_is_as_it_was_when_the_network_fails():
    learner = taught()
    before = everything(learner)
    learner.network.features.register_forward_hook(lambda *_: {}["nothing"])
    with pytest.raises(KeyError, match="nothing"):
        losses(learner, blobs(), torch.zeros(1, learner.theta.layout.size))
    assert same(everything(learner), before)


def test_labels_are_rows_of_the_head():
    """A later task may have the classes in another order."""
    learner = taught()
    task, other = blobs(classes=(0, 1, 2)), blobs(classes=(2, 1, 0))
    relabelled = [(2, 1, 0)[label] for label in task.train.y.tolist()]
    assert [(2, 1, 0)[label] for label in other.train.y.tolist()] == relabelled, "blobs give the first class's name to the first blob"
    theta = learner.theta.value[None]
    expected = -learner.logits(other.train.x, None).log_softmax(1)[torch.arange(60), torch.tensor(relabelled)].mean()
    assert losses(learner, other, theta) == pytest.approx([float(expected)], rel=1e-6)


def test_few_examples_are_spread_over_all():
    learner = taught()
    task = blobs(size=60)
    chosen = torch.arange(0, 60, 6)
    log_p = learner.logits(task.train.x[chosen], None).log_softmax(1)
    expected = float(-log_p[torch.arange(10), task.train.y[chosen]].mean())
    assert losses(learner, task, learner.theta.value[None], examples=10) == pytest.approx([expected], rel=1e-6)
    assert losses(learner, task, learner.theta.value[None], examples=1000) == losses(learner, task, learner.theta.value[None])


def test_no_points_have_no_losses():
    learner = taught()
    assert losses(learner, blobs(), torch.empty(0, learner.theta.layout.size)) == []


def test_points_of_another_length():
    learner = taught()
    size = learner.theta.layout.size
    with pytest.raises(ThetaError, match=rf"points are of shape \(2, 7\); expected \(N, {size}\), the length of the learner's theta"):
        losses(learner, blobs(), torch.zeros(2, 7))
    with pytest.raises(ThetaError, match=rf"points are of shape \({size},\)"):
        losses(learner, blobs(), torch.zeros(size))


def test_a_learner_that_has_learned_nothing():
    with pytest.raises(TaskError) as caught:
        losses(Learner(Noisy(), scenario="domain"), blobs(), torch.zeros(1, 3))
    assert str(caught.value) == NOTHING_LEARNED


def test_replaced_parameters_are_noticed():
    learner = taught()
    size = learner.theta.layout.size
    weight = learner.network.features.layers[0].weight
    weight.data = weight.data.clone()
    with pytest.raises(ThetaError, match="no longer shares theta's memory"):
        losses(learner, blobs(), torch.zeros(1, size))


# Trajectories.


def test_how_much_of_a_path_the_plane_holds():
    plane = plane_through(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    inside = torch.tensor([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [3.0, 0.0, 0.0]])
    half = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    away = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    still = torch.tensor([[1.0, 2.0, 0.5], [1.0, 2.0, 0.5]])
    found = {name: trajectory(name, path, plane, [0.5]) for name, path in {"in": inside, "half": half, "out": away, "still": still}.items()}
    assert {name: (each.held, each.off) for name, each in found.items()} == {
        "in": (pytest.approx(1), 0.0),
        "half": (pytest.approx(math.sqrt(0.5)), 1.0),
        "out": (0.0, 2.0),
        "still": (1.0, 0.5),
    }
    assert found["in"].points == ((0.0, 0.0), (3.0, 4.0), (3.0, 0.0))
    assert found["out"].losses == (0.5,)


def test_a_path_is_measured_in_the_planes_unit():
    theta = drawn(10)
    plane = random_plane(theta, torch.Generator().manual_seed(0))
    path = plane.at(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    beside = drawn(10, seed=3)
    beside -= (beside @ plane.across) * plane.across + (beside @ plane.up) * plane.up
    path[1] += 2 * float(theta.norm()) * beside / beside.norm()
    found = trajectory("path", path, plane, [])
    assert found.off == pytest.approx(2)
    assert found.held == pytest.approx(math.sqrt(2) / math.sqrt(2 + 4))


# Landscapes.


def test_a_landscapes_values_are_losses_at_its_places():
    learner = taught()
    before, theta = everything(learner), learner.theta.value.double()
    tasks = [blobs(), blobs("second", seed=1)]
    plane = plane_through(torch.stack([theta, theta + drawn(len(theta)), theta + drawn(len(theta), seed=1)]))
    path = torch.stack([theta, theta + 0.1])
    shown = landscape(learner, tasks, plane, ((-1.0, 3.0), (0.0, 2.0)), {"SGD": path, "L2": path[:1]}, first=path, margin=0.1, steps=5)
    assert shown.across == (-1.0, 0.0, 1.0, 2.0, 3.0) and shown.up == (0.0, 1.0, 2.0)
    for surface, task in zip(shown.surfaces, tasks, strict=True):
        assert surface.task == task.name
        for row, b in zip(surface.values, shown.up, strict=True):
            points = torch.stack([plane.origin + a * plane.across + b * plane.up for a in shown.across])
            assert list(row) == pytest.approx(losses(learner, task, points), rel=1e-6)
        ends = losses(learner, task, path)
        assert surface.best == pytest.approx(min(*map(min, surface.values), *ends))
        assert surface.low == pytest.approx(surface.best + 0.1)
    assert shown.first is not None and (shown.first.name, [each.name for each in shown.trajectories]) == ("first", ["SGD", "L2"])
    assert shown.trajectories[1].losses == pytest.approx([losses(learner, task, path[:1])[0] for task in tasks])
    assert same(everything(learner), before)


def test_an_end_is_measured_at_theta_itself_and_counts_for_the_lowest():
    learner = taught()
    theta = learner.theta.value.double()
    lifted = [theta + 5 + 3 * drawn(len(theta), seed=seed) for seed in range(3)]
    plane = plane_through(torch.stack(lifted))
    (surface,) = landscape(learner, [blobs()], plane, ((0, 1), (0, 1)), {"SGD": theta[None]}, margin=0.1, steps=3).surfaces
    assert surface.best == pytest.approx(losses(learner, blobs(), theta[None])[0])
    assert surface.best < min(map(min, surface.values))


def test_a_sweep_is_sorted_by_strength_and_its_ends_count_for_the_lowest():
    learner = taught()
    theta = learner.theta.value.double()
    plane = plane_through(torch.stack([theta, theta + drawn(len(theta)), theta + drawn(len(theta), seed=1)]))
    found = sweep("L2", {10.0: plane.at(torch.tensor([[2.0, 0.0]]))[0], 0.1: theta}, plane, learner, [blobs()])
    assert found.strengths == (0.1, 10.0)
    assert found.ends[0] == pytest.approx((0, 0)) and found.ends[1] == pytest.approx((2, 0))
    assert [each[0] for each in found.losses] == pytest.approx(losses(learner, blobs(), plane.at(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))))
    shown = landscape(learner, [blobs()], plane, ((4, 5), (4, 5)), {}, margin=0.1, steps=2, sweeps=[found])
    assert shown.sweeps == (found,) and shown.surfaces[0].best == pytest.approx(min(each[0] for each in found.losses))


@pytest.mark.parametrize(
    ("shown", "steps", "margin"),
    [(((0.0, 0.0), (0.0, 1.0)), 5, 0.1), (((0.0, 1.0), (1.0, 0.0)), 5, 0.1), (((0.0, 1.0), (0.0, 1.0)), 1, 0.1), (((0, 1), (0, 1)), 5, 0)],
)
def test_what_is_no_grid(shown: tuple[tuple[float, float], tuple[float, float]], steps: int, margin: float):
    learner = taught()
    plane = random_plane(learner.theta.value, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"expected ranges \(low, high\) with low < high, two steps or more and a margin > 0"):
        landscape(learner, [blobs()], plane, shown, {}, margin=margin, steps=steps)
