"""The twenty bAbI tasks of Weston et al. 2015, https://arxiv.org/abs/1502.05698: short stories, and questions with one answer."""

import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifelong.data.sources import SOURCES, place
from lifelong.errors import DataError, nearest

TASKS: dict[int, str] = {
    1: "single supporting fact",
    2: "two supporting facts",
    3: "three supporting facts",
    4: "two arg relations",
    5: "three arg relations",
    6: "yes no questions",
    7: "counting",
    8: "lists sets",
    9: "simple negation",
    10: "indefinite knowledge",
    11: "basic coreference",
    12: "conjunction",
    13: "compound coreference",
    14: "time reasoning",
    15: "basic deduction",
    16: "basic induction",
    17: "positional reasoning",
    18: "size reasoning",
    19: "path finding",
    20: "agents motivations",
}

# Every word of the statements and questions of all tasks, in the files of "en". A word's place is part of what a trained network is:
# it never changes.
_WORDS = """
    a above afraid after afternoon afterwards and antoine apple are back bathroom bedroom before below bernhard bigger bill blue bored box
    brian carrying cat cats chest chocolate chocolates cinema color container daniel did discarded do does down dropped east either emily
    evening fit fits following football fred frog from garden gave gertrude get give go got grabbed gray green greg hallway handed he how
    hungry in inside is jason jeff jessica john journeyed julie julius kitchen left lily lion longer many mary mice milk morning mouse
    moved no north not objects of office or pajamas park passed picked pink put received rectangle red rhino right sandra school she sheep
    south sphere square suitcase sumit swan than that the then there they thirsty this tired to took travelled triangle up was went west
    what where white who why will winona wolf wolves yann yellow yesterday you
"""
VOCABULARY: tuple[str, ...] = tuple(_WORDS.split())

# Every answer that a task can have: words; in task 8 the objects carried, in the order in which they were taken, and in task 19 two
# directions, either with commas. The files of "en" lack two of them, football,milk,apple and milk,apple,football.
_ANSWERS = """
    apple apple,football apple,football,milk apple,milk apple,milk,football bathroom bedroom bill bored cat cinema e,e e,n e,s football
    football,apple football,apple,milk football,milk football,milk,apple fred garden gray green hallway hungry jeff kitchen mary maybe
    milk milk,apple milk,apple,football milk,football milk,football,apple mouse n,e n,n n,w no none nothing office one park s,e s,s s,w
    school sheep thirsty three tired two w,n w,s w,w white wolf yellow yes
"""
ANSWERS: tuple[str, ...] = tuple(_ANSWERS.split())

LANGUAGES = ("en", "en-10k", "hn", "hn-10k", "shuffled", "shuffled-10k")  # folders of the archive
WIDTH = 12  # words of a statement or question, at most; the longest of "en" have 11
PARTS = ("train", "test")
NUMBER = re.compile("[0-9]{1,9}")  # of a line
(ARCHIVE,) = SOURCES["babi"].files
FOLDER = ARCHIVE.removesuffix(".tar.gz")
BLOCK = 1 << 20  # bytes read at once

Wanted = tuple[int, str]  # a task, and "train" or "test"
Found = tuple[str, bytes]  # where a file is, for errors, and its content


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a story.

    Attributes:
        story: all statements before the question, the oldest first, each as lower-case words without the final full stop.
        words: the question's words, lower-case, without the question mark.
        answer: as written, lower-case; a list keeps its commas, as in "milk,football".
        support: positions in `story` of the statements that the answer follows from, in the order written.
    """

    story: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    answer: str
    support: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Babi:
    """The questions of some tasks.

    Attributes:
        name: what results call the data, such as "babi en".
        train: for each task's number, its training questions, in the order of the file.
        test: the same for the test.
    """

    name: str
    train: dict[int, list[Question]]
    test: dict[int, list[Question]]

    def vocabulary(self) -> tuple[str, ...]:
        """`VOCABULARY`, and after it, sorted, the words of these questions and their stories that it lacks."""
        sentences = {sentence for question in self._all() for sentence in (*question.story, question.words)}
        return _with(VOCABULARY, (word for sentence in sentences for word in sentence))

    def answers(self) -> tuple[str, ...]:
        """`ANSWERS`, and after them, sorted, the answers of these questions that are not among them."""
        return _with(ANSWERS, (question.answer for question in self._all()))

    def _all(self) -> Iterator[Question]:
        for part in (self.train, self.test):
            for questions in part.values():
                yield from questions


def load(data: str = "babi", language: str = "en", tasks: Iterable[int] = tuple(TASKS)) -> Babi:
    """The questions of some tasks.

    Args:
        data: "babi" (from $LIFELONG_DATA/babi, else from the user's cache, else downloaded); or the path of a folder with the official
            archive tasks_1-20_v1-2.tar.gz, with its unpacked folder, with folders such as en or with files, as qa1_NAME_train.txt and
            qa1_NAME_test.txt for task 1. Nothing of an archive is written to the disk.
        language: the archive's folder: "en" (1,000 training questions a task) or "en-10k" (10,000); or "hn" (Hindi), "shuffled" (the
            letters of words shuffled) and the same with -10k. Of no effect for a folder that holds files itself, unless it has
            the name of another language.
        tasks: numbers of the tasks, 1 to 20. The files of others need not be there.

    Raises:
        DataError: unknown name or language, or a file that is missing, damaged, or of another form.
    """
    if language not in LANGUAGES:
        raise DataError(f"unknown language {language!r}; {nearest(str(language), LANGUAGES)}")
    folder, name = place(data, ("babi",))
    wanted = [(task, part) for task in tasks for part in PARTS]
    places = [folder / FOLDER / language, folder / language]
    if folder.name == language or folder.name not in LANGUAGES:
        places.append(folder)
    unpacked = next((place for place in places if any(place.glob("qa*.txt"))), None)
    found = _unpacked(unpacked, wanted) if unpacked is not None else {}
    for archive in (folder / ARCHIVE, folder / ARCHIVE.removesuffix(".gz")):
        if len(found) < len(wanted) and archive.is_file():
            found = _archived(archive, language, wanted) | found
    for task, part in wanted:
        if (task, part) not in found:
            file = (unpacked or places[0]) / _official(task, part)
            raise DataError(
                f"{file} is not there; put it there, or put {ARCHIVE}, which has all tasks, into {folder}. "
                f"It is at {' or '.join(mirror + ARCHIVE for mirror in SOURCES['babi'].mirrors)}"
            )
    questions = {each: parse(_decoded(*found[each]), found[each][0]) for each in wanted}
    train, test = ({task: questions[task, part] for task, _ in wanted} for part in PARTS)
    return Babi(name if unpacked == folder else f"{name} {language}", train, test)


def parse(text: str, where: str) -> list[Question]:
    r"""The questions of a text in the form of the official files, in their order.

    A story's lines are "NUMBER TEXT": statements, and questions with a tab, the answer, a tab and the numbers of the supporting
    lines. Numbers count statements and questions from 1; the next 1 begins the next story. The supporting lines may be left out.

    Args:
        text: lines of one or many stories.
        where: the file's name, for errors.

    Raises:
        DataError: a text of another form; says the file, the line and what was expected.

    >>> (question,) = parse("1 Mary moved to the bathroom.\n2 Where is Mary? \tbathroom\t1\n", "text")
    >>> question.story, question.words, question.answer, question.support
    ((('mary', 'moved', 'to', 'the', 'bathroom'),), ('where', 'is', 'mary'), 'bathroom', (0,))
    """
    questions: list[Question] = []
    lines = text.removesuffix("\n").split("\n") if text else []
    story: list[tuple[str, ...]] = []
    positions: dict[int, int | None] = {}  # in the story, of the statement with a number; None for a question
    known: dict[str, tuple[str, ...]] = {}  # sentences recur thousands of times: each is kept once
    last = 0
    for count, line in enumerate(lines, start=1):
        place = f"{where}, line {count}"
        number, content = _numbered(line.removesuffix("\r"), place)
        if number == 1:
            story, positions = [], {}
        elif number <= last or not positions:
            expected = f"a number above {last}, or 1 for a new story" if positions else "1, which begins a story"
            raise DataError(f"{place}: number {number}; expected {expected}")
        last = number
        if "\t" in content:
            positions[number] = None
            questions.append(_question(content, tuple(story), positions, known, place))
        elif content.endswith("?"):
            raise DataError(f"{place}: question {content!r} without an answer; expected a tab and the answer after it")
        else:
            positions[number] = len(story)
            story.append(_words(content.removesuffix("."), known, place))
    if not questions:
        raise DataError(f"{where}: no questions in {len(lines)} lines; expected stories such as 1 Mary moved to the bathroom.")
    return questions


def _numbered(line: str, place: str) -> tuple[int, str]:
    number, _, content = line.partition(" ")
    content = content.strip(" ")
    if not NUMBER.fullmatch(number) or not content:
        raise DataError(f"{place}: {line[:60]!r}; expected a number, a blank and a statement or question")
    return int(number), content


def _question(
    content: str,
    story: tuple[tuple[str, ...], ...],
    positions: dict[int, int | None],
    known: dict[str, tuple[str, ...]],
    place: str,
) -> Question:
    words, answer, *rest = (field.strip(" ") for field in content.split("\t"))
    if not answer or len(rest) > 1:
        raise DataError(f"{place}: {content!r}; expected a question, a tab, its answer, a tab and the numbers of supporting lines")
    support = []
    for number in rest[0].split() if rest else ():
        position = positions.get(int(number)) if NUMBER.fullmatch(number) else None
        if position is None:
            raise DataError(f"{place}: supporting line {number!r}; expected the number of an earlier statement of the story")
        support.append(position)
    return Question(story, _words(words.removesuffix("?"), known, place), answer.lower(), tuple(support))


def _words(sentence: str, known: dict[str, tuple[str, ...]], place: str) -> tuple[str, ...]:
    if sentence not in known:
        words = tuple(sentence.lower().split())
        if not 1 <= len(words) <= WIDTH:
            raise DataError(
                f"{place}: {len(words)} words; expected 1 to {WIDTH} in a statement or question. Leave the story out, or split it"
            )
        known[sentence] = words
    return known[sentence]


def _official(task: int, part: str) -> str:
    return f"qa{task}_{TASKS[task].replace(' ', '-')}_{part}.txt"


def _chosen(names: Iterable[str], task: int, part: str, where: Path) -> str | None:
    """The file of a task among others: the one with its official name, else the one whose name has its number."""
    official, known = _official(task, part), set(names)
    if official in known:
        return official
    others = sorted(name for name in known if re.fullmatch(rf"qa{task}_(.*_)?{part}\.txt", name))
    if len(others) > 1:
        raise DataError(f"{where}: {' and '.join(others)} are both for task {task}; call the one to read {official}")
    return others[0] if others else None


def _unpacked(folder: Path, wanted: Sequence[Wanted]) -> dict[Wanted, Found]:
    names = [path.name for path in folder.iterdir() if path.is_file()]
    files = {each: _chosen(names, *each, folder) for each in wanted}
    return {each: (str(folder / name), (folder / name).read_bytes()) for each, name in files.items() if name is not None}


def _archived(archive: Path, language: str, wanted: Sequence[Wanted]) -> dict[Wanted, Found]:
    official = {_official(*each): each for each in wanted}
    found: dict[Wanted, Found] = {}
    try:
        with tarfile.open(archive, "r:gz" if archive.suffix == ".gz" else "r:") as members:
            for member in members:
                path = PurePosixPath(member.name)
                file = members.extractfile(member) if member.isfile() and path.name in official and path.parent.name == language else None
                if file is not None:
                    found[official[path.name]] = f"{archive}, {member.name}", file.read()
            while members.fileobj is not None and members.fileobj.read(BLOCK):
                pass  # to the very end, where gzip's checksum is
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: truncated or damaged ({error}); get the file again") from error
    return found


def _decoded(where: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{where}, line {line}: byte {content[error.start]:#04x} is no UTF-8; expected text in UTF-8 or ASCII") from error


def _with(literal: tuple[str, ...], found: Iterable[str]) -> tuple[str, ...]:
    return literal + tuple(sorted(set(found).difference(literal)))
