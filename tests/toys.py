"""Small tasks and networks for tests of the core."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.tasks import Name, Task

FEATURES = 6


def blobs(
    name: str = "first",
    *,
    seed: int = 0,
    size: int = 60,
    classes: Sequence[Name] = (0, 1, 2),
    transform: Callable[[Tensor], Tensor] | None = None,
) -> Task:
    """Gaussian blobs, one a class, that a small network can tell apart; another seed is another task."""
    generator = torch.Generator().manual_seed(seed)
    means = 2 * torch.randn(len(classes), FEATURES, generator=generator)
    positions = torch.arange(size) % len(classes)
    x = means[positions] + torch.randn(size, FEATURES, generator=generator)
    labels = [classes[i] for i in positions.tolist()]
    return Task(name, (x, labels), (x[: size // 2], labels[: size // 2]), classes=classes, transform=transform)


def sgd(rate: float = 0.1, **arguments: Any) -> functools.partial[torch.optim.SGD]:
    return functools.partial(torch.optim.SGD, lr=rate, **arguments)


def weights(network: nn.Module) -> dict[str, Tensor]:
    """Copies of parameters and buffers."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two sets of tensors are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def everything(learner: Learner) -> dict[str, Tensor]:
    """All that a learner remembers and that its future depends on, as tensors."""
    random = {f"random {i}": g.get_state() for i, g in enumerate([learner.order, *learner._generators])}
    methods = {f"method {i} {name}": value.clone() for i, m in enumerate(learner.methods) for name, value in m.state().items()}
    dormant = {f"dormant {i} {name}": value.clone() for i, part in learner.dormant.items() for name, value in part.items()}
    matrix = {"matrix": torch.from_numpy(learner.matrix.values.copy()).nan_to_num(-1)}
    return {**weights(learner.network), **random, **learner._random.own(), **methods, **dormant, **matrix}


class Moment(Method):
    """Calls a function at one moment, `after_step` unless said otherwise."""

    def __init__(self, action: Callable[[Learner], object]) -> None:
        super().__init__()
        self.action = action


class AfterStep(Moment):
    def after_step(self, learner: Learner) -> None:
        self.action(learner)


class EditGradient(Moment):
    def edit_gradient(self, learner: Learner, batch: object) -> None:
        self.action(learner)
