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
        restart: start every task from the learner's first weights, as when all data had come at once; False: go on from the current ones.
    Keeps: every example. Cost: task t trains on t tasks' examples.
    """

    keeps: ClassVar[Keeps] = "examples"
    restarts: ClassVar[bool] = True

    def __init__(self, *, restart: bool = True) -> None:
        super().__init__()
        self.restart = restart
        self.kept: list[Examples] = []

    def rehearses(self) -> bool:
        return True

    def begin_task(self, learner: "Learner", task: Task) -> None:
        if self.restart and self.kept:
            learner.restart()
        self.kept = [*self.kept, learner.examples_of(task)]

    def choose_examples(self, learner: "Learner", task: Task, examples: Examples) -> Examples:
        return JoinedExamples(self.kept) if len(self.kept) > 1 else examples

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
