"""Memory aware synapses."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.method import Scales
from lifelong.modes import evaluation_mode
from lifelong.per_example import sum_of_gradients
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class MAS(QuadraticPenalty):
    """Memory aware synapses: a weight is important when changing it changes what the network says, right or wrong.

    Paper: Aljundi et al. 2018, https://arxiv.org/abs/1711.09601, Eqs. 2 to 4.
    Loss:  task + strength * sum_i Omega_i (theta_i - theta*_i)^2, theta* the parameters at the last task's end (no factor 1/2)
    Omega: sum over tasks of the mean over examples of |d ||F(x)||_2^2 / d theta_i|, F the logits of the task's head; per-example
        gradients, no labels, network in evaluation mode.
    Departs from the paper: by default the implicit step. The authors' code takes the absolute gradient of a batch's summed norm, where
        examples' gradients can cancel; the paper's is per example, as here.

    No labels are needed: `learner.consolidate(x)` adds the importance of any inputs, such as those that the learner meets in use.

    Args:
        strength: lambda, weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        examples: how many of the task's examples estimate Omega at its end, drawn without replacement; None: all; 0: none, where
            `learner.consolidate` does it all.
        step: "implicit" or "additive", see `QuadraticPenalty`.
    Keeps: 2 numbers a parameter, whatever the number of tasks. Cost per step: one pass over theta.
    Cost per task: a forward and a backward pass of `examples`.
    """

    factor: ClassVar[float] = 1.0
    scales: ClassVar[Scales] = "gradient"

    def __init__(self, *, strength: float = 1.0, examples: int | None = 2000, step: Step = "implicit") -> None:
        super().__init__(strength=strength, step=step)
        if examples is not None and (not isinstance(examples, int) or examples < 0):
            raise MethodError(f"MAS: examples is {examples!r}; expected an integer >= 0, or None for all of the task's")
        self.examples = examples

    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        own = learner.examples_of(task)
        chosen = torch.randperm(len(own), generator=learner.generator(self))[: self.examples]
        if not len(chosen):
            return torch.zeros_like(learner.theta.value)
        return self.omega(learner, own.take(chosen).to(learner.device), task.name)

    def omega(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        """The mean over inputs x (N, ...) of |d ||F(x)||^2 / d theta|, (P,)."""
        head = learner.heads.find(task)

        def squared_norm(x: Tensor, _: Tensor) -> Tensor:
            logits: Tensor = learner.network(x, head)
            return logits.square().sum(1, keepdim=True)

        with evaluation_mode(learner.network):
            labels = torch.zeros(len(x), dtype=torch.int64)  # none are looked at
            own = learner.processes.part(x), learner.processes.part(labels)
            return learner.processes.sum(sum_of_gradients(learner.network, learner.theta, squared_norm, own, "absolute")) / len(x)

    def consolidate(self, learner: "Learner", x: Tensor, task: str | None) -> None:
        if self.strength > 0:
            self._pull = None
            self.importance, self.center = self.merge(self.omega(learner, x, task), learner.theta.value)

    def merge(self, new: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.importance + new, theta.clone()
