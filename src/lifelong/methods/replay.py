"""Experience replay."""

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from lifelong.errors import MethodError
from lifelong.memory import Memory, Policy
from lifelong.method import Keeps, Method
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class Replay(Method):
    """Experience replay: train on a few kept examples of earlier tasks together with each batch.

    Papers: Robins 1995; Chaudhry et al. 2019, On tiny episodic memories, https://arxiv.org/abs/1902.10486.
    Loss:   mean over the batch joined with `replayed` examples from the memory.
    Departs from the paper: a task's examples enter the memory at its end, so that only earlier tasks are replayed.

    Args:
        capacity: examples kept in all, >= 0. 0 is fine-tuning, bit for bit.
        replayed: examples added to each batch, with replacement; None: as many as the batch has.
        policy: "reservoir" (every example of every task is kept with the same probability) or "ring" (equal shares of most recent).
        balanced: draw tasks with equal probability, whatever their number of kept examples; False: draw examples so.
    Keeps: `capacity` examples. Cost per step: a step on the joined batch.
    """

    keeps: ClassVar[Keeps] = "examples"

    def __init__(self, *, capacity: int = 1000, replayed: int | None = None, policy: Policy = "reservoir", balanced: bool = False) -> None:
        super().__init__()
        if replayed is not None and (not isinstance(replayed, int) or replayed < 0):
            raise MethodError(f"Replay: replayed is {replayed!r}; expected an integer >= 0, or None for as many as the batch has")
        self.capacity, self.replayed, self.policy, self.balanced = capacity, replayed, policy, balanced
        self.memory = Memory(capacity, policy)
        self._weights: Tensor | None = None

    def rehearses(self) -> bool:
        return self.capacity > 0 and self.replayed != 0

    def mix(self, learner: "Learner", batch: Batch) -> Batch:
        size = len(batch) if self.replayed is None else self.replayed
        if len(self.memory) == 0 or size == 0:
            return batch
        if self.balanced and self._weights is None:
            task = self.memory.task[: len(self.memory)].cpu()
            self._weights = 1.0 / task.bincount()[task].double()
        return batch.joined(self.memory.draw(size, learner.generator(self), self._weights))

    def end_task(self, learner: "Learner", task: Task) -> None:
        self.memory.add(learner.examples_of(task), learner.generator(self))
        self._weights = None
