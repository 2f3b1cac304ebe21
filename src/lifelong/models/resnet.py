"""The residual network that the papers train on CIFAR-100: ResNet-18 with fewer feature maps."""

import torch
from torch import Tensor, nn

from lifelong.models.drawing import own_weights


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the block's input.

    Args:
        before, after: feature maps of the input and of the output.
        stride: of the first convolution. Where it or the number of maps changes the shape, a 1x1 convolution with batch norm
            brings the input to it.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after))
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class ReducedResNet18(nn.Module):
    """ResNet-18 for small images: a 3x3 convolution, four stages of two blocks, then the mean over the image: images to features.

    Each stage has twice the feature maps of the one before, and all but the first halve height and width. With the default width and a
    head of 100 classes it is the network of GEM (Lopez-Paz & Ranzato 2017) with 1,109,240 parameters, and of A-GEM and others after it.
    Residual networks: He et al. 2016.

    Args:
        channels: of the input images, shape (N, channels, height, width).
        width: feature maps of the first stage; the features are 8 times as many.
        seed: of the initial weights, drawn as torch's Conv2d draws them.

    >>> ReducedResNet18()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 160])
    """

    def __init__(self, channels: int = 3, width: int = 20, *, seed: int = 0) -> None:
        super().__init__()
        self.channels, self.width, self.seed = channels, width, seed
        with own_weights(self, seed):
            self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            blocks, before = [], width
            for after, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
                blocks += [Block(before, after, stride), Block(after, after, 1)]
                before = after
            self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        # A pixel's channels side by side in memory ("channels last"), which all layers keep: a step takes a sixth to a third less time.
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        features: Tensor = self.blocks(self.stem(x))
        return torch.mean(features, dim=(2, 3))
