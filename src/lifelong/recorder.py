"""A record of where theta was, for pictures of its trajectory."""

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lifelong.errors import MethodError, ScenarioError
from lifelong.method import Keeps, Method
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class Recorder(Method):
    """Keeps a copy of theta every so many steps. Training is the same with it and without it, bit for bit.

    Give it last, so that it sees theta after the other methods' part of the step. The learner has a copy of its own: `Recorder.of`.
    For the scenario "domain": where heads are added or grow, theta is another vector in another task.

    Loss: the task's own; nothing is added.

    Args:
        every: steps between copies, >= 1; a task's first and last theta are kept in any case.
    Keeps: all copies, so it is for networks that are small, or looked at for a short time; they are saved with the learner.

    Attributes:
        points: theta (N, P), in order.
        during: int64 (N,): how many tasks were learned before the one in which each was taken.

    Raises:
        ValueError: `every` is no integer >= 1.

    >>> import torch
    >>> from lifelong import Learner, Task
    >>> learner = Learner(torch.nn.Linear(1, 2), [Recorder(every=2)], "domain", batch_size=2, steps=5)
    >>> learner.learn(Task("sign", train=(torch.tensor([[-1.0], [1.0]]), ["minus", "plus"])))
    >>> Recorder.of(learner).path(0).shape  # before the first step, after steps 2, 4 and 5; 2 + 2 weights and 4 + 2 of the head
    torch.Size([4, 10])
    """

    keeps: ClassVar[Keeps] = "statistics"
    points: Tensor
    during: Tensor

    def __init__(self, *, every: int = 1) -> None:
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"Recorder: every is {every!r}; expected an integer >= 1, the steps between two copies")
        self.every = every
        self.register_buffer("points", torch.empty(0, 0))
        self.register_buffer("during", torch.empty(0, dtype=torch.int64))

    @staticmethod
    def of(learner: "Learner") -> "Recorder":
        """The learner's recorder.

        Raises:
            MethodError: it has none.
        """
        own = next((method for method in learner.methods if isinstance(method, Recorder)), None)
        if own is None:
            have = ", ".join(type(method).__name__ for method in learner.methods) or "none"
            raise MethodError(f"this learner has no Recorder, its methods: {have}; make it with methods=[..., Recorder(every=10)]")
        return own

    def path(self, task: int) -> Tensor:
        """Theta (N, P) during the task at this place, from before its first step to after its last.

        Raises:
            MethodError: nothing was recorded during it.
        """
        chosen = self.points[self.during == task]
        if not len(chosen):
            raise MethodError(f"nothing was recorded in task {task}; recorded tasks: {sorted(set(self.during.tolist()))}, counted from 0")
        return chosen

    def begin_task(self, learner: "Learner", task: Task) -> None:
        if learner.methods[-1] is not self:
            later = type(learner.methods[-1]).__name__
            raise MethodError(f"Recorder comes before {later}, and would not see what it does in a step; give Recorder last in methods")
        if learner.scenario == "task":
            raise ScenarioError(
                "Recorder can't work in the scenario 'task': theta has another head in every task, so its points are no path; "
                "use scenario='domain'"
            )

    def begin_round(self, learner: "Learner") -> None:
        size = learner.theta.layout.size
        if not len(self.points):
            self.points = learner.theta.value.new_empty(0, size)
        if self.points.shape[1] != size:
            raise MethodError(
                f"theta had {self.points.shape[1]} entries in an earlier task and has {size} in this one, so its points can't be one path; "
                "use the scenario 'domain', where every task has the same head, and a network that does not grow"
            )
        if self._taken(learner) == 0:
            self._keep(learner)

    def after_step(self, learner: "Learner") -> None:
        taken = self._taken(learner) + 1
        if taken % self.every == 0 or taken == learner.task_steps:
            self._keep(learner)

    def _taken(self, learner: "Learner") -> int:
        """How many steps of the task are counted as done."""
        return round(learner.task_share * learner.task_steps)

    def _keep(self, learner: "Learner") -> None:
        self.points = torch.cat([self.points, learner.theta.value[None]])
        self.during = torch.cat([self.during, self.during.new_tensor([len(learner.tasks)])])
