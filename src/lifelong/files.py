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
OURS = re.compile(r".+-[0-9a-f]{16}\.safetensors(\.part)?|manifest\.json\.part")


def write(folder: Path, manifest: dict[str, Any], sets: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Writes `sets` and a manifest that names them, in place of what the folder held."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; a learner is saved in a folder, give the path of one")
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, tensors in sets.items():
        content = safetensors.torch.save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()})
        digest = hashlib.sha256(content).hexdigest()
        file = f"{name}-{digest[:16]}.safetensors"
        if not (folder / file).exists() or (folder / file).read_bytes() != content:
            _write_whole(folder / file, content)
        entries[name] = {"file": file, "bytes": len(content), "sha256": digest}
    manifest = {**manifest, "files": entries}
    manifest["sha256"] = _checksum(manifest)
    _write_whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    current = {entry["file"] for entry in entries.values()}
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.name not in current:
            path.unlink()


def _write_whole(path: Path, content: bytes) -> None:
    """Writes beside, and renames once every byte is on the disk."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _checksum(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path, newest: int) -> dict[str, Any]:
    """The manifest, checked to be whole and of a format up to `newest`."""
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"no learner in {folder}: {path} is missing; give the folder that learner.save(path) wrote")
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise StoreError(f"{path} is damaged: it is not JSON ({error}); take another copy of this learner") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise StoreError(f"{path} is not the manifest of a learner: it has no format number")
    if manifest["format"] > newest:
        raise StoreError(f"{path} has format {manifest['format']}, and this version of lifelong reads up to {newest}; upgrade lifelong")
    if manifest.get("sha256") != _checksum(manifest):
        raise StoreError(f"{path} is damaged or was edited: its checksum does not match its content; take another copy of this learner")
    return manifest


def read_set(folder: Path, manifest: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """A set of tensors, checked against the manifest; {} when the learner had none of that name."""
    if name not in manifest["files"]:
        return {}
    entry = manifest["files"][name]
    path = folder / entry["file"]
    if not path.is_file():
        raise StoreError(f"{path} is missing: {folder / MANIFEST} names it as {name!r}; take another copy of this learner")
    content = path.read_bytes()
    if len(content) != entry["bytes"]:
        raise StoreError(
            f"{path} is truncated or was replaced: {len(content)} bytes, expected {entry['bytes']}; take another copy of this learner"
        )
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise StoreError(f"{path} is damaged: its checksum does not match {folder / MANIFEST}; take another copy of this learner")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise StoreError(f"{path} is not a safetensors file: {error}") from error
