"""Small data sets in CIFAR-100's official form, and as folders of images, for the tests of what reads them."""

import itertools
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("apple", "aquarium_fish", "baby", "bear", "beaver", "bed")
TRAIN, TEST = 5, 2  # images a class


def python2(value: Any, places: Iterator[int] | None = None) -> bytes:
    """A value as Python 2's cPickle wrote it with protocol 2, the official files' form: strings of bytes, everything kept in the memo."""
    if places is None:
        return b"\x80\x02" + python2(value, itertools.count(1)) + b"."
    if isinstance(value, int):
        return b"K" + bytes([value]) if value < 256 else b"M" + value.to_bytes(2, "little")
    if isinstance(value, str | bytes):
        content = value.encode("latin-1") if isinstance(value, str) else value
        short = len(content) < 256
        return (b"U" if short else b"T") + len(content).to_bytes(1 if short else 4, "little") + content + _put(places)
    if isinstance(value, dict):
        return b"}" + _put(places) + b"(" + b"".join(python2(each, places) for pair in value.items() for each in pair) + b"u"
    if isinstance(value, list):
        return b"]" + _put(places) + b"(" + b"".join(python2(each, places) for each in value) + b"e"
    made = b"cnumpy.core.multiarray\n_reconstruct\n" + _put(places) + b"cnumpy\nndarray\n" + _put(places)
    made += b"K\x00\x85" + _put(places) + b"U\x01b" + _put(places) + b"\x87" + _put(places) + b"R" + _put(places)
    shape = b"".join(python2(side, places) for side in value.shape) + b"\x86" + _put(places)
    dtype = b"cnumpy\ndtype\n" + _put(places) + python2("u1", places) + b"K\x00K\x01\x87" + _put(places) + b"R" + _put(places)
    dtype += b"(K\x03U\x01|" + _put(places) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + _put(places) + b"b"
    return made + b"(K\x01" + shape + dtype + b"\x89" + python2(value.tobytes(), places) + b"t" + _put(places) + b"b"


def _put(places: Iterator[int]) -> bytes:
    place = next(places)
    return b"q" + bytes([place]) if place < 256 else b"r" + place.to_bytes(4, "little")


def pixels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def part(name: str, each: int, classes: Sequence[str] = CLASSES) -> dict[str, Any]:
    """An official file's table, the classes in turn."""
    count = each * len(classes)
    labels = list(range(len(classes))) * each
    return {
        "filenames": [f"{name}_{number}.png" for number in range(count)],
        "batch_label": f"{name} batch 1 of 1",
        "fine_labels": labels,
        "coarse_labels": [label // 2 for label in labels],
        "data": pixels(count, seed=each),
    }


def tables() -> dict[str, dict[str, Any]]:
    meta = {"fine_label_names": list(CLASSES), "coarse_label_names": ["food", "animals", "things"]}
    return {"train": part("train", TRAIN), "test": part("test", TEST), "meta": meta}


def official(folder: Path, **changed: dict[str, Any] | bytes) -> Path:
    """Writes cifar-100-python/train, test and meta into `folder`; other tables or bytes can be given for each."""
    target = folder / "cifar-100-python"
    target.mkdir(parents=True, exist_ok=True)
    for name, content in {**tables(), **changed}.items():
        (target / name).write_bytes(content if isinstance(content, bytes) else python2(content))
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Packs what `official` wrote into an archive; returns the archive's folder."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as members:
        members.add(folder / "cifar-100-python", "cifar-100-python")
    return archive.parent


def picture(path: Path, size: tuple[int, int] = (8, 6), seed: int = 0) -> NDArray[np.uint8]:
    """Writes an image file of size (width, height); returns its pixels, shape (height, width, 3)."""
    content = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(content).save(path)
    return content


def pictures(folder: Path, classes: Sequence[str] = ("cat", "dog")) -> Path:
    """Writes three images of each class for training, and two for testing."""
    for name, numbers in (("train", range(3)), ("test", range(3, 5))):
        for label, kind in enumerate(classes):
            for number in numbers:
                picture(folder / name / kind / f"{number}.png", seed=10 * label + number)
    return folder
