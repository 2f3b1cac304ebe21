"""Joint training: the upper bound."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lifelong.errors import MethodError
from lifelong.method import Keeps, Method
from lifelong.tasks import Examples, JoinedExamples, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class Joint(Method):
    """Joint training: keep every example of every task and train on all of them at once. The upper bound.

    Loss: mean over batches drawn from all tasks so far. `steps` of a training is multiplied by the number of tasks so far.

    Args:
        restart: start each training from the learner's first weights, as if all data had come at once; False: go on from the current ones.
        every: train only when the number of tasks so far is a multiple of it, >= 1; other tasks take no step, and their examples wait. In a
            stream of 20 tasks, 20 is joint training once, at its end; 1 is after each task.
    Keeps: every example. Cost: task t trains on t tasks' examples, where it trains.
    """

    keeps: ClassVar[Keeps] = "examples"
    restarts: ClassVar[bool] = True

    def __init__(self, *, restart: bool = True, every: int = 1) -> None:
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise MethodError(f"Joint: every is {every!r}; expected an integer >= 1, where 1 trains at every task")
        self.restart, self.every = restart, every
        self.kept: list[Examples] = []

    def rehearses(self) -> bool:
        return True

    def begin_task(self, learner: "Learner", task: Task) -> None:
        self.kept = [*self.kept, learner.examples_of(task)]
        if self.restart and self._trains() and len(self.kept) > 1:
            learner.restart()

    def choose_examples(self, learner: "Learner", task: Task, examples: Examples) -> Examples:
        if not self._trains():
            return Examples(examples.x[:0], examples.y[:0])
        return JoinedExamples(self.kept) if len(self.kept) > 1 else examples

    def _trains(self) -> bool:
        """Whether it does at the last task of those that it keeps."""
        return len(self.kept) % self.every == 0

    def state(self) -> dict[str, Tensor]:
        parts = {}
        for i, examples in enumerate(self.kept):
            if isinstance(examples.head, Tensor):
                raise MethodError("Joint keeps tasks of one head each; a task's examples came with a head an example")
            parts[f"{i}.x"] = examples.take(torch.arange(len(examples)))
            parts[f"{i}.y"] = examples.y
            parts[f"{i}.head"] = torch.tensor(examples.head)
        return parts

    def restore(self, state: dict[str, Tensor]) -> None:
        self.kept = []
        for i in range(len(state) // 3):
            examples = Examples(state[f"{i}.x"], state[f"{i}.y"])
            examples.head = int(state[f"{i}.head"])
            self.kept.append(examples)

    def kept_bytes(self) -> int:
        return sum(examples.x.nbytes + examples.y.nbytes for examples in self.kept)
