import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_files import picture, pictures
from lifelong.data import images
from lifelong.errors import DataError


def test_a_folder_a_class(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pets")
    (folder / "train" / "cat" / "notes.txt").write_text("left alone")
    (folder / "train" / "cat" / ".hidden.png").write_text("left alone")
    (folder / "train" / ".thumbnails").mkdir()
    found = images.load(folder)
    assert (found.name, found.classes) == ("pets (6)", ("cat", "dog"))
    assert (found.train_x.shape, found.test_x.shape) == ((6, 3, 6, 8), (4, 3, 6, 8))
    assert (found.train_x.dtype, found.train_y.dtype) == (torch.uint8, torch.int64)
    assert (found.train_y.tolist(), found.test_y.tolist()) == ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1])
    for x, path in ((found.train_x[4], "train/dog/1.png"), (found.test_x[0], "test/cat/3.png")):
        with Image.open(folder / path) as image:
            assert np.array_equal(x.permute(1, 2, 0).numpy(), np.asarray(image))


def test_other_formats_and_modes_become_red_green_and_blue(tmp_path: Path) -> None:
    pictures(tmp_path)
    grey = picture(tmp_path / "grey.png")[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "train" / "cat" / "9.PNG")
    Image.fromarray(np.dstack([np.full((6, 8, 3), 200, dtype=np.uint8), grey])).save(tmp_path / "train" / "dog" / "9.webp", lossless=True)
    Image.fromarray(np.full((6, 8, 3), 90, dtype=np.uint8)).save(tmp_path / "test" / "dog" / "9.jpeg")
    found = images.load(tmp_path)
    assert torch.equal(found.train_x[3], torch.from_numpy(grey.copy()).expand(3, 6, 8))
    assert found.train_x.shape == (8, 3, 6, 8)
    assert (found.test_x[-1].float() - 90).abs().max() <= 2


def test_what_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'train'} is no folder; expected train/CLASS/NAME.png and test/CLASS/NAME")):
        images.load(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'train'} has no folders; expected one for each class, with its images")):
        images.load(tmp_path)


def test_classes_of_one_part_only(tmp_path: Path) -> None:
    pictures(tmp_path)
    picture(tmp_path / "test" / "horse" / "1.png")
    picture(tmp_path / "train" / "cow" / "1.png")
    with pytest.raises(DataError, match=f"{tmp_path}: train and test must have the same classes, but only one of them has cow, horse$"):
        images.load(tmp_path)


def test_a_class_without_images(tmp_path: Path) -> None:
    pictures(tmp_path)
    for file in (tmp_path / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(
        DataError, match=rf"{tmp_path / 'test' / 'dog'} has no images; expected files that end in \.bmp, \.jpeg, \.jpg, \.png"
    ):
        images.load(tmp_path)


def test_images_of_different_sizes(tmp_path: Path) -> None:
    pictures(tmp_path)
    picture(tmp_path / "train" / "dog" / "2.png", size=(9, 7))
    message = f"{tmp_path}/train/dog/2.png: 7x9 pixels, but the first image in {tmp_path}/train has 6x8; make all images one size"
    with pytest.raises(DataError, match=re.escape(message)):
        images.load(tmp_path)
    for number in range(3):
        for kind in ("cat", "dog"):
            picture(tmp_path / "train" / kind / f"{number}.png", size=(9, 7))
    with pytest.raises(DataError, match=f"{tmp_path}: images of 7x9 pixels in train, but of 6x8 in test; make them alike"):
        images.load(tmp_path)


def test_damaged_images_are_named(tmp_path: Path) -> None:
    path = pictures(tmp_path) / "train" / "dog" / "1.png"
    content = path.read_bytes()
    for wrong in (b"", b"no image", content[: len(content) // 2], content[:40] + bytes(8) + content[48:]):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=f"{re.escape(str(path))} can't be read as an image: "):
            images.load(tmp_path)


def test_without_pillow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"reading image files needs Pillow, which is not installed: pip install 'lifelong\[images\]'"):
        images.load(tmp_path)
