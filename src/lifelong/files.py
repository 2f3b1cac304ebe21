"""Named sets of tensors in a folder, changed all at once: the manifest's renaming is the moment of change.

Each set is a safetensors file named after its content. Files are written beside the old ones, then the manifest is replaced by an atomic
rename, then files that it does not name are removed. A crash at any byte leaves the old manifest with its files, or the new one with its.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from lifelong.errors import StoreError

MANIFEST = "manifest.json"
SET = re.compile(r"[\w-]+-[0-9a-f]{16}\.safetensors")
LEFT = re.compile(rf"{SET.pattern}\.part|manifest\.json\.part")  # of an interrupted writing
AGAIN = "take another copy of this learner"


def write(folder: Path, manifest: dict[str, Any], sets: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Writes `sets` and a manifest that names them, in place of what the folder held.

    Args:
        manifest: JSON with an integer "format"; "files" and "sha256" are added to it.
        sets: tensors by name, by the set's name: letters, digits, - and _.

    Raises:
        StoreError: the folder can't be written, is a file or holds another program's manifest; something is not a tensor or not JSON.
    """
    try:
        _check_place(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, manifest, sets)
    except OSError as error:
        raise StoreError(
            f"can't save in {folder}: {error}. What was saved there before is intact; make room or permit writing, or give another folder"
        ) from error


def _check_place(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; a learner is saved in a folder, give the path of one")
    path = folder / MANIFEST
    if path.exists():
        try:
            held = _parsed(path.read_bytes())
        except ValueError:
            return  # a learner's that was damaged: saving repairs it
        if not _has_format(held):
            raise StoreError(f"{path} is another program's: it has no format number; save the learner in a folder of its own")


def _write(folder: Path, manifest: dict[str, Any], sets: Mapping[str, Mapping[str, Tensor]]) -> None:
    entries = {}
    for name, tensors in sets.items():
        content = _packed(name, tensors)
        digest = hashlib.sha256(content).hexdigest()
        file = f"{name}-{digest[:16]}.safetensors"
        if not SET.fullmatch(file):
            raise StoreError(f"{name!r} can't be a set's name; use letters, digits, - and _")
        if not (folder / file).exists() or (folder / file).read_bytes() != content:
            _write_whole(folder / file, content)
        entries[name] = {"file": file, "bytes": len(content), "sha256": digest}
    manifest = {**manifest, "files": entries}
    try:
        manifest["sha256"] = _checksum(manifest)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"can't save in {folder}: {error}; methods, models and optimizers are saved with arguments of JSON's kinds"
        ) from error
    _sync(folder)
    _write_whole(folder / MANIFEST, _dumped(manifest))
    _sync(folder)
    current = {entry["file"] for entry in entries.values()}
    for path in folder.iterdir():
        ours = LEFT.fullmatch(path.name) or (SET.fullmatch(path.name) and path.name not in current)
        if ours and path.is_file():
            path.unlink()


def _packed(name: str, tensors: Mapping[str, Tensor]) -> bytes:
    other = next((key for key, value in tensors.items() if not isinstance(value, Tensor)), None)
    if other is not None:
        raise StoreError(f"{other!r} of {name!r} is a {type(tensors[other]).__name__}; only tensors are saved, keep it in a buffer")
    # safetensors refuses tensors that share memory or leave gaps in it
    return safetensors.torch.save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()})


def _write_whole(path: Path, content: bytes) -> None:
    """Writes beside, and renames once every byte is on the disk."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)  # on a full disk, it would take the room of the next attempt
        raise


def _sync(folder: Path) -> None:
    """Waits until the names of the folder's files are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dumped(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode()


def _parsed(content: bytes) -> Any:
    """JSON's values.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("brackets within brackets without end") from error


def _has_format(manifest: Any) -> bool:
    return isinstance(manifest, dict) and isinstance(manifest.get("format"), int)


def _checksum(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path, newest: int) -> dict[str, Any]:
    """The manifest, checked to be whole and of a format up to `newest`.

    Raises:
        StoreError: it is missing, damaged, edited, newer, or names files that are not of this module.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"no learner in {folder}: {path} is missing; give the folder that learner.save(path) wrote")
    content = _content(path)
    try:
        manifest = _parsed(content)
    except ValueError as error:
        raise StoreError(f"{path} is damaged: it is not JSON ({error}); {AGAIN}") from error
    if not _has_format(manifest):
        raise StoreError(f"{path} is not the manifest of a learner: it has no format number; give the folder that learner.save(path) wrote")
    if manifest["format"] > newest:
        raise StoreError(f"{path} has format {manifest['format']}, and this version of lifelong reads up to {newest}; upgrade lifelong")
    # The bytes are compared, too: JSON has several spellings of one value, such as 1e-05 and 1E-05, which are one bit apart.
    try:
        whole = manifest.get("sha256") == _checksum(manifest) and content == _dumped(manifest)
    except RecursionError:  # writing takes more depth than reading
        whole = False
    if not whole:
        raise StoreError(f"{path} is damaged or was edited: its checksum does not match its content; {AGAIN}")
    _check_entries(path, manifest.get("files"))
    return dict(manifest)


def _check_entries(path: Path, entries: Any) -> None:
    if not isinstance(entries, dict):
        raise StoreError(f"{path} does not say which files belong to it; {AGAIN}")
    for name, entry in entries.items():
        file, size, digest = (entry.get(key) for key in ("file", "bytes", "sha256")) if isinstance(entry, dict) else (None, None, None)
        if not (isinstance(file, str) and SET.fullmatch(file)):
            raise StoreError(f"{path} names {file!r} as the file of {name!r}, which is not a name that lifelong gives to a file; {AGAIN}")
        if not (isinstance(size, int) and isinstance(digest, str)):
            raise StoreError(f"{path} gives no size or no checksum of {file}; {AGAIN}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error}; permit reading it, or {AGAIN}") from error


def read_set(folder: Path, manifest: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """A set of tensors, checked against the manifest; {} when the learner had none of that name.

    Raises:
        StoreError: its file is missing, truncated, damaged or no safetensors file.
    """
    if name not in manifest["files"]:
        return {}
    entry = manifest["files"][name]
    path = folder / entry["file"]
    if not path.is_file():
        raise StoreError(f"{path} is missing: {folder / MANIFEST} names it as {name!r}; {AGAIN}")
    content = _content(path)
    if len(content) != entry["bytes"]:
        raise StoreError(f"{path} is truncated or was replaced: {len(content)} bytes, expected {entry['bytes']}; {AGAIN}")
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise StoreError(f"{path} is damaged: its checksum does not match {folder / MANIFEST}; {AGAIN}")
    try:
        return dict(sorted(safetensors.torch.load(content).items()))  # safetensors gives them in another order every time
    except (SafetensorError, KeyError) as error:  # KeyError: a dtype that torch does not have
        raise StoreError(f"{path} is not a safetensors file: {error}; {AGAIN}") from error
