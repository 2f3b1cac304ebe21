"""Net2Net: a network that grows when it has to."""

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lifelong.errors import MethodError
from lifelong.growth import NOISE, change_of, growable, widen
from lifelong.method import Keeps, Method
from lifelong.tasks import Task

if TYPE_CHECKING:
    from lifelong.learner import Learner


class Net2Net(Method):
    """Net2Net growth: when a task is not learned well enough, every layer gets more units, and learning goes on.

    Paper: Chen, Goodfellow & Shlens 2016, https://arxiv.org/abs/1511.05641, Sec. 2.4 (Net2WiderNet). It has no rule for when to grow; the
        rule here is Hung-yi Lee's in his lecture: only when the network can't learn the task.
    Loss:  task. Growing leaves what the network computes as it was: a new unit is a copy of one of the layer's own, chosen at random,
        and the outgoing weights are divided among the n copies, with random differences that sum to zero, so that the copies diverge.
    It holds nothing by itself: combine it with EWC or another method. What that keeps for each parameter follows as if it were measured
        in the grown network: a copied unit's Fisher information is F / n^2 for its incoming weights, whose gradients are 1/n, and F for
        its outgoing ones; so the network is held as stiffly as before, and its copies are free to part.

    Args:
        until_accuracy: accuracy on the task's training examples, 0 to 1, below which the network grows. 0: never, which is fine-tuning,
            bit for bit. Above 1: `max_growths` times in every task.
        grow_by: units that a layer gets, as a share of those that it has, > 0; at least one.
        max_growths: how often it grows in a task at most; after each growth training goes on for as long as the first time.
        max_parameters: it grows no further than this many parameters of the network with its heads. None: without a limit.
        examples: how many training examples the accuracy is measured on; None: all.
        noise: how different the copies' outgoing weights are, see `lifelong.growth.widen`, >= 0.
    Keeps: nothing. Cost per step: none; a growth costs a copy of the network, and another training of the task.
    """

    keeps: ClassVar[Keeps] = "nothing"
    growths: Tensor

    def __init__(
        self,
        *,
        until_accuracy: float = 0.95,
        grow_by: float = 0.5,
        max_growths: int = 2,
        max_parameters: int | None = None,
        examples: int | None = 2000,
        noise: float = NOISE,
    ) -> None:
        super().__init__()
        if not isinstance(until_accuracy, int | float) or not 0 <= until_accuracy < float("inf"):
            raise MethodError(f"Net2Net: until_accuracy is {until_accuracy!r}; expected a share from 0, never, to 1, or above for always")
        if not isinstance(grow_by, int | float) or not 0 < grow_by < float("inf"):
            raise MethodError(f"Net2Net: grow_by is {grow_by!r}; expected a share of a layer's units > 0, as 0.5 for half as many more")
        if not isinstance(noise, int | float) or not 0 <= noise < float("inf"):
            raise MethodError(f"Net2Net: noise is {noise!r}; expected a number >= 0, where 0 keeps copies alike")
        for name, value, least in (("max_growths", max_growths, 0), ("max_parameters", max_parameters, 1), ("examples", examples, 1)):
            if not (value is None and name != "max_growths") and (not isinstance(value, int) or value < least):
                raise MethodError(f"Net2Net: {name} is {value!r}; expected an integer >= {least}")
        self.until_accuracy, self.grow_by, self.max_growths = until_accuracy, grow_by, max_growths
        self.max_parameters, self.examples, self.noise = max_parameters, examples, noise
        self.register_buffer("growths", torch.zeros((), dtype=torch.int64))  # in this task

    def begin_task(self, learner: "Learner", task: Task) -> None:
        self.growths = torch.zeros_like(self.growths)

    def another_round(self, learner: "Learner", task: Task) -> dict[str, Any] | None:
        if int(self.growths) >= self.max_growths or self._accuracy(learner, task) >= self.until_accuracy:
            return None
        operations = [
            widen(layer, size + max(1, round(self.grow_by * size)), noise=self.noise) for layer, size in growable(learner.network).items()
        ]
        if not operations or not self._fits(learner, operations):
            return None
        for operation in operations:
            learner.grow(operation)
        self.growths = self.growths + 1
        return {}

    def _accuracy(self, learner: "Learner", task: Task) -> float:
        """On some of the task's training examples."""
        examples = learner.examples_of(task)
        chosen = torch.randperm(len(examples), generator=learner.generator(self))[: self.examples]
        right = 0
        for x, y in examples.batches(chosen, 1000):
            right += int((learner.logits(x, task.name).argmax(1).cpu() == y.cpu()).sum())
        return right / len(chosen)

    def _fits(self, learner: "Learner", operations: list[dict[str, Any]]) -> bool:
        """Whether the network stays within its limit."""
        if self.max_parameters is None:
            return True
        trial = copy.deepcopy(learner.network)
        for operation in operations:
            change_of(trial, {**operation, "seed": 0})
        return _size(trial) <= self.max_parameters


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
