"""A multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import torch
from torch import Tensor, nn

from lifelong.errors import nearest
from lifelong.models.drawing import Initial, own_weights


class MLP(nn.Module):
    """Fully connected layers with ReLU: inputs to features; the learner adds the head.

    Args:
        inputs: number of input values; inputs (N, ...) are flattened to (N, inputs).
        hidden: widths of the hidden layers; the last one is the width of the features.
        initial: how initial weights are drawn, and those of the learner's head with them: "torch", as torch's Linear draws them, uniform
            in +-1/sqrt(fan-in); "xavier", uniform in +-sqrt(6 / (fan-in + fan-out)) with biases 0.
        seed: of the initial weights.

    Raises:
        ValueError: an unknown word for `initial`.

    >>> MLP(784, [100, 50])(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 50])
    """

    def __init__(self, inputs: int, hidden: Sequence[int] = (100, 100), *, initial: Initial = "torch", seed: int = 0) -> None:
        super().__init__()
        if initial not in get_args(Initial):
            raise ValueError(f"initial is {initial!r}; {nearest(str(initial), get_args(Initial))}")
        self.inputs, self.hidden, self.initial, self.seed = inputs, list(hidden), initial, seed
        with own_weights(self, seed, initial):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([inputs, *hidden]))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x
