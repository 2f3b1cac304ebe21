"""CIFAR-100: 32x32 photographs in 100 classes, from the official archive, from its unpacked files, or from a folder of images."""

import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from lifelong.data import images, pickled
from lifelong.data.images import Images
from lifelong.data.sources import SOURCES, place
from lifelong.errors import DataError

SIDE = 32
BLOCK = 1 << 20  # bytes read at once
UNPACKED = SOURCES["cifar100"].unpacked
(ARCHIVE,) = SOURCES["cifar100"].files
FOLDER = str(PurePosixPath(UNPACKED[0]).parent)
Named = tuple[pickled.Table, str]  # a table, and the path of its file for errors
PARTS = tuple(PurePosixPath(file).name for file in UNPACKED)


def load(data: str = "cifar100") -> Images:
    """CIFAR-100 with its 100 fine classes, or the images in a folder.

    Args:
        data: "cifar100" (50,000 + 10,000; from $LIFELONG_DATA/cifar100, else from the user's cache, else downloaded); or the path
            of a folder with the official archive cifar-100-python.tar.gz, with its unpacked folder or its unpacked files train,
            test and meta, or with image files as train/CLASS/NAME.png and test/CLASS/NAME.png. Nothing in a file is run: the
            archive's pickles are read by `lifelong.data.pickled`, which refuses all but tables and arrays of bytes.

    Raises:
        DataError: unknown name, files missing, damaged, or of another form.
    """
    folder, name = place(data, ("cifar100",))
    if (folder / "train").is_dir():
        return images.load(folder)
    train, test, meta = _tables(folder)
    classes = _classes(*meta)
    train_x, train_y = _examples(*train, len(classes))
    test_x, test_y = _examples(*test, len(classes))
    return Images(f"{name} ({len(train_y)})", classes, train_x, train_y, test_x, test_y)


def _tables(folder: Path) -> list[Named]:
    """What the official files train, test and meta say."""
    for unpacked in (folder / FOLDER, folder):
        paths = [unpacked / part for part in PARTS]
        if all(path.is_file() for path in paths):
            return [_table(path) for path in paths]
    for archive in (folder / ARCHIVE, folder / ARCHIVE.removesuffix(".gz")):
        if archive.is_file():
            return _archived(archive)
    files = f"{ARCHIVE}, the files {', '.join(UNPACKED)}"
    raise DataError(f"{folder}: expected {files}, or images as train/CLASS/NAME.png and test/CLASS/NAME.png")


def _table(path: Path) -> Named:
    with path.open("rb") as file:
        return pickled.read(file, path), str(path)


def _archived(archive: Path) -> list[Named]:
    found: dict[str, Named] = {}
    try:
        with tarfile.open(archive, "r:gz" if archive.suffix == ".gz" else "r:") as members:
            for member in members:
                file = members.extractfile(member) if member.isfile() and member.name in UNPACKED else None
                if file is not None:
                    path = f"{archive}, {member.name}"
                    found[member.name] = pickled.read(file, path), path
            while members.fileobj is not None and members.fileobj.read(BLOCK):
                pass  # to the very end, where gzip's checksum is
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: truncated or damaged ({error}); get the file again") from error
    absent = [name for name in UNPACKED if name not in found]
    if absent:
        raise DataError(f"{archive}: no {', '.join(absent)} in it; get the file again")
    return [found[name] for name in UNPACKED]


def _classes(table: pickled.Table, path: str) -> tuple[str, ...]:
    names = table.get("fine_label_names")
    if type(names) is not list or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: no list of names 'fine_label_names'; found {_found(table)}")
    return tuple(names)


def _examples(table: pickled.Table, path: str, classes: int) -> tuple[Tensor, Tensor]:
    pixels, labels = table.get("data"), table.get("fine_labels")
    if not isinstance(pixels, np.ndarray) or type(labels) is not list:
        raise DataError(f"{path}: no array 'data' with a list 'fine_labels'; found {_found(table)}")
    expected = (len(labels), 3 * SIDE * SIDE)
    if pixels.shape != expected:
        raise DataError(f"{path}: data of shape {pixels.shape}, expected {expected} for {len(labels)} labels")
    for label in labels:
        if type(label) is not int or not 0 <= label < classes:
            wrong = label if type(label) is int else f"of type {type(label).__name__}"
            raise DataError(f"{path}: label {wrong}, expected 0 to {classes - 1}")
    return torch.from_numpy(np.ascontiguousarray(pixels)).view(-1, 3, SIDE, SIDE), torch.tensor(labels)


def _found(table: pickled.Table) -> str:
    return ", ".join(f"{key[:40]!r} ({type(value).__name__})" for key, value in table.items()) or "nothing"
