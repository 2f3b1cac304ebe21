"""Examples kept from earlier tasks, in tensors of a fixed size."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lifelong.errors import MethodError
from lifelong.models.heads import seed_of
from lifelong.tasks import Batch, Examples

Policy = Literal["reservoir", "ring"]
BLOCK = 4096  # offered examples whose slots are drawn at once


@dataclass(frozen=True)
class Contents:
    """What is in a memory's slots, on the host.

    Attributes:
        filled: slots in use.
        heads: the one head of all, or int64 (filled,).
        earlier: int64 (n,): the slots of earlier tasks' examples.
        complete: whether all logits are there, as many for every example.
    """

    filled: int
    heads: int | Tensor
    earlier: Tensor
    complete: bool


class Memory(nn.Module):
    """At most `capacity` examples, allocated once.

    Args:
        capacity: examples in all. 0 keeps nothing.
        policy: "reservoir": every example ever offered is kept with the same probability (Vitter 1985, algorithm R).
            "ring": each task keeps its most recent examples, capacity // tasks of them, so shares shrink as tasks come.

    Attributes:
        x, y, head, task: the slots; the first `filled` are in use. `task` counts the tasks.
        logits: (capacity, C), what the network said of each example when it was kept, where that was given; NaN beyond its outputs then.
    """

    x: Tensor
    y: Tensor
    head: Tensor
    task: Tensor
    logits: Tensor
    counts: Tensor
    seed: Tensor

    def __init__(self, capacity: int, policy: Policy) -> None:
        super().__init__()
        if not isinstance(capacity, int) or capacity < 0:
            raise MethodError(f"a memory's size is {capacity!r}; expected an integer >= 0, where 0 keeps nothing")
        if policy not in ("reservoir", "ring"):
            raise MethodError(f"a memory's policy is {policy!r}; expected 'reservoir' or 'ring'")
        self.capacity, self.policy = capacity, policy
        self.register_buffer("x", torch.empty(0))
        self.register_buffer("logits", torch.empty(0))
        for name in ("y", "head", "task"):
            self.register_buffer(name, torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(3, dtype=torch.int64))  # filled, offered, tasks
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))  # of the reservoir's slots
        self._contents: Contents | None = None  # None: to be looked up again
        self._block: tuple[int, list[int], list[int]] | None = None

    @property
    def filled(self) -> int:
        """Slots in use."""
        return self.contents.filled

    def __len__(self) -> int:
        return self.filled

    @property
    def contents(self) -> "Contents":
        """What the host knows of the slots; a step that changes none of them need not wait for the device."""
        if self._contents is None:
            filled, tasks = int(self.counts[0]), int(self.counts[2])
            heads, task = self.head[:filled].cpu(), self.task[:filled].cpu()
            alike = filled > 0 and bool((heads == heads[0]).all())
            complete = bool(self.logits[:filled].isfinite().all())
            self._contents = Contents(filled, int(heads[0]) if alike else heads, (task < tasks).nonzero().squeeze(1), complete)
        return self._contents

    def add(self, examples: Examples, generator: torch.Generator) -> None:
        """Offers a task's examples, in an order drawn from the generator; reads only those that are kept."""
        if self.capacity == 0:
            return
        order = torch.randperm(len(examples), generator=generator)
        accepted = self._reservoir(len(order), generator) if self.policy == "reservoir" else self._ring(len(order))
        if accepted is not None:
            slots, positions = accepted[0], order[accepted[1]]
            heads = examples.head if isinstance(examples.head, Tensor) else torch.full((len(examples),), examples.head)
            self._put(slots, examples.take(positions), examples.y[positions], heads[positions])
        self.end_task()

    def offer(self, batch: Batch, generator: torch.Generator, logits: Tensor) -> None:
        """Offers a reservoir one step's examples and the network's logits (N, C) for them; `end_task` is to be called at the task's end."""
        accepted = self._reservoir(len(batch), generator)
        if accepted is None:
            return
        slots, positions = accepted
        heads = batch.head[positions] if isinstance(batch.head, Tensor) else torch.full((len(positions),), batch.head)
        positions = positions.to(self.y.device)
        self._put(slots, batch.x[positions], batch.y[positions], heads)
        if self.logits.numel() == 0 or self.logits.shape[1] < logits.shape[1]:
            wider = logits.new_full((self.capacity, logits.shape[1]), torch.nan)
            if self.logits.numel():
                wider[:, : self.logits.shape[1]] = self.logits
            self.logits = wider
        slots = slots.to(self.y.device)
        self.logits[slots] = torch.nan
        self.logits[slots, : logits.shape[1]] = logits[positions].to(self.logits)

    def end_task(self) -> None:
        """What is offered from here on belongs to the next task."""
        self.counts[2] += 1
        self._contents = None

    def _put(self, slots: Tensor, x: Tensor, y: Tensor, heads: Tensor) -> None:
        self._contents = None
        if self.x.numel() == 0:
            self.x = torch.zeros(self.capacity, *x.shape[1:], dtype=x.dtype, device=self.y.device)
        if x.shape[1:] != self.x.shape[1:] or x.dtype != self.x.dtype:
            held, given = (f"shape {tuple(each.shape[1:])} and {each.dtype}" for each in (self.x, x))
            raise MethodError(f"the memory holds inputs of {held} and can't take {given}; keep inputs alike")
        slots = slots.to(self.y.device)
        self.x[slots] = x.to(self.x.device)
        self.y[slots] = y.to(self.y)
        self.head[slots] = heads.to(self.head)
        self.task[slots] = self.counts[2]

    def _reservoir(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        """Slots and the positions, among `size` offered examples, that end up in them. None: none of them is kept."""
        first = int(self.counts[1])
        if first == 0:
            self.seed = torch.randint(2**62, (), generator=generator).to(self.seed.device)
        last: dict[int, int] = {}  # of several that took the same slot, the last one stays
        for block in range(first // BLOCK, (first + size - 1) // BLOCK + 1):
            numbers, slots = self._accepted(block)
            inside = slice(bisect_left(numbers, first), bisect_left(numbers, first + size))
            last.update(zip(slots[inside], (number - first for number in numbers[inside]), strict=True))
        self.counts[1] += size
        if first < self.capacity:
            self.counts[0] = min(self.capacity, first + size)
        return (torch.tensor(list(last)), torch.tensor(list(last.values()))) if last else None

    def _accepted(self, block: int) -> tuple[list[int], list[int]]:
        """Which of a block of offered examples, by their number of all, are kept, and their slots.

        Example n takes a slot drawn from n + 1, if there is such a slot. It depends on nothing but n and the seed, so that a block is
        drawn at once and a step that keeps nothing costs nothing.
        """
        if self._block is None or self._block[0] != block:
            generator = torch.Generator().manual_seed(seed_of(int(self.seed), "reservoir", block))
            offered = torch.arange(block * BLOCK, (block + 1) * BLOCK)
            drawn = (torch.rand(BLOCK, generator=generator, dtype=torch.float64) * (offered + 1)).long()
            drawn = torch.where(offered < self.capacity, offered, drawn)
            kept = drawn < self.capacity
            self._block = block, offered[kept].tolist(), drawn[kept].tolist()
        return self._block[1:]

    def _ring(self, size: int) -> tuple[Tensor, Tensor]:
        """Cuts every earlier task to its share, moves what stays to the front, and gives the newest examples the free share."""
        share = self.capacity // (int(self.counts[2]) + 1)
        if share == 0:
            tasks = int(self.counts[2]) + 1
            raise MethodError(
                f"a ring memory of {self.capacity} can't give {tasks} tasks an example each; make it larger or use 'reservoir'"
            )
        used = self.task[: self.filled]
        kept = torch.cat([used[:0], *((used == each).nonzero().squeeze(1)[-share:] for each in sorted(set(used.tolist())))])
        for slot in (self.x, self.y, self.head, self.task):
            if len(slot):
                slot[: len(kept)] = slot[kept]
        chosen = torch.arange(size)[-share:]
        filled = len(kept) + len(chosen)
        self.counts[0] = filled
        self.counts[1] += size
        return torch.arange(len(kept), filled), chosen

    def draw(self, size: int, generator: torch.Generator, weights: Tensor | None = None) -> Batch:
        """`size` examples with replacement: uniformly, or with probabilities proportional to `weights` (filled,)."""
        if weights is None:
            return self.take(torch.randint(self.filled, (size,), generator=generator))
        return self.take(torch.multinomial(weights, size, replacement=True, generator=generator))

    def take(self, slots: Tensor) -> Batch:
        """The examples in slots (n,)."""
        heads = self.contents.heads if isinstance(self.contents.heads, int) else self.contents.heads[slots]
        slots = slots.to(self.y.device)
        return Batch(self.x.index_select(0, slots), self.y.index_select(0, slots), heads)
