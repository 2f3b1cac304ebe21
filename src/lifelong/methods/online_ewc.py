"""Online elastic weight consolidation."""

from typing import TYPE_CHECKING

from torch import Tensor

from lifelong.errors import MethodError
from lifelong.fisher import Labels, check_labels, diagonal_fisher
from lifelong.quadratic import QuadraticPenalty, Step
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class OnlineEWC(QuadraticPenalty):
    """Online EWC: one Fisher that fades, around the latest solution.

    Paper: Schwarz et al. 2018, Progress & Compress, https://arxiv.org/abs/1805.06370, Sect. 4.
    Loss:  task + strength/2 * sum_i F*_i (theta_i - theta*_i)^2, theta* the parameters at the last task's end
    F*:    decay * F* + F_t, each F_t estimated as in `EWC`.

    Args:
        strength: weight of the penalty, >= 0, in the unit of the loss. 0 is fine-tuning, bit for bit.
        decay: gamma, in [0, 1]: how much of the older tasks' importance is kept at each task. 0 protects the last task only.
        labels, examples, step: as in `EWC`.
    Keeps: 2 numbers a parameter, whatever the number of tasks. Cost as EWC's.
    """

    def __init__(
        self, *, strength: float = 100.0, decay: float = 1.0, labels: Labels = "exact", examples: int | None = 2000, step: Step = "implicit"
    ) -> None:
        super().__init__(strength=strength, step=step)
        check_labels("OnlineEWC", labels, examples)
        if not 0 <= decay <= 1:
            raise MethodError(f"OnlineEWC: decay is {decay}; expected a number from 0 (forget at once) to 1 (keep all)")
        self.decay, self.labels, self.examples = decay, labels, examples

    def estimate(self, learner: "Learner", task: Task) -> Tensor:
        return diagonal_fisher(learner, task, self.labels, self.examples, learner.generator(self))

    def merge(self, new: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.decay * self.importance + new, theta.clone()
