"""Examples kept from earlier tasks, in tensors of a fixed size."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lifelong.errors import MethodError
from lifelong.models.heads import seed_of
from lifelong.tasks import Batch, Examples

Policy = Literal["reservoir", "ring"]
BLOCK = 4096  # offered examples whose slots are drawn at once


@dataclass
class Contents:
    """What the host knows of a memory's slots, so that a step does not wait for the device.

    Attributes:
        filled: slots in use.
        offered: examples ever offered.
        tasks: tasks that ended.
        heads: the one head of all, or int64 (filled,).
        earlier: the slots of earlier tasks' examples, in order.
        incomplete: the slots for which not as many logits are there as for the others, or not all of them finite.
    """

    filled: int
    offered: int
    tasks: int
    heads: int | Tensor
    earlier: list[int]
    incomplete: set[int]

    def replace(self, slots: list[int], complete: list[bool]) -> None:
        """The current task's examples are in these slots."""
        for slot, all_there in zip(slots, complete, strict=True):
            place = bisect_left(self.earlier, slot)
            if self.earlier[place : place + 1] == [slot]:
                del self.earlier[place]
            (self.incomplete.discard if all_there else self.incomplete.add)(slot)


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
        self.register_buffer("counts", torch.zeros(3, dtype=torch.int64))  # filled, offered, tasks of `contents`, at the last `note`
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))  # of the reservoir's slots
        self._contents: Contents | None = None  # None: to be looked up again
        self._block = -1  # the block of offered examples that was drawn last
        self._taken: tuple[list[int], list[int]] = [], []  # which of them are kept, by their number of all, and their slots

    @property
    def filled(self) -> int:
        """Slots in use."""
        return self.contents.filled

    def __len__(self) -> int:
        return self.filled

    @property
    def contents(self) -> Contents:
        """What the host knows of the slots, looked up where it is not known."""
        if self._contents is None:
            filled, offered, tasks = self.counts.tolist()
            earlier = (self.task[:filled] < tasks).nonzero().squeeze(1).tolist()
            incomplete = set((~self.logits[:filled].isfinite()).nonzero()[:, 0].tolist())
            self._contents = Contents(filled, offered, tasks, self._heads(filled), earlier, incomplete)
        return self._contents

    def _heads(self, filled: int) -> int | Tensor:
        heads = self.head[:filled].cpu()
        return int(heads[0]) if filled and bool((heads == heads[0]).all()) else heads

    def add(self, examples: Examples, generator: torch.Generator) -> None:
        """Offers a task's examples, in an order drawn from the generator; reads only those that are kept."""
        if self.capacity == 0:
            return
        order = torch.randperm(len(examples), generator=generator)
        slots, positions = self._reservoir(len(order), generator) if self.policy == "reservoir" else self._ring(len(order))
        if slots:
            chosen = order[positions]
            heads = examples.head if isinstance(examples.head, int) else examples.head[chosen]
            self._put(torch.tensor(slots, device=self.y.device), examples.take(chosen), examples.y[chosen], heads)
        self.end_task()
        self._contents = None

    def offer(self, batch: Batch, generator: torch.Generator, logits: Tensor) -> None:
        """Offers a reservoir one step's examples and the network's logits (N, C) for them.

        `end_task` is to be called at the task's end, and `note` before anything is saved.
        """
        slots, positions = self._reservoir(len(batch), generator)
        if not slots:
            return
        contents, heads = self.contents, batch.head if isinstance(batch.head, int) else batch.head[positions]
        into, chosen = (torch.tensor(each).to(self.y.device, non_blocking=True) for each in (slots, positions))
        self._put(into, batch.x.index_select(0, chosen), batch.y.index_select(0, chosen), heads)
        contents.replace(slots, self._put_logits(into, logits.index_select(0, chosen)))
        if isinstance(heads, Tensor) or isinstance(contents.heads, Tensor) or heads != contents.heads:
            contents.heads = self._heads(contents.filled)

    def end_task(self) -> None:
        """What is offered from here on belongs to the next task."""
        self.contents.tasks += 1
        self.contents.earlier = list(range(self.contents.filled))
        self.note()

    def note(self) -> None:
        """Writes the counts down where they are saved."""
        self.counts.copy_(torch.tensor([self.contents.filled, self.contents.offered, self.contents.tasks]))

    def _put(self, slots: Tensor, x: Tensor, y: Tensor, heads: int | Tensor) -> None:
        if self.x.numel() == 0:
            self.x = torch.zeros(self.capacity, *x.shape[1:], dtype=x.dtype, device=self.y.device)
        if x.shape[1:] != self.x.shape[1:] or x.dtype != self.x.dtype:
            held, given = (f"shape {tuple(each.shape[1:])} and {each.dtype}" for each in (self.x, x))
            raise MethodError(f"the memory holds inputs of {held} and can't take {given}; keep inputs alike")
        self.x.index_copy_(0, slots, x.to(self.x.device))
        self.y.index_copy_(0, slots, y.to(self.y))
        if isinstance(heads, int):
            self.head.index_fill_(0, slots, heads)
        else:
            self.head.index_copy_(0, slots, heads.to(self.head))
        self.task.index_fill_(0, slots, self.contents.tasks)

    def _put_logits(self, slots: Tensor, logits: Tensor) -> list[bool]:
        """Keeps logits (n, C), and tells for each example whether they are all there and finite."""
        width = self.logits.shape[1] if self.logits.numel() else 0
        if width < logits.shape[1]:
            wider = logits.new_full((self.capacity, logits.shape[1]), torch.nan)
            if width:
                wider[:, :width] = self.logits
            self.logits = wider
            self.contents.incomplete.update(range(self.contents.filled))
        elif width > logits.shape[1]:
            logits = pad(logits, (0, width - logits.shape[1]), value=torch.nan)
        logits = logits.to(self.logits)
        self.logits.index_copy_(0, slots, logits)
        complete: list[bool] = logits.isfinite().all(1).tolist()
        return complete

    def _reservoir(self, size: int, generator: torch.Generator) -> tuple[list[int], list[int]]:
        """Slots, and the positions among `size` offered examples of those that end up in them."""
        contents = self.contents
        first, end = contents.offered, contents.offered + size
        if first == 0:
            self.seed = torch.randint(2**62, (), generator=generator).to(self.seed.device)
        last: dict[int, int] = {}  # of several that took the same slot, the last one stays
        for block in range(first // BLOCK, (end - 1) // BLOCK + 1):
            numbers, slots = self._accepted(block)
            for i in range(bisect_left(numbers, first), bisect_left(numbers, end)):
                last[slots[i]] = numbers[i] - first
        contents.offered, contents.filled = end, min(self.capacity, end)
        return list(last), list(last.values())

    def _accepted(self, block: int) -> tuple[list[int], list[int]]:
        """Which of a block of offered examples, by their number of all, are kept, and their slots.

        Example n takes a slot drawn from n + 1, if there is such a slot. It depends on nothing but n and the seed, so that a block is
        drawn at once and a step that keeps nothing costs nothing.
        """
        if self._block != block:
            generator = torch.Generator().manual_seed(seed_of(int(self.seed), "reservoir", block))
            offered = torch.arange(block * BLOCK, (block + 1) * BLOCK)
            drawn = (torch.rand(BLOCK, generator=generator, dtype=torch.float64) * (offered + 1)).long()
            drawn = torch.where(offered < self.capacity, offered, drawn)
            kept = drawn < self.capacity
            self._block, self._taken = block, (offered[kept].tolist(), drawn[kept].tolist())
        return self._taken

    def _ring(self, size: int) -> tuple[list[int], list[int]]:
        """Cuts every earlier task to its share, moves what stays to the front, and gives the newest examples the free share."""
        contents, tasks = self.contents, self.contents.tasks + 1
        share = self.capacity // tasks
        if share == 0:
            raise MethodError(
                f"a ring memory of {self.capacity} can't give {tasks} tasks an example each; make it larger or use 'reservoir'"
            )
        used = self.task[: self.filled]  # in the order of the tasks
        ends = used.bincount().cumsum(0)
        kept = (ends[used] - torch.arange(len(used), device=used.device) <= share).nonzero().squeeze(1)
        for slot in (self.x, self.y, self.head, self.task):
            if len(slot):
                slot[: len(kept)] = slot[kept]
        contents.filled, contents.offered = len(kept) + min(size, share), contents.offered + size
        return list(range(len(kept), contents.filled)), list(range(size))[-share:]

    def draw(self, size: int, generator: torch.Generator, weights: Tensor | None = None) -> Batch:
        """`size` examples with replacement: uniformly, or with probabilities proportional to `weights` (filled,)."""
        if weights is None:
            return self.take(torch.randint(self.filled, (size,), generator=generator))
        return self.take(torch.multinomial(weights, size, replacement=True, generator=generator))

    def take(self, slots: Tensor) -> Batch:
        """The examples in slots (n,)."""
        heads = self.contents.heads
        chosen = slots.to(self.y.device, non_blocking=True)
        return Batch(self.x.index_select(0, chosen), self.y.index_select(0, chosen), heads if isinstance(heads, int) else heads[slots])
