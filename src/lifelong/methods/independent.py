"""One network a task."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lifelong.errors import MethodError, ScenarioError
from lifelong.method import Keeps, Method
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner

BATCH = 1000  # examples that go through the network together


class Independent(Method):
    """Independent networks: a network of its own for every task. Nothing is forgotten, nothing is shared.

    Loss: task. Predicting needs to be told the task, in every scenario, and `evaluate` tells it.

    Exact: what a task's network gives never changes, bit for bit, batch-norm statistics included. Where the learner's network grows, the
    kept ones grow alike: Net2Net's operations change what they give by rounding only.

    Args:
        start: "first": each network starts from the learner's first weights; "previous": from the network of the task before.
        attempts: how often each task is trained, >= 1, every time from the same weights and with another order of examples, and with
            dropout drawn anew; the optimizer goes on with its state. What is kept is the network with the lowest mean loss on the task's
            training examples, in evaluation mode: the test is not looked at. 1: it is trained once.
    Keeps: a copy of the network a task. Cost per step: none; per task: `attempts` trainings.
    """

    keeps: ClassVar[Keeps] = "a network"
    restarts: ClassVar[bool] = True
    told_the_task: ClassVar[bool] = True

    def __init__(self, *, start: Literal["first", "previous"] = "first", attempts: int = 1) -> None:
        super().__init__()
        if start not in ("first", "previous"):
            raise MethodError(f"Independent: start is {start!r}; expected 'first' or 'previous'")
        if not isinstance(attempts, int) or attempts < 1:
            raise MethodError(f"Independent: attempts is {attempts!r}; expected an integer >= 1, where 1 trains each task once")
        self.start, self.attempts = start, attempts
        self.networks: dict[str, dict[str, Tensor]] = {}  # the last one's is the best so far where its task is being attempted
        self.losses: list[float] = []  # of the attempts at the current task

    def begin_task(self, learner: "Learner", task: Task) -> None:
        if learner.scenario == "class":
            raise ScenarioError("Independent networks can't tell classes of different tasks apart; use scenario='task' or 'domain'")
        if self.start == "first" and self.networks:
            learner.restart()

    def overrides(self, moment: str) -> bool:
        return self.attempts > 1 if moment == "another_round" else super().overrides(moment)

    def another_round(self, learner: "Learner", task: Task) -> dict[str, Any] | None:
        loss = _mean_loss(learner, task)
        if loss < min(self.losses, default=torch.inf):
            self._keep(learner, task)
        self.losses = [*self.losses, loss]
        if len(self.losses) == self.attempts:
            return None
        before = [name for name in self.networks if name != task.name]
        learner.restart()
        if self.start == "previous" and before:
            self._put_back(learner, before[-1])
        return {}

    def end_task(self, learner: "Learner", task: Task) -> None:
        if self.losses:
            self._put_back(learner, task.name)
        self.losses = []
        self._keep(learner, task)

    def _keep(self, learner: "Learner", task: Task) -> None:
        trained = {**dict(learner.trained()), **dict(learner.network.named_buffers())}
        self.networks = {**self.networks, task.name: {name: value.detach().clone() for name, value in trained.items()}}

    @torch.no_grad()
    def _put_back(self, learner: "Learner", task: str) -> None:
        current = {**dict(learner.trained()), **dict(learner.network.named_buffers())}
        for name, value in self.networks[task].items():
            if name in current:  # in the scenario "task" each has its own head
                current[name].copy_(value)

    def grown(self, learner: "Learner", change: "Change") -> None:
        fresh = {name: value.to(learner.device) for name, value in change.fresh.items()}
        self.networks = {task: change.carry(kept) | fresh for task, kept in self.networks.items()}

    def predict(self, learner: "Learner", x: Tensor, task: str | None) -> Tensor:
        if task is None:
            raise ScenarioError(f"Independent networks must be told the task: predict(x, task=...). Known: {', '.join(self.networks)}")
        if task not in self.networks:  # being learned, or not learned yet: the network as it is
            return learner.logits(x, task)
        head = learner.heads.find(task)
        return torch.as_tensor(functional_call(learner.network, self.networks[task], (x, head)))

    def parameters_kept(self) -> int:
        return sum(value.numel() for kept in self.networks.values() for value in kept.values())

    def state(self) -> dict[str, Tensor]:
        return (
            {f"{i}.{name}": value for i, kept in enumerate(self.networks.values()) for name, value in kept.items()}
            | {f"{i}.task": torch.tensor(list(name.encode()), dtype=torch.uint8) for i, name in enumerate(self.networks)}
            | ({"losses": torch.tensor(self.losses, dtype=torch.float64)} if self.losses else {})
        )

    def restore(self, state: dict[str, Tensor]) -> None:
        kept: dict[int, dict[str, Tensor]] = {}
        self.losses = state["losses"].tolist() if "losses" in state else []
        for key, value in state.items():
            if key == "losses":
                continue
            index, _, name = key.partition(".")
            kept.setdefault(int(index), {})[name] = value
        self.networks = {bytes(kept[i].pop("task").tolist()).decode(): kept[i] for i in sorted(kept)}


def _mean_loss(learner: "Learner", task: Task) -> float:
    """The mean loss on a task's training examples, in evaluation mode."""
    examples = learner.examples_of(task)
    losses = [
        cross_entropy(learner.logits(x, task.name), y.to(learner.device), reduction="none")
        for x, y in examples.batches(torch.arange(len(examples)), BATCH)
    ]
    return float(torch.cat(losses).double().mean())
