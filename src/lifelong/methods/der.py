"""Dark experience replay."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from lifelong.errors import MethodError
from lifelong.memory import Memory
from lifelong.method import Keeps, Method, not_negative
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


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

    def __init__(
        self, *, capacity: int = 200, alpha: float = 0.5, beta: float = 0.0, replayed: int | None = None, from_current: bool = False
    ) -> None:
        super().__init__()
        if replayed is not None and (not isinstance(replayed, int) or replayed < 1):
            raise MethodError(f"DER: replayed is {replayed!r}; expected an integer >= 1, or None for as many as the batch has")
        self.capacity, self.replayed, self.from_current = capacity, replayed, from_current
        self.alpha, self.beta = not_negative("DER", "alpha", alpha), not_negative("DER", "beta", beta)
        self.memory = Memory(capacity, "reservoir")
        self._own: Batch | None = None  # the current step's examples before any were added, and their logits
        self._logits = torch.empty(0)
        self._first = 0  # where x' begins in the batch
        self._kept: Tensor | None = None  # the logits that the current step asks for
        self._weight: tuple[tuple[int, int, int], Tensor] | None = None  # sizes, and the weights of a batch of these sizes

    def rehearses(self) -> bool:
        return self.capacity > 0 and self.alpha + self.beta > 0

    def mix(self, learner: "Learner", batch: Batch) -> Batch:
        n, head = learner.fresh, batch.head
        self._own = Batch(batch.x[:n], batch.y[:n], head if isinstance(head, int) else head[:n]) if n < len(batch) else batch
        self._first, self._kept = len(batch), None
        contents = self.memory.contents
        known = contents.filled if self.from_current else len(contents.earlier)
        if known == 0 or self.alpha == self.beta == 0:
            return batch
        size = n if self.replayed is None else self.replayed
        chosen = torch.randint(known, (2 * size if self.beta else size,), generator=learner.generator(self))
        chosen = chosen if self.from_current else contents.earlier[chosen]
        self._kept = self.memory.logits.index_select(0, chosen[:size].to(batch.y.device))  # of x'
        joined = batch.joined(self.memory.take(chosen))  # the batch, x' and x''
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
        assert self._own is not None
        z = self._kept
        self._logits = output[: len(self._own)].detach()
        if z is None:
            return loss
        output = output[self._first : self._first + len(z)]
        if self.memory.contents.complete and z.shape == output.shape:
            return torch.add(loss, mse_loss(output, z), alpha=self.alpha)
        columns = min(z.shape[1], output.shape[1])
        known = z[:, :columns].isfinite()  # not the outputs of classes that came later, or of other heads
        error = torch.where(known, output[:, :columns] - z[:, :columns], 0.0)
        return loss + self.alpha * error.square().sum() / known.sum()

    def after_step(self, learner: "Learner") -> None:
        assert self._own is not None
        self.memory.offer(self._own, learner.generator(self), self._logits)

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.memory.end_task()
        self._own = None

    def overrides(self, moment: str) -> bool:
        return super().overrides(moment) and (self.capacity > 0 or moment not in ("mix", "loss", "after_step"))
