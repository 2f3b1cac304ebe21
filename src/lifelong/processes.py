"""Several processes that train one learner: each takes its share of every batch, and does everything else like the others."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from lifelong.errors import ProcessError
from lifelong.tasks import Batch

if TYPE_CHECKING:
    from lifelong.learner import Learner

GONE = (
    "another process of this run is gone. What it had saved is intact: the same command, again with all processes, goes on from the last "
    "checkpoint"
)
SOURCE = re.compile(r"^\[[^\]]*\] *")  # where in torch's source an error was raised


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is; alone by default.

    All of them make the same batches, memories and random draws. Of a batch, process `rank` computes the gradient on the examples
    rank, rank + count, ...; theta's gradient is summed over all, so that every process takes the same step.

    Attributes:
        rank: from 0 to count - 1.
        count: >= 1.
    """

    rank: int = 0
    count: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def part(self, values: Tensor) -> Tensor:
        """This process's part of what all have: every `count`-th along the first dimension."""
        return values if self.alone else values[self.rank :: self.count]

    def share(self, batch: Batch) -> tuple[Batch, float]:
        """This process's examples of a batch, and their share of it: the mean losses over them times these shares sum to the batch's.

        Where there are fewer examples than processes, one without any gets the first, with a share of 0.
        """
        if self.alone:
            return batch, 1.0
        part = self.part if len(batch) > self.rank else _first
        x, y = part(batch.x), part(batch.y)
        head = batch.head if isinstance(batch.head, int) else part(batch.head)
        weight = None if batch.weight is None else part(batch.weight) * (len(batch) / len(y))
        return Batch(x, y, head, weight), len(y) / len(batch) if part == self.part else 0.0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place; the same, to the last bit, in each.

        Raises:
            ProcessError: another process is gone.
        """
        if not self.alone:
            with _told():
                distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Until every process is here.

        Raises:
            ProcessError: another process is gone.
        """
        if not self.alone:
            with _told():
                distributed.barrier()


class Sharing:
    """The step's part where several processes train: their shares of a batch, and the gradient's sum.

    Args:
        learner: whose processes they are.
    """

    def __init__(self, learner: "Learner") -> None:
        self.processes, self.theta, self.share = learner.processes, learner.theta, 1.0

    def mix(self, learner: "Learner", batch: Batch) -> Batch:
        """This process's share of a batch that is whole, with what the methods mixed into it."""
        learner.fresh = max(len(range(self.processes.rank, learner.fresh, self.processes.count)), len(batch) <= self.processes.rank)
        own, self.share = self.processes.share(batch)
        return own

    def gather(self) -> Tensor:
        """The gradient of the whole batch's loss, (P,), in every process."""
        return self.processes.sum(self.theta.gather().mul_(self.share))


def _first(values: Tensor) -> Tensor:
    return values[:1]


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        said = SOURCE.sub("", str(error).strip().split("\n")[0])
        raise ProcessError(f"{GONE}. torch says: {said}") from error


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that `torchrun` started, joined inside the context; without torchrun, this one alone.

    Raises:
        ProcessError: they can't find each other.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    device = "nccl" if torch.cuda.is_available() and torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"]) else "gloo"
    try:
        distributed.init_process_group(device)
    except (RuntimeError, ValueError) as error:
        raise ProcessError(
            f"the {count} processes of this run can't find each other: {error}. Start them by torchrun, as in "
            "torchrun --nproc-per-node 2 -m lifelong run demo"
        ) from error
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


def check_together(learner: "Learner") -> None:
    """Raises ProcessError for what several processes would train otherwise than one."""
    if learner.processes.alone:
        return
    for method in learner.methods:
        if not method.together:
            raise ProcessError(
                f"{type(method).__name__} can't be trained by {learner.processes.count} processes: what its loss compares belongs to whole "
                "batches. Run it without torchrun"
            )
    kinds: tuple[type[Any], ...] = (nn.modules.batchnorm._BatchNorm,)
    name = next((name for name, module in learner.model.named_modules() if isinstance(module, kinds) and module.track_running_stats), None)
    if name is not None:
        raise ProcessError(
            f"{name!r} is batch norm, whose statistics would be of each process's share of a batch; take another norm (GroupNorm, "
            "LayerNorm), or run it without torchrun"
        )
