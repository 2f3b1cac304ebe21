"""Small data for the conformance suite: Gaussian blobs as images and as vectors, and data that must not be touched."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lifelong.tasks import Scenario, Task


def blobs(generator: torch.Generator, means: Tensor, size: int, noise: float) -> tuple[Tensor, Tensor]:
    """`size` examples of classes in turn, around their means."""
    y = torch.arange(size) % len(means)
    return means[y] + noise * torch.randn(size, *means.shape[1:], generator=generator), y


def image_tasks(count: int, scenario: Scenario, size: int = 36, seed: int = 0) -> list[Task]:
    """Images (1, 8, 8) of three classes, which have names of their own in every task in the scenario "class"."""
    tasks = []
    for t in range(count):
        generator = torch.Generator().manual_seed(100 * seed + t)
        means = torch.randn(3, 1, 8, 8, generator=generator)
        names = [f"{t}{letter}" if scenario == "class" else letter for letter in "abc"]
        train, test = blobs(generator, means, size, 0.5), blobs(generator, means, 12, 0.5)
        tasks.append(Task(f"task {t}", train, test, classes=names))
    return tasks


def vector_tasks(count: int, seed: int, size: int = 300, classes: int = 4) -> list[Task]:
    """Vectors (12,) of the same classes in every task, whose means are elsewhere in every task: fine-tuning forgets where they were."""
    tasks = []
    for t in range(count):
        generator = torch.Generator().manual_seed(1000 * (seed + 1) + t)
        means = torch.randn(classes, 12, generator=generator)
        train, test = blobs(generator, means, size, 0.3), blobs(generator, means, 200, 0.3)
        tasks.append(Task(f"task {t}", train, test, classes=range(classes)))
    return tasks


class Sealed(Dataset[tuple[Any, Any]]):
    """Examples whose inputs may be read only while they are open, and labels that are known."""

    def __init__(self, x: Tensor, labels: list[Any]) -> None:
        self.x, self.targets, self.open, self.read = x, labels, "", False

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        if not self.open:
            raise AssertionError("data were read outside their turn")
        self.read = True
        return self.x[i], self.targets[i]
