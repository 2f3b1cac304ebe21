"""Small folders in the form of the official bAbI files, and that form written anew."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from lifelong.data.babi import ARCHIVE, FOLDER, TASKS, Question

# Two stories with three questions; the second story has the same beginning as the first.
TRAIN = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary went back to the hallway.
5 Where is Mary? \thallway\t4
1 Mary moved to the bathroom.
2 Where is Mary? \tbathroom\t1
"""
TEST = "1 Sandra moved to the garden.\n2 Where is Sandra? \tgarden\t1\n"


def name(task: int, part: str) -> str:
    """The official name of a task's file."""
    return f"qa{task}_{TASKS[task].replace(' ', '-')}_{part}.txt"


def write(folder: Path, tasks: Sequence[int] = (1,), train: str | bytes = TRAIN, test: str | bytes = TEST) -> Path:
    """Writes the files of some tasks, all alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        for part, text in (("train", train), ("test", test)):
            (folder / name(task, part)).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def pack(folder: Path, archive: Path, language: str = "en", top: str = FOLDER) -> Path:
    """The files of a folder as those of a language in an archive, with what must not be read; gives the archive's folder."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as members:
        outside = tarfile.TarInfo(f"../../{name(1, 'train')}")
        outside.size = 4
        members.addfile(outside, io.BytesIO(b"evil"))
        for file in sorted(folder.iterdir()):
            members.add(file, f"{top}/{language}/{file.name}")
            other = tarfile.TarInfo(f"{top}/{language}-valid/{file.name}")
            members.addfile(other, io.BytesIO())
    return archive.parent


def packed(folder: Path, language: str = "en") -> Path:
    """The same, in a folder of its own beside it."""
    return pack(folder, folder.parent / "packed" / ARCHIVE, language)


def written(questions: Sequence[Question], gap: str) -> str:
    """The text of one story's questions in the official form, in lower case; `gap` is between a question mark and its tab."""
    lines: list[str] = []
    numbers: list[int] = []  # of the statements
    for question in questions:
        for statement in question.story[len(numbers) :]:
            lines.append(f"{len(lines) + 1} {' '.join(statement)}.")
            numbers.append(len(lines))
        support = " ".join(str(numbers[position]) for position in question.support)
        lines.append(f"{len(lines) + 1} {' '.join(question.words)}?{gap}\t{question.answer}\t{support}")
    return "".join(f"{line}\n" for line in lines)
