"""A crash, a full disk or a kill at any moment of saving."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faults.save_versions import held, version
from lifelong import files
from lifelong.errors import StoreError


class Crash(BaseException):
    """The process is gone: nothing that it would do afterwards happens."""


class Disk:
    """Counts operations on the file system, and from the n-th on every one fails.

    Args:
        fails_at: the first operation that fails, 1-based; 0: none does.
        error: what failing raises. After a Crash, files that were not synced lose their content, as after a power cut.
        times: how many operations fail; None: all from the first one on.
    """

    def __init__(self, fails_at: int, error: type[BaseException] = Crash, times: int | None = None) -> None:
        self.fails_at, self.error = fails_at, error
        self.last = float("inf") if times is None else fails_at + times - 1
        self.log: list[tuple[str, str]] = []
        self.unsynced: set[int] = set()

    def step(self, operation: str, path: object) -> None:
        self.log.append((operation, os.path.basename(os.fspath(path)) if isinstance(path, str | Path) else str(path)))
        if self.fails_at and self.fails_at <= len(self.log) <= self.last:
            raise self.error(28, "No space left on device")

    def open(self, path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if "w" not in mode:
            return io.FileIO(path, mode)
        self.step("open", path)
        return Writing(path, self)

    @contextmanager
    def mounted(self) -> Iterator["Disk"]:
        real = {name: getattr(os, name) for name in ("mkdir", "replace", "unlink", "fsync")}

        def counted(name: str) -> Callable[..., Any]:
            def operation(path: Any, *arguments: Any, **named: Any) -> Any:
                where = path if name != "fsync" else os.readlink(f"/proc/self/fd/{path}")
                self.step(name, where)
                if name == "fsync":
                    self.unsynced.discard(os.fstat(path).st_ino)
                return real[name](path, *arguments, **named)

            return operation

        with pytest.MonkeyPatch.context() as patch:
            for name in real:
                patch.setattr(os, name, counted(name))
            patch.setattr(io, "open", self.open)
            yield self

    def cut_power(self, folder: Path) -> None:
        for path in folder.iterdir() if folder.exists() else []:
            if path.stat().st_ino in self.unsynced:
                path.write_bytes(b"")


class Writing(io.FileIO):
    """Writes in two halves, between which the disk may fail."""

    def __init__(self, path: Any, disk: Disk) -> None:
        super().__init__(path, "w")
        self.disk = disk
        disk.unsynced.add(os.fstat(self.fileno()).st_ino)

    def write(self, content: Any) -> int:
        half = len(content) // 2
        self.disk.step("write", self.name)
        super().write(content[:half])
        self.disk.step("write", self.name)
        return half + (super().write(content[half:]) or 0)


def count_operations(prepare: Callable[[Path], None], n: int, folder: Path) -> int:
    prepare(folder)
    with Disk(0).mounted() as disk:
        files.write(folder, *version(n))
    return len(disk.log)


def nothing(folder: Path) -> None:
    pass


def fourth(folder: Path) -> None:
    files.write(folder, *version(4))


def fourth_and_leftovers(folder: Path) -> None:
    fourth(folder)
    for n in (5, 6):
        total = 2 if n == 5 else 4
        with pytest.raises(Crash), Disk(total).mounted():
            files.write(folder, *version(n))


PREPARATIONS: dict[str, tuple[Callable[[Path], None], int]] = {
    "nothing": (nothing, -1),
    "a version": (fourth, 4),
    "leftovers": (fourth_and_leftovers, 4),
}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells which file is synced; this system has none")
@pytest.mark.parametrize("before", PREPARATIONS)
def test_a_crash_at_any_operation_leaves_the_old_or_the_new(tmp_path: Path, before: str) -> None:
    prepare, old = PREPARATIONS[before]
    total = count_operations(prepare, 5, tmp_path / "counted")
    assert total >= 18
    outcomes = []
    for n in range(1, total + 1):
        folder = tmp_path / str(n)
        prepare(folder)
        disk = Disk(n)
        with pytest.raises(Crash), disk.mounted():
            files.write(folder, *version(5))
        disk.cut_power(folder)
        outcomes.append(held(folder))
        files.write(folder, *version(7))
        assert held(folder) == 7
        assert len(list(folder.iterdir())) == 4, "leftovers are removed by the next save"
    assert set(outcomes) == {old, 5}
    assert outcomes == sorted(outcomes)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells which file is synced; this system has none")
@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("before", PREPARATIONS)
def test_a_full_disk_at_any_operation_is_an_error_that_leaves_the_old_or_the_new(tmp_path: Path, before: str, times: int | None) -> None:
    prepare, old = PREPARATIONS[before]
    total = count_operations(prepare, 5, tmp_path / "counted")
    for n in range(1, total + 1):
        folder = tmp_path / str(n)
        prepare(folder)
        leftovers = set(folder.glob("*.part"))
        if times == 1 and n == 1 and folder.exists():
            continue  # mkdir, which may fail on a folder that is there
        with (
            pytest.raises(StoreError, match="can't save in .*No space left on device.*intact; make room"),
            Disk(n, OSError, times).mounted(),
        ):
            files.write(folder, *version(5))
        assert held(folder) in (old, 5)
        if times == 1:
            assert set(folder.glob("*.part")) <= leftovers, "a half-written file would take the room of the next attempt"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells which file is synced; this system has none")
def test_bytes_reach_the_disk_before_names_and_names_before_removals(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    fourth(folder)
    with Disk(0).mounted() as disk:
        files.write(folder, *version(6))
    log = disk.log
    replaced = [place for place, (operation, _) in enumerate(log) if operation == "replace"]
    assert len(replaced) == 3
    for place in replaced:
        assert log[place - 1] == ("fsync", log[place][1])
    assert log[replaced[-1]][1] == "manifest.json.part"
    assert ("fsync", "folder") in log[replaced[-2] : replaced[-1]]
    assert log[replaced[-1] + 1] == ("fsync", "folder")
    removed = [place for place, (operation, _) in enumerate(log) if operation == "unlink"]
    assert len(removed) == 3
    assert min(removed) > replaced[-1] + 1


@pytest.mark.slow
def test_killed_at_random_moments_it_holds_a_whole_version(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent / "faults" / "save_versions.py"), str(tmp_path), "30", "0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    versions = [int(line) for line in done.stdout.split()]
    assert len(versions) == 30
    assert versions == sorted(versions)
    assert len(set(versions)) >= 10, "the kills should fall into different savings"
    assert held(tmp_path) == versions[-1]
