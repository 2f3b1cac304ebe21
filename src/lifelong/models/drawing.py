"""Initial weights from a generator of their own, so that building a model leaves torch's global random state alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

Initial = Literal["torch", "xavier"]


@contextmanager
def own_weights(module: nn.Module, seed: int, initial: Initial = "torch") -> Iterator[None]:
    """Inside it, layers are added to the module; at its end their weights are drawn from the seed."""
    with torch.random.fork_rng(devices=[]):  # torch's layers draw as they are made
        yield
    (draw_like_torch if initial == "torch" else draw_xavier)(module, seed)


@torch.no_grad()
def draw_like_torch(module: nn.Module, seed: int) -> None:
    """Draws every Linear's and convolution's weights and biases as torch does by default: uniform in +-1/sqrt(fan-in)."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            bound = layer.weight[0].numel() ** -0.5
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def draw_xavier(module: nn.Module, seed: int) -> None:
    """Draws every Linear's weights as Glorot & Bengio 2010, uniform in +-sqrt(6 / (fan-in + fan-out)), and sets biases to 0."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def blank_linear(width: int, rows: int, dtype: torch.dtype) -> nn.Linear:
    """A Linear layer whose weights are still to be set."""
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(width, rows, dtype=dtype)
