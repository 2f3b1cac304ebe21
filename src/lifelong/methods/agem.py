"""Averaged gradient episodic memory."""

from typing import TYPE_CHECKING, ClassVar

from lifelong.errors import MethodError
from lifelong.memory import Memory, Policy
from lifelong.method import Keeps, Method
from lifelong.projection import project_one
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class AGEM(Method):
    """Averaged gradient episodic memory: take no step that would raise the mean loss on a batch from the memory.

    Paper: Chaudhry et al. 2019, https://arxiv.org/abs/1812.00420, Eq. 11.
    Loss:  task; its gradient g becomes g - (g'r / r'r) r where g'r < 0.
    r:     gradient of the mean loss on `replayed` examples from the memory, drawn anew for every step, with the network in training
           mode: batch norm normalises by that batch's own statistics, and its running ones are put back afterwards; dropout draws from
           the learner's random numbers.
    Departs from the paper: a task's examples enter the memory at its end, and the batch is drawn with replacement.

    Args:
        capacity: examples kept in all, >= 0. 0 is fine-tuning, bit for bit.
        replayed: examples of the batch that r is computed on, >= 1.
        policy: "ring" (equal shares of most recent) or "reservoir" (every example of every task is kept with the same probability).
    Keeps: `capacity` examples. Cost per step: a pass over `replayed` examples.
    """

    keeps: ClassVar[Keeps] = "examples"

    def __init__(self, *, capacity: int = 1000, replayed: int = 256, policy: Policy = "ring") -> None:
        super().__init__()
        if not isinstance(replayed, int) or replayed < 1:
            raise MethodError(f"AGEM: replayed is {replayed!r}; expected an integer >= 1 (capacity=0 is fine-tuning)")
        self.capacity, self.replayed, self.policy = capacity, replayed, policy
        self.memory = Memory(capacity, policy)

    def rehearses(self) -> bool:
        return self.capacity > 0

    def overrides(self, moment: str) -> bool:
        return len(self.memory) > 0 if moment == "edit_gradient" else super().overrides(moment)

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        reference = learner.gradient(self.memory.draw(self.replayed, learner.generator(self)))
        gradient = learner.theta.gradient
        project_one(gradient, reference, out=gradient)

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.memory.add(learner.examples_of(task), learner.generator(self))
