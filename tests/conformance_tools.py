"""What the conformance suite's checks are made of: cases, settings, and comparing learners bit for bit."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from conformance_data import image_tasks
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.models import MLP, ConvNet
from lifelong.optimizers import OptimizerFactory
from lifelong.tasks import Scenario, Task

SGD: OptimizerFactory = functools.partial(torch.optim.SGD, lr=0.05)
MOMENTUM: OptimizerFactory = functools.partial(torch.optim.SGD, lr=0.02, momentum=0.9)
ADAM: OptimizerFactory = functools.partial(torch.optim.Adam, lr=0.005)


@dataclass(frozen=True)
class Case:
    """A method under test.

    Attributes:
        kind: its class.
        arguments: at which what it does shows on the toys.
        off: arguments that make it fine-tuning; None where it has no such setting.
        margin: by how much its accuracy must beat fine-tuning's where fine-tuning forgets; None: it need not.
        refuses: the scenario that it can't work in, and a part of the message that says so.
        rereads: whether it may touch earlier tasks' own data, which then must be what it says that it keeps.
        baseline: whether it is no paper's method, so that its docstring names none.
    """

    kind: type[Method]
    arguments: dict[str, Any]
    off: dict[str, Any] | None = None
    margin: float | None = None
    refuses: tuple[Scenario, str] | None = None
    rereads: bool = False
    baseline: bool = False

    def make(self, **changes: Any) -> Method:
        return self.kind(**{**self.arguments, **changes})


@dataclass(frozen=True)
class Setting:
    """What a method is tested with. Dropout and, in the convolutional network, batch norm are in it."""

    network: str
    optimizer: OptimizerFactory
    scenario: Scenario

    def model(self) -> nn.Module:
        inner = MLP(64, [16]) if self.network == "mlp" else ConvNet(1, [4, 8])
        return nn.Sequential(inner, nn.Dropout(0.2))

    def learner(self, *methods: Method, seed: int = 0, **training: Any) -> Learner:
        return Learner(self.model(), methods, self.scenario, optimizer=self.optimizer, batch_size=8, seed=seed, **training)

    def tasks(self, count: int = 2) -> list[Task]:
        return image_tasks(count, self.scenario)


ROWS: tuple[tuple[str, str, OptimizerFactory, Scenario], ...] = (
    ("mlp", "sgd", SGD, "task"),
    ("mlp", "momentum", MOMENTUM, "domain"),
    ("mlp", "adam", ADAM, "class"),
    ("convnet", "sgd", SGD, "domain"),
    ("convnet", "momentum", MOMENTUM, "class"),
    ("convnet", "adam", ADAM, "task"),
)
SETTINGS = {f"{network}-{name}-{scenario}": Setting(network, optimizer, scenario) for network, name, optimizer, scenario in ROWS}


def bits(learner: Learner) -> dict[str, Tensor]:
    """Everything that a learner's future depends on, as tensors by name."""
    state = {f"network/{name}": value for name, value in learner.network.state_dict().items()}
    state |= {f"trained/{name}": value for name, value in zip(learner.theta.layout.shapes, learner.theta.parameters, strict=True)}
    for i, method in enumerate(learner.methods):
        state |= {f"method {i}/{name}": value for name, value in method.state().items()}
        state[f"generator {i}"] = learner.generator(method).get_state()
    state |= {f"dormant/{key}/{name}": v for key, part in learner.dormant.items() for name, v in part.items()}
    if learner._carried is not None:
        state |= {f"optimizer/{name}": value for name, value in learner._carried.tensors.items()}
    state |= {f"dropout {device}": value for device, value in learner._random.own().items()}
    names = "/".join([*learner.tasks, *map(str, learner.classes), *learner.matrix.tasks, str(learner.cost.steps), str(learner.in_progress)])
    accuracies, during = learner.evaluations()
    state |= {"evaluations": torch.tensor(accuracies), "during": torch.tensor(during)}
    state |= {"order": learner.order.get_state(), "matrix": torch.tensor(learner.matrix.values), "names": torch.tensor([*names.encode()])}
    return {name: value.detach().clone() for name, value in state.items()}


def weights(learner: Learner) -> dict[str, Tensor]:
    """The network and its accuracies: what must be fine-tuning's where a method is switched off."""
    return {name: value for name, value in bits(learner).items() if name.startswith(("network/", "matrix"))}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of what is not the same bit for bit; NaN equals NaN."""
    alike = {name for name in one.keys() & other.keys() if torch.equal(one[name].nan_to_num(), other[name].nan_to_num())}
    alike = {name for name in alike if torch.equal(one[name].isnan(), other[name].isnan())}
    return sorted((one.keys() | other.keys()) - alike)


def learned(learner: Learner, tasks: Sequence[Task]) -> Learner:
    for task in tasks:
        learner.learn(task)
    return learner


def opened(path: Path, setting: Setting, *methods: Method) -> Learner:
    return Learner.open(path, model=setting.model(), methods=methods)


class Died(Exception):
    """Stands for the end of a process."""


def die_at_checkpoint(learner: Learner, task: Task, path: Path, number: int, **settings: Any) -> None:
    """Learns until the checkpoint of that number is written, and not a step more; earlier ones are left out, which takes less time."""
    save, count = Learner.save, 0

    def save_and_die(self: Learner, folder: str | Path) -> None:
        nonlocal count
        count += 1
        if count == number:
            save(self, folder)
            raise Died

    with patch.object(Learner, "save", save_and_die):
        try:
            learner.learn(task, checkpoint=path, checkpoint_every=0, **settings)
        except Died:
            return
    raise AssertionError(f"task {task.name!r} was learned before checkpoint {number}")
