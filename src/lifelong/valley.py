"""A network of two parameters and two tasks: error surfaces that leave nothing of parameter space out of the picture.

Hung-yi Lee's lecture "Life Long Learning" explains elastic weight consolidation by such a picture. The network here is logistic regression
without a bias, p(second class | x) = sigmoid(theta_1 x_1 + theta_2 x_2), and its labels are drawn from such a model, so that some are
noise and the best theta is finite. In the first task x_1 hardly varies: theta_1 hardly matters, and low error is a long valley along it.
In the second task x_1 + x_2 varies and x_1 - x_2 hardly does: its low-error region crosses that valley, though not where SGD gets into it.

The learner adds a head to any model. Here the model gives one feature, z, and `FixedHead` freezes the head to the scores -z/2 and z/2:
their softmax is the sigmoid, the loss stays cross-entropy, theta has two entries, and everything is learned by the learner and its methods
as any other network is.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lifelong.landscape import Landscape, Sweep
from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.methods.ewc import EWC
from lifelong.methods.l2 import L2
from lifelong.quadratic import QuadraticPenalty
from lifelong.recorder import Recorder
from lifelong.surface import Plane, landscape, plane_through, sweep
from lifelong.tasks import Task

START = (-0.9, 2.9)  # theta^0
EXAMPLES = 400  # of each task
SGD = functools.partial(torch.optim.SGD, lr=0.2)
STEPS, BATCH = 400, 100
SHOWN = ((-1.45, 4.55), (-0.65, 3.55))  # theta_1 and theta_2
MARGIN = 0.03  # how much above its lowest a task's loss may be to count as low
GOOD, INFINITE = 1.0, 1e9  # strengths of EWC
MIDDLE = 0.16  # the strength of L2 at which it does the two tasks about equally ill
STRENGTHS = tuple(10.0 ** (power / 3) for power in range(-9, 10))  # 0.001 to 1000, three a decade


class FixedHead(Method):
    """Freezes the head of one feature z to the scores -z/2 and z/2, so that the features' parameters are all that is trained.

    Keeps: nothing.
    """

    def begin_task(self, learner: Learner, task: Task) -> None:
        head = cast(nn.Linear, learner.heads.layers[0])
        with torch.no_grad():
            head.weight.copy_(torch.tensor([[-0.5], [0.5]]))
            head.bias.zero_()
        head.requires_grad_(False)


def network() -> nn.Linear:
    """The network of two parameters, at theta^0: from inputs (N, 2) to z (N, 1)."""
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([START]))
    return model


def tasks(examples: int = EXAMPLES) -> list[Task]:
    """The two tasks, without test sets: error surfaces are those of the training loss."""
    half = 0.5**0.5
    turned = torch.tensor([[half, half], [-half, half]])
    return [
        Task("task 1", _drawn(examples, 0, torch.tensor([[0.15, 0.0], [0.0, 3.0]]), (1.5, 0.5)), classes=[0, 1]),
        Task("task 2", _drawn(examples, 1, torch.tensor([[2.0], [0.4]]) * turned, (2.5, 1.5)), classes=[0, 1]),
    ]


def _drawn(examples: int, seed: int, spread: Tensor, best: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Inputs (N, 2), normal with the rows of `spread` as half axes, and labels drawn from the model with theta `best`."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, 2, generator=generator) @ spread
    drawn = torch.rand(examples, generator=generator)
    return x, (drawn < (x @ torch.tensor(best)).sigmoid()).long()


def learned(*methods: Method, until: int = 2, every: int = 2) -> Learner:
    """A learner that has learned the tasks, with a `Recorder` for its path.

    Args:
        methods: none is fine-tuning: plain SGD.
        until: how many of the two tasks it learns.
        every: steps between two points of the path.
    """
    learner = Learner(network(), [FixedHead(), *methods, Recorder(every=every)], "domain", optimizer=SGD, steps=STEPS, batch_size=BATCH)
    for task in tasks()[:until]:
        learner.learn(task, evaluate=False)
    return learner


def importance() -> tuple[float, float]:
    """EWC's b_1 and b_2: the Fisher information of theta_1 and theta_2 after the first task."""
    penalty = EWC()
    learner = learned(penalty, until=1)
    across, up = next(method.importance for method in learner.methods if isinstance(method, EWC)).tolist()
    return across, up


def whole() -> Plane:
    """All of parameter space: theta_1 across, theta_2 up."""
    return plane_through(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))


def compared(methods: Mapping[str, Sequence[Method]], sweeps: Sequence[Sweep] = ()) -> Landscape:
    """Both tasks' error surfaces with the paths of learners with these methods, by name."""
    learners = {name: learned(*each) for name, each in methods.items()}
    any_one = next(iter(learners.values()))
    paths = {name: Recorder.of(learner).path(1) for name, learner in learners.items()}
    return landscape(any_one, tasks(), whole(), SHOWN, paths, first=Recorder.of(any_one).path(0), margin=MARGIN, steps=61, sweeps=sweeps)


def lecture() -> Landscape:
    """The lecture's picture: SGD, L2 and EWC go from theta^b to the second task."""
    return compared({"SGD": [], "L2": [L2(strength=MIDDLE)], "EWC": [EWC(strength=GOOD)]})


def strengths() -> Landscape:
    """EWC that guards nothing (it forgets), as much as matters, and everything (it learns nothing more)."""
    return compared({"b = 0": [EWC(strength=0.0)], "b = F": [EWC(strength=GOOD)], "b = ∞": [EWC(strength=INFINITE)]})


def all_strengths() -> Landscape:
    """Where L2 and EWC end at every one of STRENGTHS."""
    return compared({"SGD": []}, [ends("L2", lambda strength: L2(strength=strength)), ends("EWC", lambda strength: EWC(strength=strength))])


def ends(name: str, method: Callable[[float], QuadraticPenalty], chosen: Sequence[float] = STRENGTHS) -> Sweep:
    """Where a method ends at each of some strengths."""
    learners = {strength: learned(method(strength), every=STEPS) for strength in chosen}
    last = {strength: Recorder.of(learner).path(1)[-1] for strength, learner in learners.items()}
    return sweep(name, last, whole(), next(iter(learners.values())), tasks())
