"""Learners that learn, die and are opened, compared bit for bit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from lifelong.learner import Learner
from lifelong.method import Method
from lifelong.tasks import Task
from lifelong.testing.cases import Setting
from lifelong.testing.requiring import ConformanceError, require

IN_WORDS = {
    "network": "the network",
    "trained": "the trained parameters",
    "dormant": "heads that are not trained",
    "optimizer": "the optimizer's state",
    "matrix": "the accuracies",
    "order": "the order of examples",
}


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


def require_same(one: dict[str, Tensor], other: dict[str, Tensor], what: str) -> None:
    """Raises ConformanceError unless both are the same bit for bit; `what` says which two they are."""
    names = list(dict.fromkeys(_in_words(name) for name in differing(one, other)))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    require(not names, f"{what} differ in {', '.join(names[:3])}{more}")


def _in_words(name: str) -> str:
    part, _, rest = name.partition("/")
    return f"{part}'s {rest!r}" if part.startswith("method") else IN_WORDS.get(part, name)


def learned(learner: Learner, tasks: Sequence[Task]) -> Learner:
    """The learner, after it learned the tasks."""
    for task in tasks:
        learner.learn(task)
    return learner


def opened(path: Path, setting: Setting, *methods: Method) -> Learner:
    """A learner as another process opens it."""
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
    raise ConformanceError(f"task {task.name!r} was learned before checkpoint {number}")
