"""Writes docs/lecture.md and its pictures from a run of `lifelong lecture`.

lifelong lecture --out runs/lecture
python tools/draw_lecture.py runs/lecture
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lifelong.lecture.course import Course
from lifelong.lecture.section import Json, Section, Shown, Table
from lifelong.lecture.sections import SECTIONS

DOCS = Path(__file__).parents[1] / "docs"
MEASURED = DOCS / "results" / "lecture" / "measured.json"
HEAD = """# The lecture

Hung-yi Lee's lecture "Life Long Learning", with every demonstration made by this library. `lifelong lecture` runs all of it, offline, and
writes it to one page in English and Chinese (中文); `lifelong lecture SECTION` runs one section, and `--full` takes full data and longer
training. The numbers and pictures here are those of one run of the short lecture; this page is made by `python tools/draw_lecture.py DIR`
from that run's folder.
"""


def page(shown: Sequence[tuple[Section, Shown, str]]) -> str:
    """The tour as Markdown: (section, its content, the command that reproduces it)."""
    contents = [f"{n}. [{section.title.en}](#{anchor(n, section)})" for n, (section, _, _) in enumerate(shown, start=1)]
    parts = [part(n, *each) for n, each in enumerate(shown, start=1)]
    return "\n".join([HEAD, *contents, "", *parts])


def anchor(number: int, section: Section) -> str:
    """The heading's anchor as GitHub makes it."""
    words = f"{number}. {section.title.en}".lower()
    return "".join(character for character in words if character.isalnum() or character in " -_").replace(" ", "-")


def part(number: int, section: Section, content: Shown, command: str) -> str:
    """A section's Markdown."""
    lines = [f"## {number}. {section.title.en}", "", f"**{section.claim.en}**", ""]
    for paragraph in content.text:
        lines += [paragraph, ""]
    for i, picture in enumerate(content.pictures, start=1):
        lines += [f"![{alternative(picture.image)}](lecture/{section.name}-{i}.svg)", "", f"*{picture.caption}*", ""]
    for table in content.tables:
        lines += [*rows(table), ""]
    code = ", ".join(f"[`{path}`](../{path})" for path in section.code)
    return "\n".join([*lines, f"Run it alone: `{command}`. In the code: {code}.", ""])


def rows(table: Table) -> Iterator[str]:
    """A table's Markdown."""
    yield f"| {' | '.join(table.columns)} |"
    yield f"|{'---|' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"


def alternative(image: str) -> str:
    """The picture's title, for where it can't be shown; the whole text alternative is inside the picture."""
    return image.split("<title>", 1)[1].split("</title>", 1)[0].replace("[", "(").replace("]", ")")


def write(measured: Mapping[str, Mapping[str, Json]], folder: Path) -> None:
    """The page beside the folder, and the pictures in it."""
    shown = [(section, section.show(measured[section.name], "en"), f"lifelong lecture {section.name}") for section in SECTIONS]
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for section, content, _ in shown:
        for i, picture in enumerate(content.pictures, start=1):
            (folder / f"{section.name}-{i}.svg").write_text(picture.image + "\n", encoding="utf-8")
    folder.with_suffix(".md").write_text(page(shown), encoding="utf-8")


def main() -> None:
    if len(sys.argv) > 1:
        measured = Course(SECTIONS, Path(sys.argv[1])).measured()
        missing = [section.name for section in SECTIONS if section.name not in measured]
        if missing:
            sys.exit(f"{sys.argv[1]} lacks {', '.join(missing)}; run: lifelong lecture {' '.join(missing)} --out {sys.argv[1]}")
        MEASURED.parent.mkdir(exist_ok=True)
        MEASURED.write_text(json.dumps(measured, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    write(json.loads(MEASURED.read_text(encoding="utf-8")), DOCS / "lecture")


if __name__ == "__main__":
    main()
