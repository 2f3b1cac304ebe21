"""Results of a benchmark in one file, written entry by entry, so that an interrupted one goes on where it was."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


class Stored:
    """The entries of one benchmark, in RESULTS/NAME.json, with the machine and the seconds that measuring took in all.

    Args:
        name: of the benchmark.
        settings: what the numbers depend on; results of other settings, or of another machine, are started over.
        fresh: start over in any case.
    """

    def __init__(self, name: str, settings: dict[str, Any], *, fresh: bool = False, folder: Path = RESULTS) -> None:
        self.path = folder / f"{name}.json"
        self.content: dict[str, Any] = {"machine": machine(), "settings": settings, "seconds": 0.0, "entries": {}}
        self._since = time.monotonic()
        if self.path.is_file() and not fresh:
            earlier = json.loads(self.path.read_text(encoding="utf-8"))
            if all(earlier[name] == json.loads(json.dumps(self.content[name])) for name in ("machine", "settings")):
                self.content = earlier

    @property
    def entries(self) -> dict[str, Any]:
        """What was measured so far."""
        entries: dict[str, Any] = self.content["entries"]
        return entries

    def entry(self, name: str, measure: Callable[[], Any]) -> Any:
        """What was measured under a name, now where it was not before."""
        if name not in self.entries:
            self.keep(name, measure())
        return self.entries[name]

    def keep(self, name: str, entry: Any) -> None:
        """Writes one entry down."""
        self.entries[name] = entry
        now = time.monotonic()
        self.content["seconds"] += now - self._since
        self._since = now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(beside, self.path)


def machine() -> dict[str, Any]:
    """The machine and the software, in a few words."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor() -> str:
    """Its name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
