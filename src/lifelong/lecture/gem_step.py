"""One step of GEM, watched: the gradient of the batch, the memory's, and what GEM makes of them.

Unlike the rest of the lecture it imports torch: import it inside.
"""

import math
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from lifelong.learner import Learner
from lifelong.lecture.section import Json
from lifelong.memory import Memory
from lifelong.method import Method
from lifelong.methods import GEM
from lifelong.models import MLP
from lifelong.streams import rotated_mnist
from lifelong.tasks import Batch

RATE = 0.1
FIRST, SECOND = 0, 3  # positions of two rotations that are far apart


class StepWatch(Method):
    """Watches the steps of a `GEM` before it in the list while there is one earlier task, and changes nothing.

    Args:
        rate: the step's length in units of the gradient, for the losses after it.

    Attributes:
        seen: for every step the inner products "gg", "bb", "pp", "gb" and "pb" of the batch's gradient g, the memory's gradient b and the
            projected gradient p; and the loss on the memory "before" the step, after one along g ("plain") and along p ("projected").
    """

    def __init__(self, *, rate: float = RATE) -> None:
        super().__init__()
        self.rate = rate
        self.seen: list[dict[str, float]] = []

    def edit_gradient(self, learner: Learner, batch: Batch) -> None:
        gem = next(method for method in learner.methods if isinstance(method, GEM))
        if len(gem.memories) != 1:
            return
        memory = _whole(gem)
        vectors = {"g": learner.gradient(batch), "b": learner.gradient(memory), "p": learner.theta.gradient}
        products = {pair: vectors[pair[0]].double() @ vectors[pair[1]].double() for pair in ("gg", "bb", "pp", "gb", "pb")}
        theta, losses = learner.theta.value, {}
        here = theta.clone()
        for name, direction in (("before", torch.zeros_like(here)), ("plain", vectors["g"]), ("projected", vectors["p"])):
            theta.copy_(here - self.rate * direction)
            losses[name] = cross_entropy(learner.network(memory.x, memory.head), memory.y)
        theta.copy_(here)
        self.seen.append({name: float(value) for name, value in {**products, **losses}.items()})


def watched(full: bool) -> Json:
    """Learns two rotations with GEM; of the second one's steps the one whose two gradients disagree most.

    Returns:
        "tasks" (names), "examples" (in the memory), "steps", "conflicts" (how many steps had a negative inner product), "number" (of the
        step, from 1), and what `StepWatch` saw of it.
    """
    stream = rotated_mnist(tasks=5, data="mnist" if full else "embedded", examples=1000)
    tasks = [task for position, task in enumerate(stream) if position in (FIRST, SECOND)]
    gem = GEM(examples_per_task=100, margin=0.0, ridge=0.0)
    learner = Learner(
        MLP(784, [100, 100]), [gem, StepWatch()], stream.scenario, optimizer=partial(torch.optim.SGD, lr=RATE), epochs=1, batch_size=10
    )
    for task in tasks:
        learner.learn(task, evaluate=False)
    watch = learner.methods[1]
    assert isinstance(watch, StepWatch)
    seen = watch.seen
    most = min(range(len(seen)), key=lambda step: cosine(seen[step]))
    return {
        "tasks": [task.name for task in tasks],
        "examples": gem.examples_per_task,
        "steps": len(seen),
        "conflicts": sum(each["gb"] < 0 for each in seen),
        "number": most + 1,
        **seen[most],
    }


def cosine(products: Json) -> float:
    """Of the angle between g and b."""
    return float(products["gb"] / math.sqrt(products["gg"] * products["bb"]))


def _whole(gem: GEM) -> Batch:
    """All that the one memory holds."""
    memory = gem.memories[0]
    assert isinstance(memory, Memory)
    filled = memory.contents.filled
    return Batch(memory.x[:filled], memory.y[:filled], memory.contents.heads)
