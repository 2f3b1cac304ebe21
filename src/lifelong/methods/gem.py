"""Gradient episodic memory."""

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from lifelong.errors import MethodError
from lifelong.memory import Memory
from lifelong.method import Keeps, Method
from lifelong.projection import RIDGE, project
from lifelong.tasks import Batch, Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class GEM(Method):
    """Gradient episodic memory: take no step that would raise the loss on any earlier task's memory.

    Paper: Lopez-Paz & Ranzato 2017, https://arxiv.org/abs/1706.08840, Eqs. 7 and 11.
    Loss:  task; its gradient g becomes the nearest g~ with <g~, g_k> >= 0 for every earlier task k, if <g, g_k> < 0 for any.
    g_k:   gradient of the mean loss on the whole memory of task k, with the network in training mode: batch norm normalises by the
           memory's own statistics, and its running ones are put back afterwards; dropout draws from the learner's random numbers.
    Departs from the paper's text as its code does: the margin is the least v_k, not added to v_k, and rows of G are +g_k. Departs from
    the code: the ridge is relative, not 0.001, which means another thing at another scale of the gradients; and a task's memory is
    filled at its end, with examples drawn at random, as a ring that one shuffled epoch went through holds.

    Args:
        examples_per_task: examples kept of each task, >= 0; of a smaller task all. 0 is fine-tuning, bit for bit. Batch norm needs 2.
        margin: the least weight v_k of each g_k in a step that is changed, >= 0. 0 projects and nothing more; with more, every past
            task's gradient is added, too, in favour of backward transfer.
        ridge: added to the diagonal of the Gram matrix, in units of its mean, >= 0. 0: none.
    Keeps: `examples_per_task` examples a task. Cost per step: a pass over the memory of every earlier task, and, where there is a
    conflict, their Gram matrix; during a task, one number a parameter for every earlier task.
    """

    keeps: ClassVar[Keeps] = "examples"

    def __init__(self, *, examples_per_task: int = 256, margin: float = 0.5, ridge: float = RIDGE) -> None:
        super().__init__()
        if not isinstance(examples_per_task, int) or examples_per_task < 0:
            raise MethodError(f"GEM: examples_per_task is {examples_per_task!r}; expected an integer >= 0, where 0 is fine-tuning")
        for name, value in (("margin", margin), ("ridge", ridge)):
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise MethodError(f"GEM: {name} is {value!r}; expected a finite number >= 0")
        self.examples_per_task, self.margin, self.ridge = examples_per_task, margin, ridge
        self.memories = nn.ModuleList()
        self._constraints: tuple[list[Batch], Tensor] | None = None  # each task's memory, and room for their gradients (K, P)

    def rehearses(self) -> bool:
        return self.examples_per_task > 0

    def overrides(self, moment: str) -> bool:
        return len(self.memories) > 0 if moment == "edit_gradient" else super().overrides(moment)

    def begin_task(self, learner: "Learner", task: Task) -> None:
        self._constraints = None  # theta may be another

    def edit_gradient(self, learner: "Learner", batch: Batch) -> None:
        if self._constraints is None:
            batches = [_whole(memory) for memory in self.memories]
            self._constraints = batches, learner.theta.value.new_empty(len(batches), learner.theta.layout.size)
        batches, gradients = self._constraints
        for memory, row in zip(batches, gradients.unbind(), strict=True):
            learner.gradient(memory, out=row)
        gradient = learner.theta.gradient
        project(gradient, gradients, self.margin, self.ridge, out=gradient)

    def end_task(self, learner: "Learner", task: Task) -> None:
        self._constraints = None
        if self.examples_per_task:
            memory = Memory(self.examples_per_task, "ring").to(learner.device)
            memory.add(learner.examples_of(task), learner.generator(self))
            self.memories.append(memory)

    def restore(self, state: dict[str, Tensor]) -> None:
        for _ in {name.split(".")[1] for name in state}:
            self.memories.append(Memory(self.examples_per_task, "ring"))
        super().restore(state)


def _whole(memory: nn.Module) -> Batch:
    """All that a task's memory holds; views, no copies."""
    assert isinstance(memory, Memory)
    filled = memory.contents.filled
    return Batch(memory.x[:filled], memory.y[:filled], memory.contents.heads)
