"""Progress of long work: a bar on a terminal, plain lines elsewhere; and Ctrl-C that waits for a step's end."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

LINE_SECONDS = 10.0  # between plain lines
BAR_SECONDS = 0.25  # between redraws of a bar


class Progress:
    """Shows how far a piece of work is.

    Args:
        title: of the work.
        total: steps in all.
        shown: False shows nothing.
    """

    def __init__(self, title: str, total: int, shown: bool) -> None:
        self.title, self.total, self.shown = title, total, shown
        self.terminal = sys.stderr.isatty()
        self.every = BAR_SECONDS if self.terminal else LINE_SECONDS
        self.last = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> Self:
        if self.shown and self.terminal:
            from rich.console import Console  # rich costs import time that quiet work need not pay
            from rich.progress import Progress as Bar

            self.bar = Bar(console=Console(stderr=True), transient=True)
            self.bar.start()
            self.bar.add_task(self.title, total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, loss: float) -> None:
        """Shows the step and the mean loss of the last ones, if it is time to."""
        now = time.monotonic()
        if not self.shown or now - self.last < self.every:
            return
        self.last = now
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=step, description=f"{self.title}  loss {loss:.3f}")
        else:
            print(f"{self.title}: step {step} of {self.total}, loss {loss:.3f}", file=sys.stderr, flush=True)


class Stop:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """In the main thread, the first Ctrl-C only sets `requested`; a second one interrupts at once."""
    stop = Stop()
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours:
        yield stop
        return

    def request(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, request)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
