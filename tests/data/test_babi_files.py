import dataclasses
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from babi_files import TEST, TRAIN, name, pack, packed, write, written
from lifelong.data import sources
from lifelong.data.babi import ANSWERS, ARCHIVE, FOLDER, TASKS, VOCABULARY, WIDTH, Question, load, parse
from lifelong.errors import DataError

OFFICIAL = Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "babi" / FOLDER / "en"
needs_babi = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"bAbI not found: set LIFELONG_DATA to the parent folder of babi/{FOLDER}/en")

ASKED, THEN = "where was the football before the bathroom", "where was the apple before the garden"
HOW = "how do you go from the kitchen to the garden"


def sentence(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The text form.


def test_a_text_by_hand() -> None:
    first = (sentence("mary moved to the bathroom"), sentence("john went to the hallway"))
    assert parse(TRAIN, "text") == [
        Question(first, sentence("where is mary"), "bathroom", (0,)),
        Question((*first, sentence("mary went back to the hallway")), sentence("where is mary"), "hallway", (2,)),
        Question(first[:1], sentence("where is mary"), "bathroom", (0,)),
    ]


def test_answers_keep_their_commas_and_support_its_order() -> None:
    text = "1 A b.\n2 Who?\tYann\t1\n3 C d.\n5 E f.\n7 What? \tmilk,Football\t5 1 3\n"  # numbers may leave some out
    assert [(question.answer, question.support) for question in parse(text, "text")] == [("yann", (0,)), ("milk,football", (2, 0, 1))]


@pytest.mark.parametrize(
    "text", ["1 A b.\r\n2 Who?\tc\t1\r\n", "1 A b.\n2 Who?\tc\t1", "1 A b\n2 Who\tc\t1\n", "1  A  b. \n2 Who? \t c \t 1 \n"]
)
def test_other_line_endings_and_blanks(text: str) -> None:
    assert parse(text, "text") == [Question((("a", "b"),), ("who",), "c", (0,))]


@pytest.mark.parametrize("text", ["1 A b.\n2 Who?\tc\n", "1 A b.\n2 Who?\tc\t\n"])
def test_the_support_may_be_left_out(text: str) -> None:
    assert parse(text, "text")[0].support == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mary moved.\n", "line 1: 'Mary moved.'; expected a number, a blank and a statement or question"),
        ("1 A b.\n\n2 Who?\tc\t1\n", "line 2: ''; expected a number, a blank and a statement or question"),
        ("1 A b.\n2 \n", "line 2: '2 '; expected a number, a blank and a statement or question"),
        ("1 A b.\n-2 Who?\tc\t1\n", "line 2: '-2 Who?\\tc\\t1'; expected a number, a blank and"),
        ("1 A b.\n² Who?\tc\t1\n", "line 2: '² Who?\\tc\\t1'; expected a number, a blank and"),
        (f"{'1' * 5000} A b.\n", f"line 1: '{'1' * 60}'; expected a number, a blank and"),
        ("1 A b.\n3 C d.\n3 Who?\tc\t1\n", "line 3: number 3; expected a number above 3, or 1 for a new story"),
        ("1 A b.\n3 C d.\n2 Who?\tc\t1\n", "line 3: number 2; expected a number above 3, or 1 for a new story"),
        ("1 A b.\n0 Who?\tc\t1\n", "line 2: number 0; expected a number above 1, or 1 for a new story"),
        ("2 A b.\n3 Who?\tc\t1\n", "line 1: number 2; expected 1, which begins a story"),
        ("1 A b.\n2 Who is it?\n", "line 2: question 'Who is it?' without an answer; expected a tab and the answer after it"),
        ("1 A b.\n2 Who?\t\t1\n", "line 2: 'Who?\\t\\t1'; expected a question, a tab, its answer, a tab and the numbers of supporting"),
        ("1 A b.\n2 Who?\tc\t1\t1\n", "line 2: 'Who?\\tc\\t1\\t1'; expected a question, a tab, its answer, a tab and"),
        ("1 A b.\n2 Who?\tc\t1 x\n", "line 2: supporting line 'x'; expected the number of an earlier statement of the story"),
        ("1 A b.\n2 Who?\tc\t3\n3 D e.\n", "line 2: supporting line '3'; expected the number of an earlier statement"),
        ("1 A b.\n2 Who?\tc\t2\n", "line 2: supporting line '2'; expected the number of an earlier statement"),
        ("1 A b.\n2 Who?\tc\t1\n3 Who?\tc\t2\n", "line 3: supporting line '2'; expected the number of an earlier statement"),
        ("1 A b.\n2 D e.\n1 A b.\n3 Who?\tc\t2\n", "line 4: supporting line '2'; expected the number of an earlier statement"),
        (f"1 A b.\n2 {'w ' * 12}w.\n", "line 2: 13 words; expected 1 to 12 in a statement or question. Leave the story out, or split it"),
        (f"1 A b.\n2 {'w ' * 12}w?\tc\t1\n", "line 2: 13 words; expected 1 to 12 in a statement or question"),
        ("1 .\n", "line 1: 0 words; expected 1 to 12 in a statement or question"),
        ("1 ?\tc\t\n", "line 1: 0 words; expected 1 to 12 in a statement or question"),
        ("", "no questions in 0 lines; expected stories such as 1 Mary moved to the bathroom."),
        ("1 A b.\n2 C d.\n", "no questions in 2 lines; expected stories such as"),
    ],
)
def test_texts_of_another_form(tmp_path: Path, text: str, message: str) -> None:
    comma = "" if message.startswith("no questions") else ", "
    with pytest.raises(DataError, match=re.escape(f"mine{comma or ': '}{message}")):
        parse(text, "mine")
    file = write(tmp_path / "mine", train=text) / name(1, "train")
    with pytest.raises(DataError, match=re.escape(f"{file}{comma or ': '}{message}")):
        load(str(tmp_path / "mine"), tasks=[1])


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    file = write(tmp_path / "mine", train="1 Zoë a.\n".encode() + b"2 Zo\xe9 b.\n") / name(1, "train")
    with pytest.raises(DataError, match=re.escape(f"{file}, line 2: byte 0xe9 is no UTF-8; expected text in UTF-8 or ASCII")):
        load(str(tmp_path / "mine"), tasks=[1])


# Where files are.


def check(folder: Path, called: str, language: str = "en") -> None:
    found = load(str(folder), language, [1])
    assert found.name == called
    assert found.train == {1: parse(TRAIN, "train")}
    assert found.test == {1: parse(TEST, "test")}


def test_the_official_folder_and_its_parts(tmp_path: Path) -> None:
    top = tmp_path / "all"
    write(top / FOLDER / "en")
    check(top, "all en")
    check(top / FOLDER, f"{FOLDER} en")
    check(top / FOLDER / "en", "en")
    write(tmp_path / "mine")
    check(tmp_path / "mine", "mine")


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("language", ["en", "en-10k"])
def test_the_archive(tmp_path: Path, suffix: str, language: str) -> None:
    folder = pack(write(tmp_path / "mine"), tmp_path / "packed" / (FOLDER + ".tar" + suffix), language)
    check(folder, f"packed {language}", language)
    before = sorted(tmp_path.rglob("*"))
    load(str(folder), language, [1])
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked


def test_an_archive_gives_what_the_unpacked_folder_lacks(tmp_path: Path) -> None:
    other = TRAIN.replace("Mary", "Daniel")
    folder = packed(write(tmp_path / "mine", [1, 2], other))
    write(folder / FOLDER / "en", [1])
    found = load(str(folder), tasks=[2, 1])
    assert found.train == {2: parse(other, "train"), 1: parse(TRAIN, "train")}


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / name(1, "test")).unlink()
    (folder / name(1, "test")).symlink_to(name(1, "train"))
    with pytest.raises(DataError, match=f"{name(1, 'test')} is not there"):
        load(str(packed(folder)), tasks=[1])


def test_damaged_archives(tmp_path: Path) -> None:
    archive = packed(write(tmp_path / "mine")) / ARCHIVE
    content = archive.read_bytes()
    for wrong in (content[: len(content) // 2], content[:-4], b"no archive", b""):
        archive.write_bytes(wrong)
        with pytest.raises(DataError, match=rf"{re.escape(str(archive))}: truncated or damaged \(.*\); get the file again"):
            load(str(archive.parent), tasks=[1])


def test_a_missing_file_matters_when_its_task_is_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine" / FOLDER / "en", [1, 2, 3])
    file = folder / name(2, "test")
    file.unlink()
    assert list(load(str(tmp_path / "mine"), tasks=[3, 1]).train) == [3, 1]
    message = (
        f"{file} is not there; put it there, or put {ARCHIVE}, which has all tasks, into {tmp_path / 'mine'}. "
        f"It is at http://www.thespermwhale.com/jaseweston/babi/{ARCHIVE} or https://"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        load(str(tmp_path / "mine"), tasks=[1, 2])


def test_a_missing_language(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine" / FOLDER / "en")
    file = folder.parent / "en-10k" / name(1, "train")
    for given in (tmp_path / "mine", folder.parent, folder):
        lacking = file if given == tmp_path / "mine" else given / FOLDER / "en-10k" / file.name
        with pytest.raises(DataError, match=re.escape(f"{lacking} is not there; put it there, or put {ARCHIVE}")):
            load(str(given), "en-10k", [1])
    with pytest.raises(DataError, match=r"unknown language 'en-10'; did you mean 'en-10k'\? Known: en, en-10k, hn, hn-10k, shuffled"):
        load(str(folder), "en-10")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / FOLDER / 'en' / name(7, 'train')} is not there; put it there, or put")):
        load(str(tmp_path), tasks=[7])


def test_files_with_names_of_ones_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    for part in ("train", "test"):
        (folder / name(1, part)).rename(folder / f"qa1_cats_{part}.txt")
        (folder / f"qa10_dogs_{part}.txt").write_text("1 another task's")
    check(folder, "mine")
    for part in ("train", "test"):
        (folder / f"qa1_cats_{part}.txt").rename(folder / f"qa1_{part}.txt")
    check(folder, "mine")
    (folder / "qa1_mice_train.txt").touch()
    message = f"{folder}: qa1_mice_train.txt and qa1_train.txt are both for task 1; call the one to read {name(1, 'train')}"
    with pytest.raises(DataError, match=re.escape(message)):
        load(str(folder), tasks=[1])
    (folder / name(1, "train")).write_text(TRAIN)
    check(folder, "mine")


def test_the_data_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFELONG_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pack(write(tmp_path / "mine", train=TEST), tmp_path / "cache" / "lifelong" / "babi" / ARCHIVE)
    found = load(tasks=[1])
    assert (found.name, len(found.train[1])) == ("babi en", 1)
    write(tmp_path / "given" / "babi" / FOLDER / "en")
    found = load(tasks=[1])
    assert (found.name, len(found.train[1])) == ("babi en", 3)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/given/babi/{FOLDER}/en-10k/{name(1, 'train')} is not there")):
        load(language="en-10k", tasks=[1])
    with pytest.raises(DataError, match="'bab' is neither a known data set nor a folder; did you mean 'babi'\\? Known: babi$"):
        load("bab")


def test_the_archive_is_downloaded_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFELONG_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mirror = packed(write(tmp_path / "mine"))
    real = hashlib.sha256((mirror / ARCHIVE).read_bytes()).hexdigest()
    for digest in ("0" * 64, real):
        near = dataclasses.replace(sources.SOURCES["babi"], files={ARCHIVE: digest}, mirrors=(mirror.as_uri() + "/",))
        monkeypatch.setitem(sources.SOURCES, "babi", near)
        if digest != real:
            with pytest.raises(DataError, match=f"wrong content, sha256 {real} where {digest} was expected; deleted"):
                load(tasks=[1])
    assert load(tasks=[1]).train == {1: parse(TRAIN, "train")}
    assert (tmp_path / "cache" / "lifelong" / "babi" / ARCHIVE).is_file()


# Words and answers.


def test_words_and_answers_that_are_not_the_official_ones_come_after_them(tmp_path: Path) -> None:
    train = "1 Zoe fed the gnu.\n2 What did Zoe feed? \tgnu\t1\n3 Where is the ape? \tzoo,apple\t1\n"
    found = load(str(write(tmp_path / "mine", train=train)), tasks=[1])
    assert found.vocabulary() == (*VOCABULARY, "ape", "fed", "feed", "gnu", "zoe")
    assert found.answers() == (*ANSWERS, "gnu", "zoo,apple")


def test_the_literals_are_sorted_and_whole() -> None:
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
    assert list(ANSWERS) == sorted(set(ANSWERS))
    assert (len(VOCABULARY), len(ANSWERS), list(TASKS)) == (145, 60, list(range(1, 21)))
    # All that can be carried of three objects in some order, and all pairs of directions that don't lead back.
    objects, opposite = ("apple", "football", "milk"), {"n": "s", "s": "n", "e": "w", "w": "e"}
    pairs = [f"{a},{b}" for a in objects for b in objects if a != b]
    triples = [f"{pair},{c}" for pair in pairs for c in objects if c not in pair]
    paths = [f"{a},{b}" for a in opposite for b in opposite if b != opposite[a]]
    assert {answer for answer in ANSWERS if "," in answer} == {*pairs, *triples, *paths}


@needs_babi
def test_the_literals_are_those_of_the_official_files() -> None:
    # Counted from the files' text, without the reader: words of statements and questions, in lower case, without . and ?
    words, answers = set(), set()
    for task in TASKS:
        for part in ("train", "test"):
            for line in (OFFICIAL / name(task, part)).read_text().lower().splitlines():
                text, *rest = line.split(maxsplit=1)[1].split("\t")
                words.update(re.findall("[a-z]+", text))
                answers.update(rest[:1])
    assert sorted(words) == list(VOCABULARY)
    assert len(answers) == 58
    assert {*answers, "football,milk,apple", "milk,apple,football"} == set(ANSWERS)


# The official files. SOURCE.txt beside them counts 1,000 + 1,000 questions a task.


@needs_babi
def test_counts_of_the_official_files() -> None:
    found = load("babi", "en")
    assert found.name == "babi en"
    assert {task: len(questions) for task, questions in found.train.items()} == dict.fromkeys(TASKS, 1000)
    assert {task: len(questions) for task, questions in found.test.items()} == dict.fromkeys(TASKS, 1000)
    assert (found.vocabulary(), found.answers()) == (VOCABULARY, ANSWERS)
    every = [question for part in (found.train, found.test) for questions in part.values() for question in questions]
    assert len({question.answer for question in every}) == 58
    assert max(len(words) for question in every for words in (*question.story, question.words)) == 11 < WIDTH
    assert max(len(question.story) for question in every) == 228


@needs_babi
@pytest.mark.parametrize("task", TASKS)
def test_stories_written_again_are_the_official_text(task: int) -> None:
    gap = "" if task in (4, *range(15, 21)) else " "
    for part in ("train", "test"):
        text = (OFFICIAL / name(task, part)).read_bytes().decode("ascii")
        stories = re.split(r"^(?=1 )", text, flags=re.MULTILINE)[1:]
        each = [parse(story, part) for story in stories]
        assert "".join(written(questions, gap) for questions in each) == text.lower()
        assert [question for questions in each for question in questions] == parse(text, part)


# Of the training files, read by hand: the task, the question's place, how many statements, the first and the last, and what is asked.
FIRST = [
    (1, 0, 2, "mary moved to the bathroom", "john went to the hallway", "where is mary", "bathroom", (0,)),
    (1, 1, 4, "mary moved to the bathroom", "sandra moved to the garden", "where is daniel", "hallway", (2,)),
    (3, 0, 24, "mary moved to the bathroom", "john moved to the bedroom", ASKED, "office", (22, 16, 4)),
    # Lines 25 and 28 of that story are questions, so that line 29 is statement 26, counted from 0.
    (3, 2, 28, "mary moved to the bathroom", "sandra travelled to the kitchen", THEN, "bathroom", (26, 19, 14)),
    (8, 1, 6, "mary moved to the bathroom", "mary dropped the football", "what is mary carrying", "nothing", (2, 5)),
    (8, 2, 8, "mary moved to the bathroom", "sandra went back to the office", "what is mary carrying", "football", (2, 5, 6)),
    (15, 2, 8, "mice are afraid of wolves", "jessica is a wolf", "what is jessica afraid of", "cat", (7, 5)),
    (19, 0, 5, "the office is east of the hallway", "the bathroom is north of the garden", HOW, "s,e", (1, 3)),
    (20, 0, 1, "sumit is tired", "sumit is tired", "where will sumit go", "bedroom", (0,)),
    (20, 3, 4, "sumit is tired", "yann is bored", "where will yann go", "garden", (3,)),
]


@needs_babi
@pytest.mark.parametrize("expected", FIRST, ids=[f"{task}-{row}" for task, row, *_ in FIRST])
def test_first_stories_by_hand(expected: tuple[Any, ...]) -> None:
    task, row, statements, first, last, asked, answer, support = expected
    found = load(tasks=[task]).train[task][row]
    assert len(found.story) == statements
    assert (found.story[0], found.story[-1], found.words) == (sentence(first), sentence(last), sentence(asked))
    assert (found.answer, found.support) == (answer, support)


@needs_babi
def test_what_answers_follow_from() -> None:
    found = load(tasks=[1, 15, 19])
    for part in (found.train, found.test):
        for question in part[1]:  # where the person went last
            (fact,) = question.support
            assert question.story[fact][-1] == question.answer
            last = max(i for i, statement in enumerate(question.story) if statement[0] == question.words[-1])
            assert last == fact
        singular = {"cats": "cat", "mice": "mouse", "sheep": "sheep", "wolves": "wolf"}
        for question in part[15]:  # somebody is a mouse, and mice are afraid of wolves
            kind, fear = (question.story[fact] for fact in question.support)
            assert (kind[0], singular[fear[0]], singular[fear[-1]]) == (question.words[2], kind[-1], question.answer)
        steps = {"n": "north", "s": "south", "e": "east", "w": "west"}
        back = {"north": "south", "south": "north", "east": "west", "west": "east"}
        for question in part[19]:  # two rooms each: the bedroom is north of the garden
            place, goal = question.words[6], question.words[9]
            for fact, step in zip(question.support, question.answer.split(","), strict=True):
                there, here, way = question.story[fact][1], question.story[fact][-1], question.story[fact][3]
                there, here, way = (there, here, way) if here == place else (here, there, back[way])
                assert (here, way) == (place, steps[step])
                place = there
            assert place == goal
