"""Saves version after version of something in one folder, is killed, and begins again.

    python save_versions.py FOLDER KILLS SEED

Prints the version that the folder holds after each kill, and fails when it holds none that is whole.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lifelong import files

SIZES = (40_000, 7, 300_000)  # entries: from one write to several
LONGEST = 0.2  # seconds until a kill: some savings


def version(n: int) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Manifest and sets of version n: every tensor holds n, the first set changes in every second version only, the last comes and goes."""
    sets = {f"set-{i}": {"n": torch.full((size,), n // 2 if i == 0 else n)} for i, size in enumerate(SIZES)}
    if n % 3 == 0:
        del sets["set-2"]
    return {"format": 1, "version": n}, sets


def held(folder: Path) -> int:
    """The version that the folder holds, after checking that all of it is there; -1 when it holds none."""
    if not (folder / files.MANIFEST).exists():
        return -1
    manifest = files.read_manifest(folder, 1)
    n = int(manifest["version"])
    _, expected = version(n)
    assert manifest["files"].keys() == expected.keys()
    for name, tensors in expected.items():
        assert torch.equal(files.read_set(folder, manifest, name)["n"], tensors["n"])
    return n


def save_for_ever(folder: Path) -> None:
    n = held(folder)
    while True:
        n += 1
        files.write(folder, *version(n))


def main(folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    delays = random.Random(seed)
    for _ in range(kills):
        child = os.fork()  # at once, where a new process would first import torch for seconds
        if child == 0:
            save_for_ever(folder)
        time.sleep(delays.uniform(0.0, LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "it ended by itself"
        print(held(folder), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
