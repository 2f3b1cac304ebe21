"""Pure functions from a batch of images to what the network gets; applied lazily, so that tasks share one set of images.

All take uint8 images (N, channels, height, width), never change them, and give float32 of the same shape; in [0, 1], but for Normalise.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Interpolation = Literal["nearest", "bilinear"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Pixels 0 to 255 become 0 to 1; no mean is subtracted.

    >>> Scale()(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)).flatten().tolist()
    [0.0, 0.20000000298023224, 1.0]
    """

    def __call__(self, x: Tensor) -> Tensor:
        return x.to(torch.float32, copy=True).div_(255)


@dataclass(frozen=True, slots=True)
class Normalise:
    """Scales, then subtracts a mean and divides by a standard deviation.

    Args:
        mean, deviation: one number a channel, where a pixel is 0 to 1.

    >>> Normalise((0.5,), (0.25,))(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)).flatten().tolist()
    [-2.0, 2.0]
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        mean, deviation = (torch.tensor(each, device=x.device).view(-1, 1, 1) for each in (self.mean, self.deviation))
        return Scale()(x).sub_(mean).div_(deviation)


@dataclass(frozen=True, slots=True, eq=False)
class Permute:
    """Scales, then puts the pixel at order[i] in place i.

    Args:
        order: a permutation of the pixels' places in the flattened image, int64, shape (channels * height * width,).

    >>> Permute(torch.tensor([2, 0, 1]))(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)).flatten().tolist()
    [1.0, 0.0, 0.20000000298023224]
    """

    order: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        # Scaled before it is permuted: torch moves four-byte values faster than single bytes, by more than they cost to read.
        return Scale()(x).flatten(1).index_select(1, self.order).view(x.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Rotate:
    """Scales, then rotates counter-clockwise about the centre; what comes from outside the image is 0.

    Args:
        places: for each pixel of the result, the K pixels of the image that it is made from, int64, shape (K, height * width).
        weights: their weights, float32, the same shape; 0 where a place lies outside the image.
    """

    places: Tensor
    weights: Tensor

    @classmethod
    def by(cls, degrees: float, height: int, width: int, interpolation: Interpolation = "nearest") -> "Rotate":
        """The rotation by an angle.

        Args:
            degrees: the angle, counter-clockwise.
            height, width: of the images, in pixels.
            interpolation: "nearest" takes the pixel that the centre of the rotated pixel falls on, as PIL's `Image.rotate`
                does by default; "bilinear" the mean of the four around it, weighted by nearness.
        """
        angle = math.radians(degrees)
        down, right = torch.meshgrid(_centres(height), _centres(width), indexing="ij")
        # Where each pixel of the result comes from, in pixels from the image's upper left corner.
        y = math.sin(angle) * right + math.cos(angle) * down + height / 2
        x = math.cos(angle) * right - math.sin(angle) * down + width / 2
        if interpolation == "nearest":
            sources = [(y.floor(), x.floor(), torch.ones_like(x))]
        else:
            top, left = (y - 0.5).floor(), (x - 0.5).floor()
            below, beside = y - 0.5 - top, x - 0.5 - left
            sources = [
                (top, left, (1 - below) * (1 - beside)),
                (top, left + 1, (1 - below) * beside),
                (top + 1, left, below * (1 - beside)),
                (top + 1, left + 1, below * beside),
            ]
        rows, columns, weights = (torch.stack(values).flatten(1) for values in zip(*sources, strict=True))
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        places = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).long()
        return cls(places, (weights * inside).float())

    def __call__(self, x: Tensor) -> Tensor:
        flat = Scale()(x).flatten(0, 1).flatten(1)
        result = flat.index_select(1, self.places[0]).mul_(self.weights[0])
        for places, weights in zip(self.places[1:], self.weights[1:], strict=True):
            result.addcmul_(flat.index_select(1, places), weights)
        return result.view(x.shape)


def _centres(size: int) -> Tensor:
    """The pixels' centres along one side, measured from the image's centre; float64, so that no angle rounds to a neighbour."""
    return torch.arange(size, dtype=torch.float64) + 0.5 - size / 2
