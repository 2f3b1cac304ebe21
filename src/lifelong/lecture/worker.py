"""One run of a recipe or one measure of a section, in a process of its own: `python -m lifelong.lecture.worker`."""

import time
from pathlib import Path
from typing import Any, TextIO

import torch

from lifelong import worker
from lifelong.lecture.course import write_measured
from lifelong.lecture.sections import SECTIONS


def perform(request: dict[str, Any], reports: TextIO) -> None:
    """Does what the request asks for: a measure of a section, or else a run."""
    if "measure" not in request:
        worker.perform(request, reports)
        return
    torch.set_num_threads(1)
    section = next(section for section in SECTIONS if section.name == request["section"])
    started = time.perf_counter()
    measured = section.measures[request["measure"]](request["full"])
    write_measured(Path(request["result"]), measured, full=request["full"], seconds=time.perf_counter() - started)


if __name__ == "__main__":
    worker.main(perform)
