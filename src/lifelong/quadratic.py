"""One running quadratic penalty: what EWC, online EWC and L2 have in common."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.method import Keeps, Method, not_negative
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner

Step = Literal["implicit", "additive"]


class QuadraticPenalty(Method):
    """strength/2 * sum_i importance_i (theta_i - center_i)^2, for a subclass that estimates the importance.

    A sum of quadratics, one a task, is one quadratic up to a constant: with A' = A + F and c' = (A c + F theta*) / A' it has the
    same gradient everywhere, so a thousand tasks cost two vectors.

    Args:
        strength: weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        step: "implicit" solves the penalty's part of the step exactly, after the optimizer's:
            theta <- (theta + w center) / (1 + w), w = learning rate * strength * importance. Stable at every strength.
            "additive" adds the penalty's gradient to the loss's, as the paper writes it; it diverges when w > 2, and an optimizer
            like Adam rescales it together with the loss's gradient.
    """

    keeps: ClassVar[Keeps] = "statistics"
    importance: Tensor
    center: Tensor

    def __init__(self, *, strength: float, step: Step) -> None:
        super().__init__()
        name = type(self).__name__
        if step not in ("implicit", "additive"):
            raise MethodError(f"{name}: step is {step!r}; expected 'implicit' or 'additive'")
        self.strength, self.step = not_negative(name, "strength", strength), step
        self._pull: Tensor | None = None
        self._pull_rate = 0.0

    @abstractmethod
    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        """The importance F of every entry of theta for this task, (P,), >= 0."""

    def attach(self, learner: "Learner") -> None:
        self.declare("importance")
        self.declare("center")

    def begin_task(self, learner: "Learner", task: Task) -> None:
        self._pull = None

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        if self.step == "additive" and self.active(learner):
            theta = learner.theta
            theta.gradient.addcmul_(self.importance, theta.value - self.center, value=self.strength)

    def after_step(self, learner: "Learner") -> None:
        if self.step == "implicit" and self.active(learner):
            rate = learner.learning_rate
            if self._pull is None or rate != self._pull_rate:
                largest = torch.finfo(self.importance.dtype).max / 2
                weight = (self.importance * min(rate * self.strength, largest)).clamp_max(largest)  # inf / inf would be NaN
                self._pull, self._pull_rate = weight / (1 + weight), rate
            learner.theta.value.lerp_(self.center, self._pull)

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
        unused = {"implicit": ["edit_gradient"], "additive": ["after_step"]}[self.step]
        if self.strength == 0:
            unused = ["edit_gradient", "after_step"]
        return moment not in unused and super().overrides(moment)

    def active(self, learner: "Learner") -> bool:
        """Whether there is a penalty yet."""
        return self.strength > 0 and len(learner.tasks) > 0
