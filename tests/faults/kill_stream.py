"""Kills the run of `stream.py` again and again, starts it again each time, and compares its end with that of a run left alone.

    python -m faults.kill_stream FOLDER KILLS SEED

First at the moments of POINTS, in training, in consolidation and in saving; then at random ones, until there were KILLS of them.
Prints one line of JSON a kill: the moment, and what the folder held then ([learned tasks, steps in the next one], null: nothing).
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lifelong as ll
from faults import stream
from faults.small import content
from lifelong import files, learning

# One line is one run: started again, it gets the next moment. (what, which call of it by this process)
POINTS = [
    [("step", 1), ("write", 1), ("manifest", 1), ("rename", 1), ("step", 100), ("importance", 2), ("write", 6), ("importance", 10)],
    [("remove", 1), ("rename manifest", 2), ("manifest", 3), ("importance", 11), ("step", 120), ("remove", 4), ("importance", 3)],
]


def main(folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    torch.optim.Adam(ll.models.MLP(1, [1]).parameters())  # torch imports for seconds at the first one, in every process begun without
    learning.SAVE_SHARE = 1
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    durations = []
    for n in range(2):  # the first one finds nothing in the system's caches
        started = time.perf_counter()
        assert run(folder / f"alone-{n}") is None
        durations.append(time.perf_counter() - started)
    duration, expected = min(durations), content(folder / "alone-0")
    assert content(folder / "alone-1") == expected
    for n, points in enumerate(POINTS):
        here = folder / f"points-{n}"
        for what, call in points:
            ended = run(here, point=(what, call))
            if ended is None:  # it saves by the clock, so what was left may be over before it comes to this; a whole run comes to it
                assert content(here) == expected, here.name
                here = folder / f"points-{n}-{what}-{call}"
                ended = run(here, point=(what, call))
            assert ended == signal.SIGKILL, f"{what} is not called {call} times"
            report(f"{what} {call}", here)
        assert run(here) is None
        assert content(here) == expected, here.name
    left, delays = kills, random.Random(seed)
    while left:
        here = folder / f"random-{left}"
        ended = False
        while not ended:
            ended = run(here, delays.uniform(0.08, 0.35) * duration if left else None) is None
            if not ended:
                left -= 1
                report("random", here)
        assert content(here) == expected, here.name


def run(folder: Path, delay: float | None = None, point: tuple[str, int] | None = None) -> int | None:
    """Runs the stream in a process of its own, which begins where torch has just been imported; returns the signal that ended it."""
    while signal.sigtimedwait([signal.SIGCHLD], 0):
        pass  # of the process before
    child = os.fork()
    if child == 0:
        if point is not None:
            arm(*point)
        stream.main(folder)
        os._exit(0)
    if delay is not None:
        signal.sigtimedwait([signal.SIGCHLD], delay)  # not longer than it runs
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the run failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def report(moment: str, folder: Path) -> None:
    held = None
    if (folder / "manifest.json").exists():
        manifest = json.loads((folder / "manifest.json").read_bytes())
        unfinished = manifest["unfinished"]
        held = [len(manifest["tasks"]), unfinished["step"] if unfinished else 0]
    print(json.dumps({"moment": moment, "held": held}), flush=True)


def arm(what: str, call: int) -> None:
    """Lets the process kill itself when it calls something for the call-th time."""
    count = 0

    def now() -> None:
        nonlocal count
        count += 1
        if count == call:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function: Callable[..., Any], counts: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def killing(*arguments: Any, **named: Any) -> Any:
            if counts(*arguments):
                now()
            return function(*arguments, **named)

        return killing

    def half_written(path: Path, data: bytes) -> None:
        if (path.name == files.MANIFEST) == (what == "manifest"):
            half = path.with_name(path.name + ".part")
            half.write_bytes(data[: len(data) // 2])
            now()
        write_whole(path, data)

    write_whole = files._write_whole
    if what == "step":
        torch.optim.Adam.step = before(torch.optim.Adam.step)  # type: ignore[method-assign]
    elif what == "importance":
        torch.autograd.grad = before(torch.autograd.grad)  # training calls backward
    elif what == "rename":
        os.replace = before(os.replace)
    elif what == "rename manifest":
        os.replace = before(os.replace, lambda _, target: Path(target).name == files.MANIFEST)
    elif what == "remove":
        os.unlink = before(os.unlink)
    else:
        files._write_whole = half_written


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
