"""Checks of what a method gains. Docstrings and arguments are as in `exactness`."""

import functools
from pathlib import Path

from torch import nn

from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.models import MLP
from lifelong.models.drawing import draw_like_torch
from lifelong.tasks import Scenario
from lifelong.testing.cases import Case, Setting
from lifelong.testing.comparing import learned
from lifelong.testing.data import vector_tasks
from lifelong.testing.requiring import require


def toy_accuracy(seed: int, scenario: Scenario, unit: bool, *methods: Method) -> float:
    """Accuracy after five tasks that fine-tuning learns and forgets."""
    tasks = vector_tasks(5, seed, scenario=scenario, unit=unit)
    learner = Learner(MLP(12, [64, 64], seed=seed), methods, scenario, epochs=6, batch_size=16, seed=seed)
    return learned(learner, tasks).evaluate(tasks).accuracy


finetuning_on_toy = functools.cache(toy_accuracy)


def beats_finetuning(case: Case, setting: Setting, path: Path) -> None:
    """After five small tasks that fine-tuning learns and forgets, its accuracy is higher by the margin, with three seeds.

    Give `arguments` at which it works on a small problem (four classes, vectors of 12 numbers, 300 examples and 114 steps a task), or a
    smaller margin. A method that need not beat fine-tuning has none.
    """
    require(case.margin is not None, "it has no margin")
    scenario = case.scenario()
    for seed in range(3):
        gained = toy_accuracy(seed, scenario, case.unit_inputs, case.make()) - finetuning_on_toy(seed, scenario, case.unit_inputs)
        require(gained >= (case.margin or 0.0), f"accuracy is {gained:+.3f} from fine-tuning's with seed {seed}; margin {case.margin}")


def is_rigid_at_a_huge_strength(case: Case, setting: Setting, path: Path) -> None:
    """At a strength of 1e12 the first task stays as it is, and a second one can't be learned.

    A penalty in the loss diverges at a large strength: solve its part of the step exactly, as EWC does. Where strength is not what holds
    an earlier task, give rigid=False.
    """
    first, second = vector_tasks(2, 0, unit=case.unit_inputs)
    # Tanh: a ReLU unit that is dead on all of the first task leaves weights of importance 0, which no strength holds.
    model = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
    draw_like_torch(model, 0)
    learner = Learner(model, [case.make(strength=1e12)], "domain", optimizer=setting.optimizer, epochs=4, batch_size=16)
    matrix = learned(learner, [first, second]).evaluate([first, second])
    require(bool(learner.theta.value.isfinite().all()), "the weights are not finite")
    before, after, new = matrix.values[1, 0], matrix.values[2, 0], matrix.values[2, 1]
    require(before > 0.9, f"the first task is not learned: accuracy {before:.3f}")
    require(abs(after - before) <= 0.01, f"accuracy on the first task goes from {before:.3f} to {after:.3f}")
    require(new < 0.5, f"the second task is learned all the same: accuracy {new:.3f}")
