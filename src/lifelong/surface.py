"""Error surfaces: a task's loss over a plane of parameter space, and trajectories of theta projected on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lifelong.errors import ThetaError
from lifelong.landscape import Landscape, Surface, Sweep, Trajectory
from lifelong.modes import buffers_kept, evaluation_mode
from lifelong.shape import in_rows
from lifelong.tasks import CHUNK, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner

Range = tuple[float, float]
FLAT = 1e-9  # of a direction's length: what is left of it beside another one is rounding


@dataclass(frozen=True)
class Plane:
    """A plane of parameter space; its coordinates (a, b) stand for theta = origin + scale * (a * across + b * up).

    Attributes:
        origin: theta at (0, 0), float64 (P,).
        across, up: directions, float64 (P,), of length 1 and at right angles to each other.
        scale: the distance in parameter space that is 1 in the plane.
    """

    origin: Tensor
    across: Tensor
    up: Tensor
    scale: float = 1.0

    def at(self, coordinates: Tensor) -> Tensor:
        """Theta, float64 (N, P), at coordinates (N, 2)."""
        directions = torch.stack([self.across, self.up])
        return self.origin + self.scale * coordinates.double() @ directions

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Of points (N, P) the coordinates of the nearest points of the plane (N, 2), and how far those are (N,), in the plane's unit."""
        from_origin = (points.double() - self.origin) / self.scale
        coordinates = from_origin @ torch.stack([self.across, self.up]).T
        return coordinates, (from_origin - coordinates @ torch.stack([self.across, self.up])).norm(dim=1)


def plane_through(points: Tensor) -> Plane:
    """The plane through three points (3, P): the first is the origin, the second lies on the axis across, and the third above it.

    Raises:
        ValueError: not three points, or three on one line.

    >>> plane = plane_through(torch.tensor([[1.0, 1.0, 0.0], [3.0, 1.0, 0.0], [2.0, 4.0, 0.0]]))
    >>> plane.across.tolist(), plane.up.tolist()
    ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    """
    if points.ndim != 2 or len(points) != 3:
        raise ValueError(f"a plane goes through three points, a tensor (3, P); got one of shape {tuple(points.shape)}")
    origin, second, third = points.double()
    across, up = _orthonormal(second - origin, third - origin)
    return Plane(origin, across, up)


def random_plane(origin: Tensor, generator: torch.Generator) -> Plane:
    """A plane through a point in two random directions, at whose coordinate 1 theta has changed by as much as its own length.

    Goodfellow et al. 2015, https://arxiv.org/abs/1412.6544, and Li et al. 2018, https://arxiv.org/abs/1712.09913, draw such directions;
    these are normalised to the whole theta's length, not filter by filter.

    Args:
        origin: theta (P,), with P >= 2.

    Raises:
        ValueError: theta has fewer than two entries, or is zero, so that it has no length to be measured by.
    """
    length = float(origin.double().norm())
    if origin.ndim != 1 or len(origin) < 2 or length == 0:
        raise ValueError(
            f"a random plane needs a point with a length, a vector (P,) with P >= 2 that is not zero; got shape {tuple(origin.shape)} "
            f"of length {length:g}. Take theta after some training"
        )
    first, second = torch.randn(2, len(origin), dtype=torch.float64, generator=generator).to(origin.device)
    return Plane(origin.double(), *_orthonormal(first, second), scale=length)


def principal_plane(points: Tensor) -> Plane:
    """The plane that is nearest to points (N, P), in the mean of squared distances: their mean and first two principal components.

    Each direction points to where the last point is, seen from the first.

    Raises:
        ValueError: fewer than three points, or all on one line.
    """
    if points.ndim != 2 or len(points) < 3:
        raise ValueError(f"principal components need three points or more, a tensor (N, P); got one of shape {tuple(points.shape)}")
    points = points.double()
    origin = points.mean(0)
    _, strengths, directions = torch.linalg.svd(points - origin, full_matrices=False)
    if len(strengths) < 2 or strengths[1] <= FLAT * strengths[0]:
        raise ValueError("the points lie on one line, which is in many planes; give points of more than one path")
    across, up = (each * (1.0 if (points[-1] - points[0]) @ each >= 0 else -1.0) for each in directions[:2])
    return Plane(origin, across, up)


def _orthonormal(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    length = first.norm()
    across = first / length if length > 0 else first
    beside = second - (second @ across) * across
    if length == 0 or beside.norm() <= FLAT * second.norm():
        raise ValueError("the points lie on one line, which is in many planes; move one of them, or use random_plane")
    beside = beside - (beside @ across) * across  # once more, for what rounding left of it
    return across, beside / beside.norm()


def ranges(plane: Plane, points: Tensor, room: float = 0.2) -> tuple[Range, Range]:
    """The ranges across and up that show all points (N, P), with room around them as a share of the wider range."""
    coordinates, _ = plane.project(points)
    low, high = coordinates.min(0).values, coordinates.max(0).values
    edge = room * float((high - low).max())
    (left, bottom), (right, top) = (low - edge).tolist(), (high + edge).tolist()
    return (left, right), (bottom, top)


def losses(learner: "Learner", task: Task, points: Tensor, *, examples: int | None = None) -> list[float]:
    """A task's mean loss (cross-entropy) on its training examples at each of some points of parameter space.

    The network is in evaluation mode meanwhile. Afterwards it, its mode and its buffers are as they were, bit for bit. Buffers such as
    batch-norm statistics are this learner's at every point, which is wrong for points that another learner reached.

    Args:
        learner: gives the network; it has learned something, so it has a theta.
        points: theta (N, P), in the layout of `learner.theta`.
        examples: how many examples, evenly spread over the task's; None: all.

    Raises:
        ThetaError: the points are of another length than theta, or theta was replaced.
        ValueError: a loss is infinite or NaN.
    """
    theta, network = learner.theta, learner.network
    theta.check()
    if points.ndim != 2 or points.shape[1] != theta.layout.size or not theta.layout.size:
        raise ThetaError(
            f"points are of shape {tuple(points.shape)}; expected (N, {theta.layout.size}), the length of the learner's theta. "
            "Points from another network, or from before its head had another shape, are no points of this one"
        )
    own = in_rows(learner, task, task.train)
    count = len(own) if examples is None else min(examples, len(own))
    batches = [
        (x.to(learner.device), y.to(learner.device)) for x, y in own.batches(torch.arange(count) * len(own) // count, CHUNK)
    ]  # transformed once, for all points
    before = theta.value.clone()
    found: list[Tensor] = []
    with evaluation_mode(network), buffers_kept(list(network.buffers())), torch.no_grad():
        try:
            for point in points:
                theta.value.copy_(point)
                parts = [cross_entropy(network(x, own.head), y, reduction="sum").double() for x, y in batches]
                found.append(torch.stack(parts).sum() / count)
        finally:
            theta.value.copy_(before)
    values = torch.stack(found).tolist() if found else []
    wrong = next((i for i, value in enumerate(values) if not abs(value) < float("inf")), None)
    if wrong is not None:
        raise ValueError(f"the loss on task {task.name!r} is {values[wrong]} at point {wrong} of {len(values)}; look at a smaller range")
    return values


def trajectory(name: str, points: Tensor, plane: Plane, ends: Sequence[float]) -> Trajectory:
    """A path of theta as the plane shows it, and how much of it the plane holds.

    Args:
        points: theta (N, P), in order, as `Recorder.path` gives it.
        ends: the loss on each task at the last point, see `losses`.
    """
    coordinates, distances = plane.project(points)
    length = float((points.double().diff(dim=0)).norm(dim=1).sum()) / plane.scale
    shown = float(coordinates.diff(dim=0).norm(dim=1).sum())
    held = min(shown / length, 1.0) if length > 0 else 1.0
    return Trajectory(name, tuple((a, b) for a, b in coordinates.tolist()), tuple(ends), held, float(distances[-1]))


def sweep(
    name: str, ends: Mapping[float, Tensor], plane: Plane, learner: "Learner", tasks: Sequence[Task], *, examples: int | None = None
) -> Sweep:
    """Where a method ends at different strengths, for `Landscape.sweeps`.

    Args:
        ends: for each strength the last theta (P,).
        learner, tasks, examples: as in `landscape`.
    """
    strengths = sorted(ends)
    points = torch.stack([ends[strength] for strength in strengths])
    coordinates, _ = plane.project(points)
    found = [losses(learner, task, points, examples=examples) for task in tasks]
    return Sweep(name, tuple(strengths), tuple((a, b) for a, b in coordinates.tolist()), tuple(zip(*found, strict=True)))


def landscape(
    learner: "Learner",
    tasks: Sequence[Task],
    plane: Plane,
    shown: tuple[Range, Range],
    paths: Mapping[str, Tensor],
    *,
    first: Tensor | None = None,
    margin: float,
    steps: int = 41,
    examples: int | None = None,
    sweeps: Sequence[Sweep] = (),
) -> Landscape:
    """The error surfaces of tasks on a plane, with paths of theta on them.

    Args:
        learner: gives the network; what theta is at present does not matter.
        tasks: one surface each, of their training examples.
        shown: the ranges across and up, as `ranges` gives them.
        paths: theta (N, P) in order, by the name of what walked there.
        first: theta (N, P) during the first task, which the paths have in common.
        margin: how much higher than the lowest loss that was found, on the grid or at an end, a loss may be to count as low.
        steps: places on the longer axis; the other one has places as far apart.
        examples: as in `losses`.
        sweeps: ends at many strengths, from `sweep` on the same plane.

    Raises:
        ValueError: an empty range, fewer than two steps, a margin that is not positive, or a loss that is not finite.
        ThetaError: see `losses`.
    """
    spans = [high - low for low, high in shown]
    if not min(spans) > 0 or steps < 2 or not margin > 0:
        raise ValueError(
            f"ranges {shown}, steps {steps} and margin {margin}; expected ranges (low, high) with low < high, two steps or more and a "
            "margin > 0"
        )
    across, up = (
        torch.linspace(low, high, max(round((steps - 1) * span / max(spans)), 1) + 1, dtype=torch.float64)
        for (low, high), span in zip(shown, spans, strict=True)
    )
    grid = torch.stack([across.repeat(len(up)), up.repeat_interleave(len(across))], dim=1).to(plane.origin.device)
    walked = [*([] if first is None else [(tasks[0].name, first)]), *paths.items()]
    surfaces, ends = [], []
    for position, task in enumerate(tasks):
        values = losses(learner, task, plane.at(grid), examples=examples)
        ends.append([losses(learner, task, points[-1:], examples=examples)[0] for _, points in walked])
        rows = [tuple(values[start:stop]) for start, stop in pairwise(range(0, len(values) + 1, len(across)))]
        best = min(*values, *ends[-1], *(each[position] for one in sweeps for each in one.losses))
        surfaces.append(Surface(task.name, tuple(rows), best + margin, best))
    drawn = [trajectory(name, points, plane, found) for (name, points), found in zip(walked, zip(*ends, strict=True), strict=True)]
    common = None if first is None else drawn.pop(0)
    return Landscape(tuple(across.tolist()), tuple(up.tolist()), tuple(surfaces), tuple(drawn), common, tuple(sweeps))
