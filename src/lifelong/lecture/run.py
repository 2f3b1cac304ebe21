"""What `lifelong lecture` does: runs the sections, writes the page, and says where it is."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lifelong.errors import RecipeError, nearest
from lifelong.lecture.course import Course
from lifelong.lecture.page import parts, write_page
from lifelong.lecture.section import Section
from lifelong.lecture.sections import SECTIONS
from lifelong.watch import Watch
from lifelong.workers import Event


def chosen(names: Sequence[str]) -> tuple[Section, ...]:
    """The sections of these names in the lecture's order; all of them where no name is given.

    Raises:
        RecipeError: there is no such section.
    """
    known = {section.name: section for section in SECTIONS}
    for name in names:
        if name not in known:
            raise RecipeError(f"the lecture has no section {name!r}; {nearest(name, known)}")
    return tuple(section for section in SECTIONS if not names or section.name in names)


def run(names: Sequence[str], out: Path, *, full: bool, workers: int | None, fresh: bool, again: str) -> int:
    """Runs the sections of these names and writes the page of all that was measured in the folder; the exit code.

    Args:
        again: the command that goes on from there.
    """
    course = Course(chosen(names), out, full=full)
    whole = Course(SECTIONS, out, full=full)
    failed: list[Event] = []
    page = out / "lecture.html"
    with Watch(Console(stderr=True), 0) as watch:

        def tell(event: Event) -> None:
            watch.tell(event)
            if event.kind == "failed":
                failed.append(event)

        def count(jobs: int) -> None:
            watch.total = jobs

        try:
            course.run(workers=workers, fresh=fresh, tell=tell, count=count)
        except KeyboardInterrupt:
            print(f"\nStopped; everything is saved in {out}. The same command goes on from there: {again}", file=sys.stderr)
            return 130
        finally:
            if out.is_dir():
                commands = {section.name: whole.command(section) for section in SECTIONS}
                seconds = {section.name: whole.seconds(section) for section in SECTIONS}
                write_page(parts(SECTIONS, whole.measured(), commands, seconds), page, full=full)
    for event in failed:
        print(f"failed: {event.job.title}: {event.error}", file=sys.stderr)
    print(f"Page: {page}")
    return 1 if failed else 0
