import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lifelong import files
from lifelong.errors import StoreError

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int32, torch.int64, torch.uint8, torch.bool)
MANIFEST = {"format": 1, "note": "é", "small": 1e-05, "long": 0.30000000000000004}


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).tolist())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the manifest as an attacker would, its checksum made right again."""
    manifest = json.loads((folder / files.MANIFEST).read_bytes())
    change(manifest)
    manifest["sha256"] = files._checksum(manifest)
    (folder / files.MANIFEST).write_bytes(files._dumped(manifest))


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any bits in any shape, contiguous or not."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = torch.Size(shape).numel() * dtype.itemsize
    raw = torch.tensor(list(draw(st.binary(min_size=size, max_size=size))), dtype=torch.uint8)
    tensor = (raw % 2).bool() if dtype == torch.bool else raw.view(dtype)
    tensor = tensor.reshape(shape)
    form = draw(st.sampled_from(["plain", "transposed", "strided", "expanded"]))
    if form == "transposed" and tensor.ndim > 1:
        return tensor.transpose(0, -1)
    if form == "strided" and tensor.ndim:
        return tensor[1::2]
    return tensor.expand(2, *shape) if form == "expanded" else tensor


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), tensors(), max_size=5))
@example({"": torch.tensor(float("nan")), "a/../b": torch.empty(0, 3), "ü\n\0": torch.arange(6).reshape(2, 3).T})
@settings(deadline=None)
def test_every_bit_comes_back(given_tensors: dict[str, Tensor]) -> None:
    with tempfile.TemporaryDirectory() as name:
        files.write(Path(name), MANIFEST, {"set": given_tensors})
        manifest = files.read_manifest(Path(name), 1)
        back = files.read_set(Path(name), manifest, "set")
    assert back.keys() == given_tensors.keys()
    for key, tensor in given_tensors.items():
        assert (back[key].dtype, back[key].shape) == (tensor.dtype, tensor.shape)
        assert bits(back[key]) == bits(tensor)
    assert {key: manifest[key] for key in MANIFEST} == MANIFEST


def test_tensors_that_share_memory_are_saved_each_whole(tmp_path: Path) -> None:
    base = torch.arange(12.0)
    shared = {"all": base, "again": base, "part": base[3:7], "grid": base.view(3, 4).T}
    files.write(tmp_path, MANIFEST, {"set": shared})
    back = files.read_set(tmp_path, files.read_manifest(tmp_path, 1), "set")
    assert all(torch.equal(back[key], tensor) for key, tensor in shared.items())
    back["part"].zero_()
    assert torch.equal(back["all"], base)


def test_a_parameter_that_needs_a_gradient_is_saved(tmp_path: Path) -> None:
    files.write(tmp_path, MANIFEST, {"set": {"w": torch.nn.Parameter(torch.ones(2))}})
    assert not files.read_set(tmp_path, files.read_manifest(tmp_path, 1), "set")["w"].requires_grad


def test_an_unknown_set_is_empty(tmp_path: Path) -> None:
    files.write(tmp_path, MANIFEST, {})
    assert files.read_set(tmp_path, files.read_manifest(tmp_path, 1), "set") == {}


def test_an_unchanged_set_is_not_written_again(tmp_path: Path) -> None:
    files.write(tmp_path, MANIFEST, {"same": {"x": torch.ones(3)}, "other": {"x": torch.ones(3)}})
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    files.write(tmp_path, MANIFEST, {"same": {"x": torch.ones(3)}, "other": {"x": torch.zeros(3)}})
    after = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    kept = before.items() & after.items()
    assert [name.partition("-")[0] for name, _ in kept] == ["same"]
    assert len(after) == 3


def test_a_damaged_file_of_the_same_name_is_written_again(tmp_path: Path) -> None:
    files.write(tmp_path, MANIFEST, {"set": {"x": torch.ones(3)}})
    whole = contents(tmp_path)
    next(tmp_path.glob("set-*")).write_bytes(b"half")
    files.write(tmp_path, MANIFEST, {"set": {"x": torch.ones(3)}})
    assert contents(tmp_path) == whole


def test_left_over_files_are_removed_and_other_peoples_are_not(tmp_path: Path) -> None:
    digits = "0123456789abcdef"
    leftovers = [f"old-{digits}.safetensors", f"old-{digits}.safetensors.part", "manifest.json.part"]
    others = ["notes.txt", "model-00001-of-00002.safetensors", f"my.net-{digits}.safetensors", f"old-{digits}.safetensors.bak"]
    others += ["manifest.json.bak", "weights.safetensors", f"OLD-{digits.upper()}.safetensors", "data.part"]
    for name in leftovers + others:
        (tmp_path / name).write_text(name)
    (tmp_path / f"folder-{digits}.safetensors").mkdir()
    files.write(tmp_path, MANIFEST, {"set": {"x": torch.ones(1)}})
    found = {path.name for path in tmp_path.iterdir()}
    own = {entry["file"] for entry in files.read_manifest(tmp_path, 1)["files"].values()}
    assert found == {*others, f"folder-{digits}.safetensors", "manifest.json", *own}
    assert all((tmp_path / name).read_text() == name for name in others)


# What can't be written.


def test_another_programs_manifest_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "web page"}')
    with pytest.raises(
        StoreError, match=r"manifest\.json is another program's: it has no format number; save the learner in a folder of its"
    ):
        files.write(tmp_path, MANIFEST, {})
    assert contents(tmp_path) == {"manifest.json": b'{"name": "web page"}'}


def test_a_damaged_manifest_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 1, "fil')
    files.write(tmp_path, MANIFEST, {})
    assert files.read_manifest(tmp_path, 1)["format"] == 1


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "learner").write_text("mine")
    with pytest.raises(StoreError, match=r"learner is a file; a learner is saved in a folder, give the path of one"):
        files.write(tmp_path / "learner", MANIFEST, {})
    with pytest.raises(StoreError, match=r"can't save in .*learner/inside: .*Not a directory.*give another folder"):
        files.write(tmp_path / "learner" / "inside", MANIFEST, {})


def test_what_is_no_tensor_no_json_or_no_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"'note' of 'set' is a str; only tensors are saved, keep it in a buffer"):
        files.write(tmp_path, MANIFEST, {"set": {"note": "text"}})  # type: ignore[dict-item]
    with pytest.raises(
        StoreError, match=r"can't save in .*: Object of type function is not JSON serializable; methods, models and optimizers"
    ):
        files.write(tmp_path, {"format": 1, "bad": [bits]}, {})
    with pytest.raises(StoreError, match=r"'a/b' can't be a set's name; use letters, digits, - and _"):
        files.write(tmp_path, MANIFEST, {"a/b": {}})
    assert contents(tmp_path) == {}


# What can't be read.


def saved(folder: Path) -> Path:
    files.write(folder, MANIFEST, {"set": {"x": torch.arange(5)}, "other": {"x": torch.ones(2, 2)}})
    return next(folder.glob("set-*"))


def read_all(folder: Path) -> None:
    manifest = files.read_manifest(folder, 1)
    for name in manifest["files"]:
        files.read_set(folder, manifest, name)


def test_no_folder_and_no_manifest(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(StoreError, match=r"no learner in .*manifest\.json is missing; give the folder that learner\.save"):
            read_all(folder)


def test_a_missing_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match=rf"{path.name} is missing: .*manifest\.json names it as 'set'; take another copy"):
        read_all(tmp_path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StoreError, match=r"manifest\.json can't be read: .*Permission denied; permit reading it, or take another copy"):
        read_all(tmp_path)
    assert path.is_file()


@pytest.mark.parametrize("keep", [0, 1, 0.5, -1])
def test_a_truncated_file(tmp_path: Path, keep: float) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)] if keep == 0.5 else content[: int(keep)])
    with pytest.raises(
        StoreError, match=rf"{path.name} is truncated or was replaced: \d+ bytes, expected {len(content)}; take another copy"
    ):
        read_all(tmp_path)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        saved(Path(name))
        path = data.draw(st.sampled_from(sorted(Path(name).iterdir())), label="file")
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1), label="byte")
        content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        path.write_bytes(content)
        with pytest.raises(StoreError, match=f"(?s){path.name} .*(take another copy|give the folder|upgrade)"):
            read_all(Path(name))


def test_every_flipped_bit_of_the_manifest_is_refused(tmp_path: Path) -> None:
    """An escape's digits and an exponent's e are one bit away from capitals that mean the same, and so are a long decimal's last digits."""
    files.write(tmp_path, MANIFEST, {})
    path = tmp_path / files.MANIFEST
    content = path.read_bytes()
    assert b"\\u00e9" in content
    assert b"1e-05" in content
    for place in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            with pytest.raises(StoreError, match=r"manifest\.json .*(take another copy|give the folder|upgrade)"):
                files.read_manifest(tmp_path, 1)


@pytest.mark.parametrize("more", [b" ", b"\n", b"{}", b"\0"])
def test_bytes_after_the_manifest_are_refused(tmp_path: Path, more: bytes) -> None:
    saved(tmp_path)
    path = tmp_path / files.MANIFEST
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
        read_all(tmp_path)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"format": "1"}', b"null", b"1"])
def test_json_that_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"manifest\.json is not the manifest of a learner: it has no format number; give the folder"):
        read_all(tmp_path)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_brackets_within_brackets(tmp_path: Path, depth: int) -> None:
    (tmp_path / "manifest.json").write_bytes(b'{"format": 1, "a": ' + b"[" * depth + b"]" * depth + b"}")
    with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
        read_all(tmp_path)


def test_a_newer_format(tmp_path: Path) -> None:
    saved(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest.update(format=99))
    with pytest.raises(StoreError, match=r"manifest\.json has format 99, and this version of lifelong reads up to 1; upgrade lifelong"):
        read_all(tmp_path)


# What was made to do harm: checksums are right.

NAMES = ["../../../etc/passwd", "/etc/passwd", "..", "", ".", "a\0b", "set/x-0123456789abcdef.safetensors", "manifest.json", 7, None, ["a"]]


@pytest.mark.parametrize("name", NAMES)
def test_only_plain_names_of_files_are_read(tmp_path: Path, name: object, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest["files"]["set"].update(file=name))
    read: list[Path] = []
    original = Path.read_bytes

    def recorded(self: Path) -> bytes:
        read.append(self)
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", recorded)
    with pytest.raises(
        StoreError, match=r"manifest\.json names .* as the file of 'set', which is not a name that lifelong gives to a file"
    ):
        read_all(tmp_path)
    assert read == [tmp_path / "manifest.json"]


@pytest.mark.parametrize("entries", [None, [], "set", 3])
def test_a_manifest_without_files(tmp_path: Path, entries: object) -> None:
    saved(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest.update(files=entries))
    with pytest.raises(StoreError, match=r"manifest\.json does not say which files belong to it; take another copy"):
        read_all(tmp_path)


@pytest.mark.parametrize("entry", [{"bytes": "3"}, {"sha256": None}])
def test_an_entry_without_size_or_checksum(tmp_path: Path, entry: dict[str, Any]) -> None:
    path = saved(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest["files"]["set"].update(entry))
    with pytest.raises(StoreError, match=rf"manifest\.json gives no size or no checksum of {path.name}; take another copy"):
        read_all(tmp_path)


def test_an_entry_that_is_no_table(tmp_path: Path) -> None:
    saved(tmp_path)
    rewrite(tmp_path, lambda manifest: manifest["files"].update(set="x"))
    with pytest.raises(StoreError, match=r"manifest\.json names None as the file of 'set'"):
        read_all(tmp_path)


def replace_set(folder: Path, content: bytes, name: str = "set") -> str:
    """Puts bytes in place of a set's, with a manifest that says that they are right."""
    digest = files.hashlib.sha256(content).hexdigest()
    file = f"{name}-{digest[:16]}.safetensors"
    (folder / file).write_bytes(content)
    rewrite(folder, lambda manifest: manifest["files"].update({name: {"file": file, "bytes": len(content), "sha256": digest}}))
    return file


def with_header(header: bytes, size: int | None = None, data: bytes = b"") -> bytes:
    return (len(header) if size is None else size).to_bytes(8, "little") + header + data


ONE = b'{"x":{"dtype":"%s","shape":[%s],"data_offsets":[0,%d]}}'
CRAFTED = {
    "nothing": b"",
    "a pickle": b"cos\nsystem\n(S'true'\ntR.",
    "an oversized header": with_header(b"{}", 2**63),
    "a header of 4 GB": with_header(b"{}", 2**32),
    "a header longer than the file": with_header(b"{}", 100),
    "no JSON": with_header(b"{[}"),
    "offsets after the end": with_header(ONE % (b"F32", b"1000000", 4_000_000), data=b"1234"),
    "more elements than bytes": with_header(ONE % (b"F32", b"2", 4), data=b"1234"),
    "an overflowing shape": with_header(ONE % (b"F32", b"4611686018427387905,4", 16), data=b"1" * 16),
    "an unknown dtype": with_header(ONE % (b"OBJECT", b"1", 4), data=b"1234"),
    "a dtype that torch has not": with_header(ONE % (b"F8_E8M0", b"4", 4), data=b"1234"),
    "bytes that belong to no tensor": with_header(ONE % (b"F32", b"1", 4), data=b"12345678"),
}


@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED)
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    saved(tmp_path)
    file = replace_set(tmp_path, content)
    with pytest.raises(StoreError, match=rf"(?s){file} is not a safetensors file: .*; take another copy"):
        read_all(tmp_path)
