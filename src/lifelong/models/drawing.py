"""Initial weights from a generator of their own, so that building a model leaves torch's global random state alone."""

import torch
from torch import nn


@torch.no_grad()
def draw_like_torch(module: nn.Module, seed: int) -> None:
    """Draws every Linear's and Conv2d's weights and biases as torch does by default: uniform in +-1/sqrt(fan-in)."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)
