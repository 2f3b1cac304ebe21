"""Small data for the conformance suite: Gaussian blobs as images and as vectors, and data that must not be touched."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lifelong.tasks import Name, Scenario, Task
from lifelong.testing.requiring import require


def blobs(generator: torch.Generator, means: Tensor, size: int, noise: float, unit: bool) -> tuple[Tensor, Tensor]:
    """`size` examples of classes in turn, around their means; with `unit`, squashed into [0, 1]."""
    y = torch.arange(size) % len(means)
    x = means[y] + noise * torch.randn(size, *means.shape[1:], generator=generator)
    return x.sigmoid() if unit else x, y


def image_tasks(count: int, scenario: Scenario, size: int = 36, seed: int = 0, unit: bool = False) -> list[Task]:
    """Images (1, 8, 8) of three classes, which have names of their own in every task in the scenario "class"."""
    tasks = []
    for t in range(count):
        generator = torch.Generator().manual_seed(100 * seed + t)
        means = torch.randn(3, 1, 8, 8, generator=generator)
        names = [f"{t}{letter}" if scenario == "class" else letter for letter in "abc"]
        train, test = blobs(generator, means, size, 0.5, unit), blobs(generator, means, 12, 0.5, unit)
        tasks.append(Task(f"task {t}", train, test, classes=names))
    return tasks


def vector_tasks(count: int, seed: int, *, size: int = 300, scenario: Scenario = "domain", unit: bool = False) -> list[Task]:
    """Vectors (12,) of four classes whose means are elsewhere in every task: fine-tuning forgets where they were."""
    tasks = []
    for t in range(count):
        generator = torch.Generator().manual_seed(1000 * (seed + 1) + t)
        means = torch.randn(4, 12, generator=generator)
        train, test = blobs(generator, means, size, 0.3, unit), blobs(generator, means, 200, 0.3, unit)
        names: list[Name] = [f"{t}.{c}" if scenario == "class" else c for c in range(4)]
        tasks.append(Task(f"task {t}", train, test, classes=names))
    return tasks


class Sealed(Dataset[tuple[Any, Any]]):
    """Examples whose inputs may be read only while they are open, and labels that are known."""

    def __init__(self, task: str, x: Tensor, labels: list[Any]) -> None:
        self.task, self.x, self.targets, self.open, self.read = task, x, labels, "", False

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        require(bool(self.open), f"inputs of {self.task!r} were read when its turn was over")
        self.read = True
        return self.x[i], self.targets[i]
