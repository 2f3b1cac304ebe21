"""Runs in separate processes: started, watched, tried again when killed, and stopped together. Nothing here imports torch."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

RETRIES = 2
COMMAND = (sys.executable, "-m", "lifelong.worker")
LOOK_SECONDS = 0.5  # between looks for Ctrl-C while nothing is reported


@dataclass(frozen=True)
class Job:
    """One run for a worker process.

    Attributes:
        name: as in "ewc-0".
        request: what the worker gets on its standard input, as JSON.
        log: the file that takes what the worker writes on its standard error.
        threads: that its numerical libraries may use.
        title: what a person calls it, as in "ewc, seed 0". "": its name.
    """

    name: str
    request: dict[str, Any]
    log: Path
    threads: int = 1
    title: str = ""


@dataclass(frozen=True)
class Event:
    """What a job told: kind "started", "progress" (with the worker's message), "finished", "stopped", "retried" or "failed" (with why)."""

    job: Job
    kind: str
    message: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Workers:
    """A few worker processes that take jobs one after another.

    Every worker is a process group of its own, so that Ctrl-C in a terminal reaches only this process, which then tells each
    worker once: finish the step, save, stop. A worker whose standard input ends does the same: its parent is gone.

    Args:
        count: how many at once, >= 1.
        command: the worker's program; it reads one line of JSON, writes lines of JSON, and exits with 0 when its job is done.
        lock: an open file that the workers keep open too, so that a lock on it is held until the last of them has ended.
    """

    def __init__(self, count: int, command: Sequence[str] = COMMAND, lock: BinaryIO | None = None) -> None:
        self.count, self.command, self.lock = count, tuple(command), lock
        self.stopping = threading.Event()
        self._events: queue.Queue[Event | BaseException | None] = queue.Queue()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()

    def run(self, jobs: Iterable[Job], tell: Callable[[Event], None]) -> None:
        """Does all jobs; `tell` is called in this thread with everything that happens.

        Raises:
            KeyboardInterrupt: Ctrl-C, after every worker has saved and ended. A second one ends them at once.
        """
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        threads = [threading.Thread(target=self._work, args=(waiting,), daemon=True) for _ in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            self._listen(len(threads), tell)
        except BaseException as error:
            self._stop(signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGKILL)
            try:
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt:
                self._stop(signal.SIGKILL)
            while not self._events.empty():  # what ended while the others were told to stop
                event = self._events.get()
                if isinstance(event, Event):
                    tell(event)
            raise

    def _listen(self, running: int, tell: Callable[[Event], None]) -> None:
        while running:
            try:
                event = self._events.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(event, Event):
                tell(event)
            elif event is None:
                running -= 1
            else:
                raise event

    def _stop(self, number: int) -> None:
        self.stopping.set()
        with self._guard:
            for process in self._processes:
                process.send_signal(number)

    def _work(self, waiting: "queue.SimpleQueue[Job]") -> None:
        """One worker's thread: jobs until none is left."""
        try:
            while not self.stopping.is_set():
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                self._events.put(Event(job, "started"))
                self._events.put(self._attempts(job))
        except BaseException as error:
            self._events.put(error)  # raised in the thread that listens
        finally:
            self._events.put(None)

    def _attempts(self, job: Job) -> Event:
        for attempt in range(RETRIES + 1):
            code = self._attempt(job)
            if code == 0:
                return Event(job, "finished")
            if self.stopping.is_set():
                return Event(job, "stopped")
            if code > 0:
                return Event(job, "failed", error=_last_line(job.log) or f"the worker ended with code {code}")
            if attempt < RETRIES:
                self._events.put(Event(job, "retried", error=_killed(code)))
        return Event(job, "failed", error=f"{_killed(code)}, {RETRIES + 1} times")

    def _attempt(self, job: Job) -> int:
        """Starts a process for the job and waits for its end; the exit code, negative when a signal ended it."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("wb") as log, self._guard:
            if self.stopping.is_set():
                return -signal.SIGINT
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=() if self.lock is None else (self.lock.fileno(),),
            )
            self._processes.add(process)
        assert process.stdin is not None and process.stdout is not None
        with process:
            try:
                process.stdin.write(json.dumps(job.request).encode() + b"\n")
                process.stdin.flush()
                for line in process.stdout:
                    self._events.put(Event(job, "progress", json.loads(line)))
                process.wait()
            except BrokenPipeError:  # it ended before it read; its exit code tells why
                process.wait()
        with self._guard:
            self._processes.discard(process)
        return process.returncode


def _killed(code: int) -> str:
    return f"the worker was killed by {signal.Signals(-code).name}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
