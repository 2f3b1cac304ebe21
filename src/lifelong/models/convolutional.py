"""A small convolutional network with batch normalisation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lifelong.models.drawing import own_weights


class ConvNet(nn.Module):
    """Blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling, then the mean over the image: images to features.

    Args:
        channels: of the input images, shape (N, channels, height, width).
        maps: feature maps of each block; the last one is the width of the features.
        seed: of the initial weights, drawn as torch's Conv2d draws them.

    >>> ConvNet(1, [8, 16])(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 16])
    """

    def __init__(self, channels: int = 1, maps: Sequence[int] = (16, 32), *, seed: int = 0) -> None:
        super().__init__()
        self.channels, self.maps, self.seed = channels, list(maps), seed
        with own_weights(self, seed):
            blocks: list[nn.Module] = []
            for before, after in zip([channels, *maps], maps, strict=False):
                convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
                blocks += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
            self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.blocks(x)
        return torch.mean(features, dim=(2, 3))
