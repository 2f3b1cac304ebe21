"""Examples kept from earlier tasks, in tensors of a fixed size."""

from typing import Literal

import torch
from torch import Tensor, nn

from lifelong.errors import MethodError
from lifelong.tasks import Batch, Examples

Policy = Literal["reservoir", "ring"]


class Memory(nn.Module):
    """At most `capacity` examples, allocated once.

    Args:
        capacity: examples in all. 0 keeps nothing.
        policy: "reservoir": every example ever offered is kept with the same probability (Vitter 1985, algorithm R).
            "ring": each task keeps its most recent examples, capacity // tasks of them, so shares shrink as tasks come.

    Attributes:
        x, y, head, task: the slots; the first `filled` are in use. `task` counts the calls of `add`.
    """

    x: Tensor
    y: Tensor
    head: Tensor
    task: Tensor
    counts: Tensor

    def __init__(self, capacity: int, policy: Policy) -> None:
        super().__init__()
        if not isinstance(capacity, int) or capacity < 0:
            raise MethodError(f"a memory's size is {capacity!r}; expected an integer >= 0, where 0 keeps nothing")
        if policy not in ("reservoir", "ring"):
            raise MethodError(f"a memory's policy is {policy!r}; expected 'reservoir' or 'ring'")
        self.capacity, self.policy = capacity, policy
        self.register_buffer("x", torch.empty(0))
        for name in ("y", "head", "task"):
            self.register_buffer(name, torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(3, dtype=torch.int64))  # filled, offered, tasks

    @property
    def filled(self) -> int:
        """Slots in use."""
        return int(self.counts[0])

    def __len__(self) -> int:
        return self.filled

    def add(self, examples: Examples, generator: torch.Generator) -> None:
        """Offers a task's examples, in an order drawn from the generator; reads only those that are kept."""
        if self.capacity == 0:
            return
        order = torch.randperm(len(examples), generator=generator)
        slots, positions = self._reservoir(order, generator) if self.policy == "reservoir" else self._ring(order)
        if not len(slots):  # none of a small task's examples got a slot
            self.counts[2] += 1
            return
        x = examples.take(positions)
        if self.x.numel() == 0:
            self.x = torch.zeros(self.capacity, *x.shape[1:], dtype=x.dtype, device=self.y.device)
        if x.shape[1:] != self.x.shape[1:] or x.dtype != self.x.dtype:
            held, given = (f"shape {tuple(each.shape[1:])} and {each.dtype}" for each in (self.x, x))
            raise MethodError(f"the memory holds inputs of {held} and can't take {given}; keep inputs alike")
        heads = examples.head if isinstance(examples.head, Tensor) else torch.full((len(examples),), examples.head)
        slots = slots.to(self.y.device)
        self.x[slots] = x.to(self.x.device)
        self.y[slots] = examples.y[positions].to(self.y)
        self.head[slots] = heads[positions].to(self.head)
        self.task[slots] = self.counts[2]
        self.counts[2] += 1

    def _reservoir(self, order: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Slots and the positions that end up in them. Example n of all offered takes a slot drawn from n + 1, if there is such a slot."""
        first = int(self.counts[1])
        offered = torch.arange(first, first + len(order))
        drawn = (torch.rand(len(order), generator=generator, dtype=torch.float64) * (offered + 1)).long()
        drawn = torch.where(offered < self.capacity, offered, drawn)
        last = {slot: n for n, slot in enumerate(drawn.tolist()) if slot < self.capacity}
        self.counts[1] += len(order)
        self.counts[0] = min(self.capacity, first + len(order))
        return torch.tensor(list(last), dtype=torch.int64), order[torch.tensor(list(last.values()), dtype=torch.int64)]

    def _ring(self, order: Tensor) -> tuple[Tensor, Tensor]:
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
        chosen = order[-share:]
        self.counts[0] = len(kept) + len(chosen)
        self.counts[1] += len(order)
        return torch.arange(len(kept), self.filled), chosen

    def draw(self, size: int, generator: torch.Generator, weights: Tensor | None = None) -> Batch:
        """`size` examples with replacement: uniformly, or with probabilities proportional to `weights` (filled,)."""
        if weights is None:
            slots = torch.randint(self.filled, (size,), generator=generator)
        else:
            slots = torch.multinomial(weights, size, replacement=True, generator=generator)
        slots = slots.to(self.y.device)
        return Batch(self.x[slots], self.y[slots], self.head[slots].cpu())
