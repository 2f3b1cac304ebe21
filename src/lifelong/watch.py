"""What `lifelong run` shows while it works: one bar for each worker on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from lifelong.workers import Event

LINE_SECONDS = 3.0  # at least, between two plain lines about tasks
QUIET_SECONDS = 60.0  # at most, without any line


class Watch:
    """Shows a worker's events.

    Args:
        console: where to; bars when it is a terminal.
        total: runs to do.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self.done = console, total, 0
        self.lines = not console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self.bars = Progress(*columns, console=console, transient=True, disable=self.lines)
        self._bar: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._told: dict[str, int] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bars.stop()

    def tell(self, event: Event) -> None:
        """Shows one event."""
        name = event.job.name
        what = event.job.title or name
        if event.kind == "started":
            self._began[name] = time.monotonic()
            self._bar[name] = self.bars.add_task(f"{what}: starting", total=1.0)
        elif event.kind == "progress":
            self._progress(name, what, event.message)
        elif event.kind == "retried":
            self._say(f"{what}: {event.error}; going on from its last checkpoint")
        elif event.kind in ("finished", "failed"):
            self.done += 1
            self.bars.remove_task(self._bar[name])
            took = time.monotonic() - self._began[name]
            self._say(f"[{self.done}/{self.total}] {what}: {event.error or f'finished in {took:.0f} s'}")

    def _progress(self, name: str, what: str, message: dict[str, Any]) -> None:
        place = f"{what}: task {message['task'] + 1}/{message['tasks']}"
        share = (message["task"] + message["share"]) / message["tasks"]
        self.bars.update(self._bar[name], description=place, completed=share)
        quiet = time.monotonic() - self._last_line
        if self.lines and (quiet > QUIET_SECONDS or (quiet > LINE_SECONDS and self._told.get(name) != message["task"])):
            self._told[name] = message["task"]
            self._say(f"{place}, {100 * share:.0f} % of the run")

    def _say(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
