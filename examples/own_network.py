"""Your own network: any torch module from inputs to feature vectors. The learner adds the head, and grows it as classes come."""

import functools

import torch
from torch import Tensor, nn

import lifelong as ll


class Net(nn.Module):
    """Two convolutions with batch norm: an image (1, 28, 28) to 392 features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.body(x), 1)


def main() -> None:
    torch.manual_seed(0)  # of the network's first weights: they are yours, the learner takes them as they are
    stream = ll.streams.split_mnist(scenario="class")[:3]  # digits 0 and 1, then 2 and 3, then 4 and 5
    for name, methods in {"fine-tuning": [], "replay": [ll.methods.Replay(capacity=500)]}.items():
        learner = ll.Learner(Net(), methods, stream.scenario, optimizer=functools.partial(torch.optim.Adam, lr=3e-3))
        for task in stream:
            learner.learn(task)
        matrix = learner.evaluate(stream)
        print(f"{name}: {100 * matrix.accuracy:.0f} % of all six digits, {learner.parameters_count()} parameters")
    print(f"outputs: {learner.classes}")


if __name__ == "__main__":
    main()
