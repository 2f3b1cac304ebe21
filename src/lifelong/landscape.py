"""Landscapes: error surfaces and the trajectories on them as plain numbers, to be drawn whenever. Nothing here imports torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

DIGITS = 6  # of the numbers that `plain` gives

Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """A task's mean loss over a grid of a plane of parameter space.

    Attributes:
        task: its name.
        values: one row for each place on the landscape's axis up, from low to high, and in it one loss for each place across.
        low: losses up to this one count as low.
        best: the lowest loss that was found, on the grid or beside it; at most as high as any on the grid.
    """

    task: str
    values: tuple[tuple[float, ...], ...]
    low: float
    best: float


@dataclass(frozen=True)
class Trajectory:
    """A path of theta, projected on the plane.

    Attributes:
        name: what walked it, such as a method.
        points: its projections in the plane's coordinates (across, up), in order; one at least.
        losses: where it ended, at theta itself and not at the projection: the mean loss on each surface's task.
        held: how much of its length the plane holds, from 0 to 1: the projected path's length by its own. 1 for one that stands still.
        off: how far its end is from the plane, in the plane's unit.
    """

    name: str
    points: tuple[Point, ...]
    losses: tuple[float, ...]
    held: float = 1.0
    off: float = 0.0

    @property
    def end(self) -> Point:
        """Its last point."""
        return self.points[-1]


@dataclass(frozen=True)
class Sweep:
    """Where a method ends at different strengths.

    Attributes:
        name: of the method.
        strengths: in order, increasing.
        ends: for each strength, the projection of the last theta.
        losses: for each strength, the mean loss there on each surface's task, at theta itself.
    """

    name: str
    strengths: tuple[float, ...]
    ends: tuple[Point, ...]
    losses: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Landscape:
    """The error surfaces of several tasks on the same plane, and trajectories on them.

    Attributes:
        across, up: the grid's places on the two axes, increasing; two at least.
        surfaces: one a task.
        trajectories: of what is compared.
        first: what they have in common before they part: the learning of the first task. None: nothing.
        sweeps: ends of methods at many strengths.

    Raises:
        ValueError: values that are not as many as the grid has places, axes that don't increase, losses or points that are missing.
    """

    across: tuple[float, ...]
    up: tuple[float, ...]
    surfaces: tuple[Surface, ...]
    trajectories: tuple[Trajectory, ...] = ()
    first: Trajectory | None = None
    sweeps: tuple[Sweep, ...] = ()

    def __post_init__(self) -> None:
        for name, axis in (("across", self.across), ("up", self.up)):
            if len(axis) < 2 or any(later <= earlier for earlier, later in pairwise(axis)):
                raise ValueError(f"the axis {name} has the places {list(axis)[:4]}...; expected two or more that increase")
        for surface in self.surfaces:
            found = (len(surface.values), sorted({len(row) for row in surface.values}))
            if found != (len(self.up), [len(self.across)]):
                raise ValueError(
                    f"the surface of {surface.task!r} has {found[0]} rows of {found[1]} values; expected {len(self.up)} rows of "
                    f"{len(self.across)}, one for each place of the grid"
                )
        for each in self.every:
            if not each.points or len(each.losses) != len(self.surfaces):
                raise ValueError(
                    f"the trajectory {each.name!r} has {len(each.points)} points and {len(each.losses)} losses at its end; expected one "
                    f"point or more, and {len(self.surfaces)} losses, one for each surface"
                )

        for sweep in self.sweeps:
            losses = [len(found) for found in sweep.losses]
            if not sweep.strengths or len(sweep.ends) != len(sweep.strengths) or losses != [len(self.surfaces)] * len(sweep.strengths):
                raise ValueError(
                    f"the sweep of {sweep.name!r} has {len(sweep.strengths)} strengths, {len(sweep.ends)} ends and losses {losses}; "
                    f"expected one strength or more, and for each of them one end and {len(self.surfaces)} losses, one for each surface"
                )

    @property
    def every(self) -> tuple[Trajectory, ...]:
        """All trajectories, the common one first."""
        return (*(() if self.first is None else (self.first,)), *self.trajectories)

    def inside(self, trajectory: Trajectory) -> tuple[bool, ...]:
        """For each surface, whether the trajectory ends in its low-error region."""
        return self._low(trajectory.losses)

    def reaching(self, sweep: Sweep) -> tuple[float, ...]:
        """The strengths that end in the low-error regions of all surfaces."""
        return tuple(strength for strength, losses in zip(sweep.strengths, sweep.losses, strict=True) if all(self._low(losses)))

    def _low(self, losses: Sequence[float]) -> tuple[bool, ...]:
        return tuple(loss <= surface.low for loss, surface in zip(losses, self.surfaces, strict=True))

    def plain(self) -> dict[str, Any]:
        """All of it as JSON can hold it, with numbers of 6 digits; `read` takes it back."""
        plain: dict[str, Any] = _rounded(asdict(self))
        return plain

    @staticmethod
    def read(plain: Mapping[str, Any]) -> "Landscape":
        """The landscape that `plain` wrote.

        Raises:
            ValueError: it doesn't fit together, see above.
        """

        def places(each: Sequence[Sequence[float]]) -> tuple[Point, ...]:
            return tuple((float(across), float(up)) for across, up in each)

        def trajectory(each: Mapping[str, Any]) -> Trajectory:
            return Trajectory(each["name"], places(each["points"]), tuple(each["losses"]), each["held"], each["off"])

        surfaces = tuple(Surface(each["task"], tuple(map(tuple, each["values"])), each["low"], each["best"]) for each in plain["surfaces"])
        trajectories = tuple(map(trajectory, plain["trajectories"]))
        first = None if plain["first"] is None else trajectory(plain["first"])
        sweeps = tuple(
            Sweep(each["name"], tuple(each["strengths"]), places(each["ends"]), tuple(map(tuple, each["losses"])))
            for each in plain["sweeps"]
        )
        return Landscape(tuple(plain["across"]), tuple(plain["up"]), surfaces, trajectories, first, sweeps)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(each) for each in value]
    return value
