"""Elastic weight consolidation."""

from typing import TYPE_CHECKING

from torch import Tensor

from lifelong.fisher import Labels, check_labels, diagonal_fisher
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class EWC(QuadraticPenalty):
    """Elastic weight consolidation: slow down the weights that mattered.

    Paper: Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796, Eq. 3.
    Loss:  task + strength/2 * sum_t sum_i F_t,i (theta_i - theta*_t,i)^2
    F:     diagonal Fisher, mean over `examples` of squared per-example gradients of log p(y|x); network in evaluation mode.
    Departs from the paper: one running quadratic instead of one a task, the same up to a constant; and by default the implicit step.

    Args:
        strength: weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        labels: y of the Fisher: "exact", the expectation over the model's own distribution; "sampled", one draw from it an example;
            "true", the data's (the empirical Fisher).
        examples: how many examples estimate F at a task's end, drawn without replacement; None: all of the task's.
        step: "implicit" or "additive", see `QuadraticPenalty`.
    Keeps: 2 numbers a parameter, whatever the number of tasks. Cost per step: one pass over theta.
    Cost per task: forward passes of `examples`, and one backward pass ("exact": one a class) of each.
    """

    def __init__(self, *, strength: float = 100.0, labels: Labels = "exact", examples: int | None = 2000, step: Step = "implicit") -> None:
        super().__init__(strength=strength, step=step)
        check_labels("EWC", labels, examples)
        self.labels, self.examples = labels, examples

    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        return diagonal_fisher(learner, task, self.labels, self.examples, learner.generator(self))
