"""One network a task."""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor
from torch.func import functional_call

from lifelong.errors import MethodError, ScenarioError
from lifelong.method import Keeps, Method
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.growth import Change
    from lifelong.learner import Learner


class Independent(Method):
    """Independent networks: a network of its own for every task. Nothing is forgotten, nothing is shared.

    Loss: task. Predicting needs to be told the task, in every scenario, and `evaluate` tells it.

    Exact: what a task's network gives never changes, bit for bit, batch-norm statistics included. Where the learner's network grows, the
    kept ones grow alike: Net2Net's operations change what they give by rounding only.

    Args:
        start: "first": each network starts from the learner's first weights; "previous": from the network of the task before.
    Keeps: a copy of the network a task. Cost per step: none.
    """

    keeps: ClassVar[Keeps] = "a network"
    restarts: ClassVar[bool] = True
    told_the_task: ClassVar[bool] = True

    def __init__(self, *, start: Literal["first", "previous"] = "first") -> None:
        super().__init__()
        if start not in ("first", "previous"):
            raise MethodError(f"Independent: start is {start!r}; expected 'first' or 'previous'")
        self.start = start
        self.networks: dict[str, dict[str, Tensor]] = {}

    def begin_task(self, learner: "Learner", task: Task) -> None:
        if learner.scenario == "class":
            raise ScenarioError("Independent networks can't tell classes of different tasks apart; use scenario='task' or 'domain'")
        if self.start == "first" and self.networks:
            learner.restart()

    def end_task(self, learner: "Learner", task: Task) -> None:
        trained = {**dict(learner.trained()), **dict(learner.network.named_buffers())}
        self.networks = {**self.networks, task.name: {name: value.detach().clone() for name, value in trained.items()}}

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
        return {f"{i}.{name}": value for i, kept in enumerate(self.networks.values()) for name, value in kept.items()} | {
            f"{i}.task": torch.tensor(list(name.encode()), dtype=torch.uint8) for i, name in enumerate(self.networks)
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        kept: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            index, _, name = key.partition(".")
            kept.setdefault(int(index), {})[name] = value
        self.networks = {bytes(kept[i].pop("task").tolist()).decode(): kept[i] for i in sorted(kept)}
