import importlib.util
import io
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_files import CLASSES, TRAIN, official, pack, part, pictures, pixels, python2, tables
from lifelong.data.cifar100 import load
from lifelong.errors import DataError

ROOT = Path(__file__).parents[2]
ARCHIVE = "cifar-100-python.tar.gz"


def check(folder: Path) -> None:
    images, expected = load(str(folder)), tables()
    assert images.name == f"{folder.name} ({TRAIN * len(CLASSES)})"
    assert images.classes == CLASSES
    for x, y, table in ((images.train_x, images.train_y, expected["train"]), (images.test_x, images.test_y, expected["test"])):
        assert (x.dtype, y.dtype) == (torch.uint8, torch.int64)
        assert torch.equal(x, torch.from_numpy(table["data"].reshape(-1, 3, 32, 32)))
        assert y.tolist() == table["fine_labels"]


def test_the_official_files_unpacked_or_not(tmp_path: Path) -> None:
    folder = official(tmp_path / "mine")
    check(folder)
    check(folder / "cifar-100-python")
    check(pack(folder, tmp_path / "packed" / ARCHIVE))
    with tarfile.open(tmp_path / "packed" / ARCHIVE) as members:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as plain:
            for member in members:
                plain.addfile(member, members.extractfile(member) if member.isfile() else None)
    (tmp_path / "packed" / ARCHIVE).unlink()
    (tmp_path / "packed" / "cifar-100-python.tar").write_bytes(content.getvalue())
    check(tmp_path / "packed")


def test_the_data_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path))
    pack(official(tmp_path / "elsewhere"), tmp_path / "cifar100" / ARCHIVE)
    assert load().name == "cifar100 (30)"
    with pytest.raises(DataError, match=r"'cifar10' is neither a known data set nor a folder; did you mean 'cifar100'\? Known: cifar100$"):
        load("cifar10")
    with pytest.raises(DataError, match="'mnist' is neither"):
        load("mnist")


def test_a_folder_of_images(tmp_path: Path) -> None:
    images = load(str(pictures(tmp_path / "pets")))
    assert (images.name, images.classes, tuple(images.train_x.shape)) == ("pets (6)", ("cat", "dog"), (6, 3, 6, 8))


def test_a_folder_without_any_of_it(tmp_path: Path) -> None:
    official(tmp_path)
    (tmp_path / "cifar-100-python" / "meta").unlink()
    files = "cifar-100-python/train, cifar-100-python/test, cifar-100-python/meta"
    message = f"{tmp_path}: expected {ARCHIVE}, the files {files}, or images as train/CLASS/NAME.png and test/CLASS/NAME.png"
    with pytest.raises(DataError, match=re.escape(message)):
        load(str(tmp_path))


def train(**changed: Any) -> dict[str, Any]:
    return {**part("train", TRAIN), **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"meta": {"label_names": ["cat"]}}, "meta: no list of names 'fine_label_names'; found 'label_names' (list)"),
        ({"meta": {"fine_label_names": [1, 2]}}, "meta: no list of names 'fine_label_names'; found 'fine_label_names' (list)"),
        ({"meta": {"fine_label_names": []}}, "meta: no list of names 'fine_label_names'; found 'fine_label_names' (list)"),
        ({"test": python2({})[:-3] + b"."}, "test: no array 'data' with a list 'fine_labels'; found nothing"),
        (
            {"test": {"data": "abc", "labels": [1]}},
            "test: no array 'data' with a list 'fine_labels'; found 'data' (str), 'labels' (list)",
        ),
        ({"train": train(data=pixels(29))}, "train: data of shape (29, 3072), expected (30, 3072) for 30 labels"),
        ({"train": train(data=pixels(30)[:, :784])}, "train: data of shape (30, 784), expected (30, 3072) for 30 labels"),
        ({"train": train(fine_labels=[*range(6)] * 4 + [0, 1, 2, 3, 4, 6])}, "train: label 6, expected 0 to 5"),
        ({"train": train(fine_labels=["apple"] * 30)}, "train: label of type str, expected 0 to 5"),
        ({"train": python2(train())[:5000]}, "train: truncated or damaged ("),
        ({"train": b"\x80\x02cposix\nsystem\nU\x04true\x85R."}, "train: the name 'posix.system'; expected a pickled dict of"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_another_form_are_refused(tmp_path: Path, changed: dict[str, Any], message: str, packed: bool) -> None:
    folder, before = official(tmp_path / "mine", **changed), "cifar-100-python/"
    if packed:
        folder, before = pack(folder, tmp_path / "packed" / ARCHIVE), f"{ARCHIVE}, cifar-100-python/"
    with pytest.raises(DataError, match=re.escape(f"{folder}/{before}{message}")):
        load(str(folder))


def test_damaged_archives(tmp_path: Path) -> None:
    archive = pack(official(tmp_path / "mine"), tmp_path / "packed" / ARCHIVE) / ARCHIVE
    content = archive.read_bytes()
    damaged = content[: len(content) // 2] + bytes(100) + content[len(content) // 2 + 100 :]
    for wrong in (content[: len(content) // 2], content[:-4], damaged, b"no archive", b""):
        archive.write_bytes(wrong)
        with pytest.raises(DataError, match=rf"{re.escape(str(archive))}.*truncated or damaged \(.*\); get the file again"):
            load(str(archive.parent))


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    folder = official(tmp_path / "mine")
    (folder / "cifar-100-python" / "test").unlink()
    (folder / "cifar-100-python" / "test").symlink_to("train")  # a link is no file of the archive's own
    archive = pack(folder, tmp_path / "packed" / ARCHIVE) / ARCHIVE
    with pytest.raises(DataError, match=re.escape(f"{archive}: no cifar-100-python/test in it; get the file again")):
        load(str(archive.parent))


def test_the_tool_writes_what_the_reader_takes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("convert_cifar100", ROOT / "tools" / "convert_cifar100.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    originals = {}
    for name, count in (("train", 4), ("test", 2)):
        smooth = np.repeat(np.repeat(pixels(count)[:, :48].reshape(count, 4, 4, 3), 8, axis=1), 8, axis=2)  # little for JPEG to lose
        files = []
        for image in smooth:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
            files.append(np.frombuffer(file.getvalue(), dtype=np.uint8))
        labels = np.arange(count, dtype=np.uint8) % 2
        named = {"classes": np.array(["apple", "bear"]), "coarse_classes": np.array(["food"]), "coarse_labels": 0 * labels}
        offsets = np.cumsum([0, *map(len, files)])
        np.savez(tmp_path / f"cifar100_{name}_jpeg.npz", jpeg=np.concatenate(files), offsets=offsets, labels=labels, **named)
        originals[name] = torch.from_numpy(smooth).permute(0, 3, 1, 2)
    tool.main(str(tmp_path), str(tmp_path / "cifar100"))
    images = load(str(tmp_path / "cifar100"))
    assert (images.classes, images.train_y.tolist(), images.test_y.tolist()) == (("apple", "bear"), [0, 1, 0, 1], [0, 1])
    for name, x in (("train", images.train_x), ("test", images.test_x)):
        assert float((x.float() - originals[name].float()).abs().mean()) < 5
    shutil.rmtree(tmp_path / "cifar100")


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "cifar100" / "cifar-100-python").is_dir(),
    reason="CIFAR-100 not found: set LIFELONG_DATA to the parent folder of cifar100/cifar-100-python",
)
def test_full_cifar100() -> None:
    images = load("cifar100")
    assert (images.name, len(images.classes), images.classes[0], images.classes[99]) == ("cifar100 (50000)", 100, "apple", "worm")
    assert images.classes == tuple(sorted(images.classes))
    assert images.train_y.bincount().tolist() == [500] * 100
    assert images.test_y.bincount().tolist() == [100] * 100
    pixel = images.train_x.transpose(0, 1).flatten(1).float() / 255
    assert pixel.mean(1).tolist() == pytest.approx([0.5071, 0.4865, 0.4409], abs=1e-3)
    assert pixel.std(1).tolist() == pytest.approx([0.2673, 0.2564, 0.2762], abs=1e-3)
