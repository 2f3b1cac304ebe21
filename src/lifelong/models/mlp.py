"""A multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lifelong.models.drawing import own_weights


class MLP(nn.Module):
    """Fully connected layers with ReLU: inputs to features; the learner adds the head.

    Args:
        inputs: number of input values; inputs (N, ...) are flattened to (N, inputs).
        hidden: widths of the hidden layers; the last one is the width of the features.
        seed: of the initial weights, drawn as torch's Linear draws them.

    >>> MLP(784, [100, 50])(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 50])
    """

    def __init__(self, inputs: int, hidden: Sequence[int] = (100, 100), *, seed: int = 0) -> None:
        super().__init__()
        self.inputs, self.hidden, self.seed = inputs, list(hidden), seed
        with own_weights(self, seed):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([inputs, *hidden]))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x
