"""Small tasks and learners for the tests of saving, and what a folder holds, to compare."""

import functools
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

import lifelong as ll
from lifelong.tasks import Scenario, Task

ADAM = functools.partial(torch.optim.Adam, lr=0.01, betas=(0.8, 0.99))
EXAMPLES = 20


class Halt(Exception):
    """Stands for the end of the process."""


def tasks(scenario: Scenario, count: int = 3, shape: tuple[int, ...] = (4,)) -> list[Task]:
    """Tasks of two classes each, named by strings and by integers in turn."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for n in range(count):
        names = ["yes", "nö"] if scenario == "domain" else [[f"a{n}", f"b{n}"], [2 * n, 2 * n + 1]][n % 2]
        sets = []
        for size in (EXAMPLES, 6):
            x = torch.randn(size, *shape, generator=generator)
            labels = [names[int(value > 0)] for value in x.flatten(1)[:, n % 4]]
            sets.append((x, labels))
        made.append(Task(f"task {n}", *sets, classes=names))
    return made


def own_network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 5))


def mlp() -> nn.Module:
    return ll.models.MLP(4, [6, 5], seed=3)


def content(folder: Path) -> dict[str, Any]:
    """Everything that a saved learner consists of, except the seconds that it took."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    sets = {name: (folder / entry["file"]).read_bytes() for name, entry in manifest["files"].items()}
    steps = manifest.pop("cost")["steps"]
    return {**manifest, "sha256": None, "steps": steps, "sets": sets}


def halted(learner: ll.Learner, task: Task, folder: Path, saves: int) -> None:
    """Learns a task with a checkpoint after every step, up to a number of checkpoints."""
    left, save = saves, learner.save

    def counted(path: str | Path) -> None:
        nonlocal left
        save(path)
        left -= 1
        if left == 0:
            raise Halt

    learner.save = counted  # type: ignore[method-assign]
    try:
        learner.learn(task, checkpoint=folder, checkpoint_every=0)
    except Halt:
        return
    raise AssertionError(f"the task was learned with fewer than {saves} checkpoints")
