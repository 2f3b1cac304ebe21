"""The MNIST family: four IDX files of 28x28 images in 10 classes, read into tensors."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lifelong.data import idx
from lifelong.data.sources import SOURCES, missing, place
from lifelong.errors import DataError

SIDE = 28
CLASSES = 10
FILES = tuple(SOURCES["mnist"].files)
NAMES = ("embedded", "mnist", "fashion-mnist", "kmnist")


@dataclass(frozen=True, slots=True, eq=False)
class Mnist:
    """A data set of the MNIST family.

    Attributes:
        name: its name and number of training examples, as in "mnist (60000)"; results name the data with it.
        train_x, test_x: images, uint8, shape (N, 1, 28, 28), 0 is the background.
        train_y, test_y: their classes, int64 from 0 to 9, shape (N,).
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def load(data: str = "embedded") -> Mnist:
    """The data set called `data`, or the one in the folder `data`.

    Args:
        data: "embedded" (4,000 + 1,000 MNIST digits that come with lifelong), "mnist", "fashion-mnist" or "kmnist" (60,000 + 10,000;
            from $LIFELONG_DATA/NAME, else from the user's cache, else downloaded), or the path of a folder with the four files
            train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, plain or .gz.

    Raises:
        DataError: unknown name, files missing, damaged, or of other shapes.

    >>> digits = load("embedded")
    >>> digits.name, tuple(digits.train_x.shape), digits.test_y.bincount().tolist()
    ('embedded mnist (4000)', (4000, 1, 28, 28), [100, 100, 100, 100, 100, 100, 100, 100, 100, 100])
    """
    folder, name = place(data, NAMES)
    return _read(folder, "embedded mnist" if data == "embedded" else name)


def _read(folder: Path, name: str) -> Mnist:
    absent = missing(folder, FILES)
    if absent:
        raise DataError(f"{folder}: no {', '.join(absent)}; expected the four files {', '.join(FILES)}, or the same without .gz")
    train_x, train_y = _part(folder, "train")
    test_x, test_y = _part(folder, "t10k")
    return Mnist(f"{name} ({len(train_y)})", train_x, train_y, test_x, test_y)


def _part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    images, labels = _file(folder, f"{part}-images-idx3-ubyte"), _file(folder, f"{part}-labels-idx1-ubyte")
    x, y = torch.from_numpy(idx.read(images, 3)), torch.from_numpy(idx.read(labels, 1)).long()
    if x.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{images}: images of {x.shape[1]}x{x.shape[2]} pixels, expected {SIDE}x{SIDE}")
    if len(x) != len(y):
        raise DataError(f"{images} has {len(x)} images, but {labels} has {len(y)} labels; the files don't belong together")
    if len(y) and int(y.max()) >= CLASSES:
        raise DataError(f"{labels}: label {int(y.max())}, expected 0 to {CLASSES - 1}")
    return x.unsqueeze(1), y


def _file(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"
