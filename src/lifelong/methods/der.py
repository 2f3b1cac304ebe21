"""Dark experience replay."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.memory import Memory
from lifelong.method import Keeps, Method, not_negative
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


mse_loss = torch.ops.aten.mse_loss.default  # without the broadcasting of torch.nn.functional's, which costs as much as the loss


@dataclass(slots=True)
class Now:
    """What the moments of the current step hand to each other.

    Attributes:
        own: its examples before any were added.
        first: where x' begins in the batch.
        z: the logits that are asked for of x'. None: nothing is replayed.
        output: what the network said of the whole batch.
    """

    own: Batch | None = None
    first: int = 0
    z: Tensor | None = None
    output: Tensor = field(default_factory=lambda: torch.empty(0))


class DER(Method):
    """Dark experience replay: repeat kept examples and ask for the logits that the network had for them when they were kept.

    Paper: Buzzega et al. 2020, https://arxiv.org/abs/2004.07211, Eqs. 4 to 6.
    Loss:  task + alpha * mean (z - h(x'))^2 + beta * cross-entropy(y'', h(x'')), x' and x'' two independent draws from the memory, z the
        logits of x' at the step in which it was kept; the mean is over examples and over the outputs that the network had then.
    Departs from the paper: by default only earlier tasks are replayed, so that one task is fine-tuning; see `from_current`.

    Args:
        capacity: examples kept in all, >= 0, by reservoir sampling over all steps. 0 is fine-tuning, bit for bit.
        alpha: weight of the logits' squared error, >= 0; it depends on their scale and, as a mean, on the number of outputs.
        beta: weight of the labels' cross-entropy on the second draw, >= 0. 0: DER, without a second draw; > 0: DER++.
        replayed: examples of each draw, >= 1; None: as many as the batch has.
        from_current: also replay the current task's examples, from its first steps on, as the paper does, which knows no boundaries.
    Keeps: `capacity` examples with their logits. Cost per step: a step on the batch joined with one draw (two with beta > 0).
    """

    keeps: ClassVar[Keeps] = "examples"

    together = False  # the loss compares what `mix` put at places of the whole batch

    def __init__(
        self, *, capacity: int = 200, alpha: float = 0.5, beta: float = 0.0, replayed: int | None = None, from_current: bool = False
    ) -> None:
        super().__init__()
        if replayed is not None and (not isinstance(replayed, int) or replayed < 1):
            raise MethodError(f"DER: replayed is {replayed!r}; expected an integer >= 1, or None for as many as the batch has")
        self.capacity, self.replayed, self.from_current = capacity, replayed, from_current
        self.alpha, self.beta = not_negative("DER", "alpha", alpha), not_negative("DER", "beta", beta)
        self.memory = Memory(capacity, "reservoir")
        self._now = Now()
        self._weight: tuple[tuple[int, int, int], Tensor] | None = None  # sizes, and the weights of a batch of these sizes

    def rehearses(self) -> bool:
        return self.capacity > 0 and self.alpha + self.beta > 0

    def mix(self, learner: "Learner", batch: Batch) -> Batch:
        n, head, now, memory = learner.fresh, batch.head, self._now, self.memory
        now.own = Batch(batch.x[:n], batch.y[:n], head if isinstance(head, int) else head[:n]) if n < len(batch) else batch
        now.first, now.z = len(batch), None
        filled, earlier = memory.contents.filled, memory.contents.earlier
        known = filled if self.from_current else len(earlier)
        if known == 0 or self.alpha == self.beta == 0:
            return batch
        size = n if self.replayed is None else self.replayed
        chosen = torch.randint(known, (2 * size if self.beta else size,), generator=learner.generator(self))
        if known < filled:
            chosen = torch.tensor([earlier[place] for place in chosen.tolist()])
        now.z = memory.logits.index_select(0, (chosen[:size] if self.beta else chosen).to(batch.y.device, non_blocking=True))
        joined = batch.joined(memory.take(chosen))  # the batch, x' and x''
        return Batch(joined.x, joined.y, joined.head, self._weights(batch, len(joined), size))

    def _weights(self, batch: Batch, total: int, size: int) -> Tensor:
        """Of the cross-entropy: none on x', beta / size on x''."""
        if batch.weight is None and self._weight is not None and self._weight[0] == (len(batch), total, size):
            return self._weight[1]
        own = torch.full((len(batch),), 1 / len(batch), device=batch.x.device) if batch.weight is None else batch.weight
        second = total - len(batch) - size
        weight = torch.cat([own, own.new_zeros(size), own.new_full((second,), self.beta / size)])
        if batch.weight is None:
            self._weight = (len(batch), total, size), weight
        return weight

    def loss(self, learner: "Learner", batch: Batch, output: Tensor, loss: Tensor) -> Tensor:
        now = self._now
        now.output, z = output.detach(), now.z
        if z is None:
            return loss
        h = output[now.first : now.first + len(z)]  # of x'
        if not self.memory.contents.incomplete and z.shape == h.shape:
            return torch.add(loss, mse_loss(h, z), alpha=self.alpha)
        if z.shape != h.shape:
            columns = min(z.shape[1], h.shape[1])
            z, h = z[:, :columns], h[:, :columns]
        known = z.isfinite()  # not the outputs of classes that came later, or of other heads
        error = torch.where(known, h - z, 0.0)
        return loss + self.alpha * error.square().sum() / known.sum()

    def after_step(self, learner: "Learner") -> None:
        assert self._now.own is not None
        self.memory.offer(self._now.own, learner.generator(self), self._now.output)

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.memory.end_task()
        self._now.own = None

    def state(self) -> dict[str, Tensor]:
        self.memory.note()
        return super().state()

    def overrides(self, moment: str) -> bool:
        return super().overrides(moment) and (self.capacity > 0 or moment not in ("mix", "loss", "after_step"))
