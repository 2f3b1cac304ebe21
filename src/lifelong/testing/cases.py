"""What the conformance suite runs: a case is a method and what is asked of it, a setting what it is tested with."""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import nn

from lifelong.errors import MethodError, ScenarioError, nearest
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.models import MLP, ConvNet
from lifelong.optimizers import OptimizerFactory
from lifelong.tasks import Scenario, Task
from lifelong.testing.data import image_tasks

SGD: OptimizerFactory = functools.partial(torch.optim.SGD, lr=0.05)
MOMENTUM: OptimizerFactory = functools.partial(torch.optim.SGD, lr=0.02, momentum=0.9)
ADAM: OptimizerFactory = functools.partial(torch.optim.Adam, lr=0.005)


@dataclass(frozen=True)
class Case:
    """A method under test.

    Attributes:
        kind: its class.
        arguments: at which what it does shows on the toys.
        off: arguments that make it fine-tuning; {} where it always trains as fine-tuning does, None where it has no such setting.
        margin: by how much its accuracy must beat fine-tuning's where fine-tuning forgets; None: it need not.
        refuses: the scenarios that it can't work in, each with a part of the message that says so.
        rereads: whether it may touch earlier tasks' own data, which then must be what it says that it keeps.
        baseline: whether it is no paper's method, so that its docstring names none.
        rigid: whether an earlier task stays at a huge strength, where the method has an argument of that name.
        unit_inputs: whether it needs inputs in [0, 1].
        plain_first: whether its first task is fine-tuning, bit for bit.
        grows: whether its network can be widened.
        sets_back: whether it starts a task from the network of an earlier one, batch-norm statistics included.
    """

    kind: type[Method]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    off: Mapping[str, Any] | None = None
    margin: float | None = None
    refuses: Mapping[Scenario, str] = field(default_factory=dict)
    rereads: bool = False
    baseline: bool = False
    rigid: bool = True
    unit_inputs: bool = False
    plain_first: bool = True
    grows: bool = True
    sets_back: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.kind, Method):
            name = type(self.kind).__name__
            raise MethodError(
                f"a {name} was given; expected its class, which is made many times, as in check_method({name}, arguments=...)"
            )
        if not (isinstance(self.kind, type) and issubclass(self.kind, Method)):
            raise MethodError(f"{self.kind!r} was given; expected a subclass of lifelong.Method")
        known = self.parameters()
        for name in [*self.arguments, *(self.off or {})]:
            if name not in known:
                raise MethodError(f"{self.kind.__name__} has no argument {name!r}; {nearest(name, known)}")
        scenarios = get_args(Scenario)
        for scenario in self.refuses:
            if not isinstance(self.refuses, Mapping) or scenario not in scenarios:
                expected = "expected scenarios, each with a part of the message that says so, as in refuses={'class': 'use scenario='}"
                raise ScenarioError(f"refuses is {self.refuses!r}; {expected}. {nearest(str(scenario), scenarios)}")
        if len(self.refuses) == len(scenarios):
            raise ScenarioError(f"{self.kind.__name__} refuses all of {', '.join(scenarios)}; one must be left to test it in")

    def make(self, **changes: Any) -> Method:
        """A method as given, with other arguments where they are named."""
        return self.kind(**{**self.arguments, **changes})

    def parameters(self) -> dict[str, inspect.Parameter]:
        """The constructor's parameters by name."""
        return {name: p for name, p in inspect.signature(self.kind.__init__).parameters.items() if name not in ("self", "args", "kwargs")}

    def scenario(self, wanted: Scenario = "domain") -> Scenario:
        """The wanted scenario, or one that the method does not refuse."""
        order: tuple[Scenario, ...] = (wanted, "domain", "class", "task")
        return next(scenario for scenario in order if scenario not in self.refuses)


@dataclass(frozen=True)
class Setting:
    """What a method is tested with. Dropout and, in the convolutional network, batch norm are in it."""

    network: str
    optimizer: OptimizerFactory
    scenario: Scenario
    unit_inputs: bool = False

    def model(self) -> nn.Module:
        """A network with the same weights every time."""
        inner = MLP(64, [16]) if self.network == "mlp" else ConvNet(1, [4, 8])
        return nn.Sequential(inner, nn.Dropout(0.2))

    def learner(self, *methods: Method, seed: int = 0, **training: Any) -> Learner:
        """A learner that has learned nothing."""
        return Learner(self.model(), methods, self.scenario, optimizer=self.optimizer, batch_size=8, seed=seed, **training)

    def tasks(self, count: int = 2) -> list[Task]:
        """Tasks of the scenario."""
        return image_tasks(count, self.scenario, unit=self.unit_inputs)


ROWS: tuple[tuple[str, str, OptimizerFactory, Scenario], ...] = (
    ("mlp", "sgd", SGD, "task"),
    ("mlp", "momentum", MOMENTUM, "domain"),
    ("mlp", "adam", ADAM, "class"),
    ("convnet", "sgd", SGD, "domain"),
    ("convnet", "momentum", MOMENTUM, "class"),
    ("convnet", "adam", ADAM, "task"),
)
SETTINGS = {f"{network}-{name}-{scenario}": Setting(network, optimizer, scenario) for network, name, optimizer, scenario in ROWS}
