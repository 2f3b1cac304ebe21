"""Synaptic intelligence."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.method import Scales
from lifelong.optimizers import describe_factory
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class SI(QuadraticPenalty):
    """Synaptic intelligence: each weight's importance is what it did for the loss on its way through the task.

    Paper: Zenke, Poole & Ganguli 2017, https://arxiv.org/abs/1703.04200, Eqs. 3 to 5.
    Loss:  task + strength * sum_i Omega_i (theta_i - theta*_i)^2, theta* the parameters at the last task's end (no factor 1/2)
    Omega: sum over tasks of omega_i / (Delta_i^2 + damping); omega_i = sum over steps of -g_i dtheta_i with g the batch gradient of the
        loss without this penalty and dtheta the step that the optimizer really took; Delta_i is how far the weight came in the task.
    Departs from the paper: by default the implicit step. In combinations g includes the terms that other methods add to the loss, not
        what methods after this one in the list do to the gradient.

    Args:
        strength: c, weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        damping: xi, > 0, in the unit of theta squared: bounds the importance of weights that hardly moved.
        nonnegative: cut Omega at 0 after each task, as the authors' code does: a weight that worked against the loss is free, not pushed
            away. False: keep the sign, which needs step="additive".
        step: "implicit" or "additive", see `QuadraticPenalty`. Published strengths are for "additive".
    Keeps: 4 numbers a parameter, whatever the number of tasks. Cost per task: none.
    Cost per step: four passes over theta with SGD or Adam; with Nesterov's momentum or another optimizer, or where something else edits the
    gradient or theta, six.
    """

    factor: ClassVar[float] = 1.0
    scales: ClassVar[Scales] = "gradient"  # outgoing weights: n times as much where damping is small, 1/n where it is large
    path: Tensor
    start: Tensor

    def __init__(self, *, strength: float = 0.1, damping: float = 0.1, nonnegative: bool = True, step: Step = "implicit") -> None:
        super().__init__(strength=strength, step=step)
        if not isinstance(damping, int | float) or not 0 < damping < float("inf"):
            raise MethodError(
                f"SI: damping is {damping!r}; expected a number > 0, which bounds the importance of weights that hardly moved"
            )
        if not nonnegative and step == "implicit":
            raise MethodError("SI: nonnegative=False allows negative importances, which the implicit step can't solve; use step='additive'")
        self.damping, self.nonnegative = damping, nonnegative
        self._gradient = self._before = torch.empty(0)  # room for the current step's; fresh memory costs more than filling it
        self._parts: list[tuple[Tensor, Tensor]] | None = None  # of path and before, a pair a parameter, where no gradient is copied

    def attach(self, learner: "Learner") -> None:
        super().attach(learner)
        self.declare("path", scales="product")
        self.declare("start", scales="theta")

    def begin_task(self, learner: "Learner", task: Task) -> None:
        super().begin_task(learner, task)
        self.path.zero_()
        self.start.copy_(learner.theta.value)

    def begin_round(self, learner: "Learner") -> None:
        super().begin_round(learner)
        if self.strength == 0:
            return
        theta, self._parts = learner.theta, None
        self._before = theta.value.clone()
        if self._undisturbed(learner):
            paths, befores = (theta.layout.split(vector).values() for vector in (self.path, self._before))
            self._parts = list(zip(paths, befores, strict=True))
        else:
            self._gradient = torch.empty_like(theta.value)

    def _undisturbed(self, learner: "Learner") -> bool:
        """Whether, after the optimizer's step, the gradients are still as the backward pass left them, and theta the same before the next.

        These optimizers leave them alone; others need not, and in float16 those of a skipped step are not finite.
        """
        training, moments = learner.task_training, ("begin_round", "edit_gradient", "after_step")
        optimizer = describe_factory(training.optimizer, torch.optim)
        plain = optimizer.get("name") in ("SGD", "Adam", "AdamW") and not optimizer["arguments"].get("nesterov")
        edited = self.step == "additive" or training.clip_norm is not None or training.precision == "float16"
        others = [method for method in learner.methods if method is not self]
        return plain and not edited and not any(method.overrides(moment) for method in others for moment in moments)

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        self._gradient.copy_(learner.theta.gradient)
        self._before.copy_(learner.theta.value)
        if self.step == "additive":
            super().edit_gradient(learner, batch)

    def after_step(self, learner: "Learner") -> None:
        if self.step == "implicit":
            super().after_step(learner)
        theta = learner.theta
        self._before.sub_(theta.value)  # -dtheta
        if self._parts is None:
            self.path.addcmul_(self._gradient, self._before)  # omega, Eq. 3: -g dtheta
            return
        for (path, step), parameter in zip(self._parts, theta.parameters, strict=True):
            if parameter.grad is not None:
                path.addcmul_(parameter.grad, step)
        self._before.copy_(theta.value)  # where the next step begins

    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        return self.path / ((learner.theta.value - self.start).square() + self.damping)  # Eq. 5

    def merge(self, new: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        total = self.importance + new
        return total.clamp_min_(0) if self.nonnegative else total, theta.clone()

    def overrides(self, moment: str) -> bool:
        if moment == "edit_gradient":
            return self.strength > 0 and self._parts is None
        return self.strength > 0 if moment == "after_step" else super().overrides(moment)
