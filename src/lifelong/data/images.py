"""Photographs in classes, read from a folder of image files. Needs Pillow: pip install 'lifelong[images]'."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifelong.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """A data set of images in named classes.

    Attributes:
        name: its name and number of training examples, as in "cifar100 (50000)"; results name the data with it.
        classes: their names; labels are positions in it.
        train_x, test_x: images, uint8, shape (N, channels, height, width).
        train_y, test_y: their classes, int64, shape (N,).
    """

    name: str
    classes: tuple[str, ...]
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def load(folder: Path | str) -> Images:
    """The images in a folder with train/CLASS/NAME.png and test/CLASS/NAME.png, as red, green and blue.

    Files ending in .bmp, .jpeg, .jpg, .png, .ppm or .webp are read, ordered by name; others, and what begins with a dot, are left alone.

    Args:
        folder: has the folders train and test, and both have the same folders, one a class. The classes are their names, sorted.

    Raises:
        DataError: Pillow is not installed, a folder is missing or has no image, images of different sizes, a damaged image.
    """
    folder = Path(folder)
    classes, others = (_folders(folder / part) for part in ("train", "test"))
    if classes != others:
        odd = ", ".join(sorted(set(classes) ^ set(others)))
        raise DataError(f"{folder}: train and test must have the same classes, but only one of them has {odd}")
    train_x, train_y = _part(folder / "train", classes)
    test_x, test_y = _part(folder / "test", classes)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(f"{folder}: images of {_size(train_x)} pixels in train, but of {_size(test_x)} in test; make them alike")
    return Images(f"{folder.resolve().name} ({len(train_y)})", classes, train_x, train_y, test_x, test_y)


def _folders(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected train/CLASS/NAME.png and test/CLASS/NAME.png")
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if not names:
        raise DataError(f"{folder} has no folders; expected one for each class, with its images")
    return names


def _part(folder: Path, classes: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        paths = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
        if not paths:
            raise DataError(f"{folder / name} has no images; expected files that end in {', '.join(SUFFIXES)}")
        for path in paths:
            images.append(_read(path))
            if images[-1].shape != images[0].shape:
                sizes = f"{_size(images[-1])} pixels, but the first image in {folder} has {_size(images[0])}"
                raise DataError(f"{path}: {sizes}; make all images one size")
        labels += [label] * len(paths)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def _read(path: Path) -> NDArray[np.uint8]:
    """An image, shape (3, height, width)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("reading image files needs Pillow, which is not installed: pip install 'lifelong[images]'") from error
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damaged files
        raise DataError(f"{path} can't be read as an image: {error}") from error


def _size(images: Tensor | NDArray[np.uint8]) -> str:
    height, width = images.shape[-2:]
    return f"{height}x{width}"
