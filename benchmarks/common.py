"""The digits that benchmarks train on."""

import torch
from torch import Tensor

from lifelong.data.mnist import load


def digits(count: int) -> tuple[Tensor, Tensor]:
    """float32 images (N, 1, 28, 28) and labels; the embedded digits, over again where there are not so many."""
    mnist = load("embedded")
    chosen = torch.arange(count) % len(mnist.train_y)
    return mnist.train_x[chosen].float() / 255, mnist.train_y[chosen]
