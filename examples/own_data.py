"""Your own data: numpy arrays with class names, or a torch Dataset. New classes come month by month; predictions are names."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

import lifelong as ll

WEIGHT_AND_LENGTH = {"cat": (4.5, 0.46), "dog": (20.0, 0.8), "horse": (500.0, 2.4), "mouse": (0.02, 0.08), "whale": (30_000.0, 12.0)}


def animals(generator: np.random.Generator, names: list[str], each: int = 200) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logarithms of weight and length, and the names."""
    labels = np.repeat(np.array(names), each)
    typical = np.array([WEIGHT_AND_LENGTH[name] for name in labels])
    return np.log(typical) + 0.3 * generator.standard_normal(typical.shape), labels


class Files(Dataset[tuple[Any, str]]):
    """Stands for examples that are read from disk one by one. With `targets`, learning needs no extra pass for the labels."""

    def __init__(self, x: NDArray[Any], labels: NDArray[Any]) -> None:
        self.x, self.targets = x, labels.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, position: int) -> tuple[Any, str]:
        return self.x[position], self.targets[position]


def main() -> None:
    generator = np.random.default_rng(0)
    model = ll.models.MLP(2, [64, 64])
    learner = ll.Learner(model, [ll.methods.Replay(capacity=200)], scenario="class", epochs=80)
    may = ll.Task("may", train=animals(generator, ["cat", "dog"]), test=animals(generator, ["cat", "dog"], 50))
    june = ll.Task("june", train=Files(*animals(generator, ["horse", "mouse", "cat"])), test=animals(generator, ["horse", "mouse"], 50))
    july = ll.Task("july", train=animals(generator, ["whale"]), test=animals(generator, ["whale"], 50))
    for month in (may, june, july):
        learner.learn(month)
        print(f"after {month.name}: {', '.join(map(str, learner.classes))}")

    found = np.log(np.array([[0.02, 0.08], [20.0, 0.8], [500.0, 2.4]]))  # as float64, straight from numpy
    print("found:", ", ".join(learner.predict(found)))
    likeliest = learner.predict_proba(torch.tensor(found)).max(dim=1).values
    print(f"sure of the first: {likeliest[0]:.2f}")
    print(f"accuracy on all months: {learner.evaluate([may, june, july]).accuracy:.2f}")


if __name__ == "__main__":
    main()
