"""L2: every weight is held alike."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lifelong.method import Scales
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class L2(QuadraticPenalty):
    """L2 towards earlier solutions: EWC's penalty with every importance 1, its control experiment.

    Paper: Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796, Fig. 2A.
    Loss:  task + strength/2 * sum_t |theta - theta*_t|^2

    Args:
        strength: weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        step: "implicit" or "additive", see `QuadraticPenalty`.
    Keeps: 2 numbers a parameter, whatever the number of tasks. Cost per step: one pass over theta.
    """

    scales: ClassVar[Scales] = "copy"

    def __init__(self, *, strength: float = 0.1, step: Step = "implicit") -> None:
        super().__init__(strength=strength, step=step)

    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        return torch.ones_like(learner.theta.value)
