"""One running quadratic penalty: what L2, EWC, online EWC, SI and MAS have in common."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.method import Keeps, Method, Scales, not_negative
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner

Step = Literal["implicit", "additive"]


class QuadraticPenalty(Method):
    """factor * strength * sum_i importance_i (theta_i - center_i)^2, for a subclass that estimates the importance.

    A sum of quadratics, one a task, is one quadratic up to a constant: with A' = A + F and c' = (A c + F theta*) / A' it has the
    same gradient everywhere, so a thousand tasks cost two vectors.

    Args:
        strength: weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        step: "implicit" solves the penalty's part of the step exactly, after the optimizer's:
            theta <- (theta + w center) / (1 + w), w = 2 * factor * learning rate * strength * importance. Stable at every strength.
            "additive" adds the penalty's gradient to the loss's, as the paper writes it; it diverges when w > 2, and an optimizer
            like Adam rescales it together with the loss's gradient.

    Attributes:
        factor: 1/2 where the paper's penalty has it (EWC), 1 where it has not (SI, MAS).
        scales: what the importance is for a unit that was copied, see `lifelong.growth.Change.carry`: what its estimator would give in
            the grown network.
    """

    keeps: ClassVar[Keeps] = "statistics"
    factor: ClassVar[float] = 0.5
    scales: ClassVar[Scales] = "squared gradient"
    importance: Tensor
    center: Tensor

    def __init__(self, *, strength: float, step: Step) -> None:
        super().__init__()
        name = type(self).__name__
        if step not in ("implicit", "additive"):
            raise MethodError(f"{name}: step is {step!r}; expected 'implicit' or 'additive'")
        self.strength, self.step = not_negative(name, "strength", strength), step
        self._pull: tuple[float, Tensor, Tensor] | None = None  # learning rate, center and w / (1 + w): all that a step reads
        self._difference = torch.empty(0)  # room for theta - center; fresh memory costs more than filling it

    @abstractmethod
    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        """The importance F of every entry of theta for this task, (P,), >= 0."""

    def attach(self, learner: "Learner") -> None:
        self.declare("importance", scales=self.scales)
        self.declare("center", scales="theta")

    def begin_round(self, learner: "Learner") -> None:
        self._pull = None

    def grown(self, learner: "Learner", change: "Change") -> None:
        self._pull = None

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        if learner.tasks or learner.adopted:
            theta = learner.theta
            if self._difference.shape != theta.value.shape:
                self._difference = torch.empty_like(theta.value)
            torch.sub(theta.value, self.center, out=self._difference)
            theta.gradient.addcmul_(self.importance, self._difference, value=2 * self.factor * self.strength)

    def after_step(self, learner: "Learner") -> None:
        if not (learner.tasks or learner.adopted):
            return
        pull, rate = self._pull, learner.learning_rate
        if pull is None or rate != pull[0]:
            largest = torch.finfo(self.importance.dtype).max / 2
            weight = (self.importance * min(2 * self.factor * self.strength * rate, largest)).clamp_max(largest)  # inf / inf would be NaN
            pull = self._pull = (rate, self.center, weight / (1 + weight))
        learner.theta.value.lerp_(pull[1], pull[2])

    def end_task(self, learner: "Learner", task: Task) -> None:
        if self.strength == 0:
            return
        self._pull = None
        new, theta = self.estimate(learner, task), learner.theta.value
        self.importance, self.center = self.merge(new, theta)

    def merge(self, new: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The quadratic that is the old one plus sum_i new_i (theta_i - theta*_i)^2."""
        total = self.importance + new
        share = torch.where(total > 0, new / total, 1.0)
        return total, torch.lerp(self.center, theta, share)

    def overrides(self, moment: str) -> bool:
        if moment == "edit_gradient":
            return self.step == "additive" and self.strength > 0
        if moment == "after_step":
            return self.step == "implicit" and self.strength > 0
        return super().overrides(moment)
