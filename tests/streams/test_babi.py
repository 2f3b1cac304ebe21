import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from babi_files import TRAIN, name, write
from lifelong.data import babi_simulator
from lifelong.data.babi import ANSWERS, FOLDER, TASKS, VOCABULARY, WIDTH, Question, load
from lifelong.errors import DataError, ScenarioError, TaskError
from lifelong.streams import STREAMS, babi
from lifelong.tasks import Scenario, Task

needs_babi = pytest.mark.skipif(
    not (Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "babi" / FOLDER / "en").is_dir(),
    reason=f"bAbI not found: set LIFELONG_DATA to the parent folder of babi/{FOLDER}/en",
)

# Ten questions with answers of their own, to draw from; no answer recurs.
TEN = "".join(f"1 Mary took the {word}.\n2 What is that? \t{word}\t1\n" for word in ANSWERS[:10])


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Tasks 1 and 15, with three questions each to train and one to test."""
    return str(write(tmp_path / "mine", [1, 15]))


def words(sentence: Tensor, vocabulary: Sequence[str] = VOCABULARY) -> str:
    """The sentence that a row of x stands for; padding comes last, or the row is wrong."""
    numbers = sentence.tolist()
    count = sum(number != 0 for number in numbers)
    assert numbers[count:] == [0] * (len(numbers) - count)
    return " ".join(vocabulary[number - 1] for number in numbers[:count])


def same(a: Task, b: Task) -> bool:
    assert a.test is not None
    assert b.test is not None
    equal = [torch.equal(one, other) for one, other in ((a.train.x, b.train.x), (a.train.y, b.train.y), (a.test.x, b.test.x))]
    return (a.name, a.classes) == (b.name, b.classes) and all(equal) and torch.equal(a.test.y, b.test.y)


# What the network gets.


def test_x_by_hand(folder: str) -> None:
    task = babi([1], data=folder, sentences=3)[0]
    x = task.train.x
    assert (x.dtype, tuple(x.shape)) == (torch.int16, (3, 4, WIDTH))
    assert [[words(sentence) for sentence in question] for question in x] == [
        ["where is mary", "john went to the hallway", "mary moved to the bathroom", ""],
        ["where is mary", "mary went back to the hallway", "john went to the hallway", "mary moved to the bathroom"],
        ["where is mary", "mary moved to the bathroom", "", ""],
    ]
    mary, where = VOCABULARY.index("mary") + 1, VOCABULARY.index("where") + 1
    assert (int(x[0, 0, 0]), int(x[0, 0, 2]), int(x[0, 2, 0])) == (where, mary, mary)
    assert [task.classes[label] for label in task.train.y.tolist()] == ["bathroom", "hallway", "bathroom"]


def test_only_the_latest_statements_are_kept(folder: str) -> None:
    x = babi([1], data=folder, sentences=1)[0].train.x
    assert [[words(sentence) for sentence in question] for question in x] == [
        ["where is mary", "john went to the hallway"],
        ["where is mary", "mary went back to the hallway"],
        ["where is mary", "mary moved to the bathroom"],
    ]


def test_a_sentence_of_all_the_words_there_is_room_for(tmp_path: Path) -> None:
    longest = " ".join(["the"] * (WIDTH - 1) + ["box"])
    x = babi([1], data=str(write(tmp_path / "mine", train=f"1 {longest}.\n2 {longest}?\tyes\t1\n")))[0].train.x
    assert [words(sentence) for sentence in x[0, :3]] == [longest, longest, ""]


def test_words_of_other_files_come_after_the_official_ones(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", [1, 2])
    (folder / name(2, "test")).write_text("1 Zoe moved to the Attic.\n2 Where is Zoe? \tattic\t1\n")
    stream = babi([1, 2], data=str(folder))
    one, two = stream
    assert isinstance(two, Task)
    assert two.test is not None
    assert words(two.test.x[0, 0], (*VOCABULARY, "attic", "zoe")) == "where is zoe"
    assert one.classes == two.classes == (*ANSWERS, "attic")
    assert torch.equal(one.train.x, babi([1], data=str(folder))[0].train.x)


# Scenarios and tasks.


@pytest.mark.parametrize("scenario", get_args(Scenario))
def test_classes_of_the_scenarios(tmp_path: Path, scenario: Scenario) -> None:
    folder = write(tmp_path / "mine", [1, 2])
    (folder / name(2, "train")).write_text("1 Mary took the milk.\n2 Is that so?\tyes\t1\n3 And?\tmilk\t1\n")
    stream = babi([2, 1], scenario=scenario, data=str(folder))
    assert (stream.name, stream.scenario, len(stream), stream.data) == ("babi", scenario, 2, "mine (2 to 3 a task)")
    # Those of the test belong to them, in the order of all answers: garden is asked for in tests only.
    expected = [("garden", "milk", "yes"), ("bathroom", "garden", "hallway")]
    for task, own in zip(stream, expected, strict=True):
        assert task.test is not None
        assert task.classes == (ANSWERS if scenario == "domain" else own)
        assert [task.classes[label] for label in task.test.y.tolist()] == ["garden"]
    assert [stream[0].classes[label] for label in stream[0].train.y.tolist()] == ["yes", "milk"]


def test_tasks_in_any_order_are_the_same_ones(folder: str) -> None:
    forward, backward = (babi(order, data=folder, examples=2, seed=5) for order in ([1, 15], (number for number in (15, 1))))
    assert [task.name for task in forward] == ["1 single supporting fact", "15 basic deduction"]
    assert [task.name for task in backward] == ["15 basic deduction", "1 single supporting fact"]
    assert same(forward[0], backward[1])
    assert same(forward[1], backward[0])


def test_names_are_short_and_differ(tmp_path: Path) -> None:
    names = [task.name for task in babi(data=str(write(tmp_path / "mine", TASKS)))]
    assert len(set(names)) == 20
    assert max(map(len, names)) <= 25
    assert names[18] == "19 path finding"


@pytest.mark.parametrize(
    ("wrong", "given"),
    [
        ([0], "[0]"),
        ([1, 21], "[1, 21]"),
        ([3, 1, 3], "[3, 1, 3]"),
        ([], "[]"),
        (range(1, 1), "[]"),
        (5, "5"),
        ("12", "['1', '2']"),
        ([1.0], "[1.0]"),
        ([True], "[True]"),
        ([[1], [2]], "[[1], [2]]"),
    ],
)
def test_wrong_tasks(wrong: Any, given: str) -> None:
    with pytest.raises(TaskError, match=re.escape(f"tasks is {given}; expected numbers of tasks from 1 to 20, each once, as [1, 2, 3]")):
        babi(wrong)


# Examples.


def test_examples_are_drawn_from_the_seed(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "mine", [1, 2], train=TEN))
    whole = babi([1, 2], data=folder)
    assert whole.data == "mine (10 a task)"
    some, again, other = (babi([1, 2], data=folder, examples=4, seed=seed) for seed in (3, 3, 4))
    assert some.data == "mine (4 a task)"
    for position in range(2):
        assert same(some[position], again[position])
        assert not same(some[position], other[position])
    assert not torch.equal(some[0].train.x, some[1].train.x)  # drawn for each task
    known = {(x.numpy().tobytes(), y) for x, y in zip(whole[0].train.x, whole[0].train.y.tolist(), strict=True)}
    drawn = {(x.numpy().tobytes(), y) for x, y in zip(some[0].train.x, some[0].train.y.tolist(), strict=True)}
    assert len(drawn) == 4
    assert drawn < known
    assert len(some[0].test or ()) == 1
    before = torch.get_rng_state()
    assert all(same(*pair) for pair in zip(babi([1, 2], data=folder, seed=1), babi([1, 2], data=folder, seed=2), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_classes_do_not_depend_on_the_examples_drawn(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "mine", train=TEN))
    for examples in (1, None):
        assert babi([1], scenario="class", data=folder, examples=examples)[0].classes == (*ANSWERS[:10], "garden")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"examples": 0}, r"examples is 0; the smallest task of mine has 1 to 3 training questions to draw"),
        ({"examples": 4}, r"examples is 4; the smallest task of mine has 1 to 3 training questions to draw"),
        ({"examples": 0, "source": "simulated"}, "examples is 0; expected 1 or more simulated training questions a task, or None for 1000"),
        ({"sentences": 0}, "sentences is 0; expected 1 or more, how many statements before a question are kept"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"source": "simulate"}, "unknown source 'simulate'; did you mean 'simulated'\\? Known: en, en-10k, hn, hn-10k, shuffled,"),
    ],
)
def test_numbers_out_of_range(folder: str, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], message: str) -> None:
    monkeypatch.setattr(babi_simulator, "simulate", str)
    with pytest.raises(TaskError, match=message):
        babi([1, 15], **{"data": folder, **wrong})


def test_other_wrong_arguments(folder: str) -> None:
    with pytest.raises(ScenarioError, match="unknown scenario 'domains'; did you mean 'domain'\\? Known: class, domain, task"):
        babi(scenario="domains")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'babies' is neither a known data set nor a folder; did you mean 'babi'"):
        babi(data="babies")
    with pytest.raises(DataError, match=re.escape(f"{folder}/{name(2, 'train')} is not there; put it there, or put")):
        babi([1, 2], data=folder)


def test_sentences_that_are_too_long(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", train=f"1 {'very ' * WIDTH}long.\n2 Is it? \tyes\t1\n")
    message = (
        f"{folder / name(1, 'train')}, line 1: 13 words; expected 1 to 12 in a statement or question. Leave the story out, or split it"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        babi([1], data=str(folder))


def test_more_words_than_int16_can_number(tmp_path: Path) -> None:
    def text(count: int) -> str:
        new = [f"word{number}" for number in range(count)]
        lines = [" ".join(new[start : start + WIDTH]) for start in range(0, count, WIDTH)]
        return "".join(f"{number} {line}.\n" for number, line in enumerate(lines, start=1)) + f"{len(lines) + 1} Is that so?\tyes\t1\n"

    most = 2**15 - 1 - len({*VOCABULARY, "so"})
    folder = str(write(tmp_path / "mine", train=text(most)))
    assert int(babi([1], data=folder, sentences=3000)[0].train.x.max()) == 2**15 - 1
    with pytest.raises(DataError, match="mine has 32768 different words; expected at most 32767"):
        babi([1], data=str(write(tmp_path / "mine", train=text(most + 1))))


def test_recipes_can_name_it() -> None:
    assert STREAMS["babi"] is babi


# Simulated stories.


def test_each_simulated_set_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []

    def simulate(task: int, questions: int, seed: int) -> str:
        asked.append((task, questions, seed))
        return TRAIN.replace("hallway", ["kitchen", "garden", "office", "bedroom"][seed % 4])

    monkeypatch.setattr(babi_simulator, "simulate", simulate)
    stream = babi([3, 7], source="simulated", examples=5, seed=2)
    assert (stream.data, asked) == ("simulated babi (5 a task, seed 2)", [])
    assert babi(source="simulated").data == "simulated babi (1000 a task, seed 0)"
    first = list(stream)
    assert [(task, questions) for task, questions, _ in asked] == [(3, 5), (3, 1000), (7, 5), (7, 1000)]
    assert all(same(*pair) for pair in zip(first, stream, strict=True))
    assert len(asked) == 4  # each task was simulated once
    seeds = {(task, questions): seed for task, questions, seed in asked}
    list(babi([7, 1, 3], source="simulated", seed=2))
    assert [(task, seed) for task, questions, seed in asked[4:] if (task, questions) in {(3, 1000), (7, 1000)}] == [
        (7, seeds[7, 5]),
        (7, seeds[7, 1000]),
        (3, seeds[3, 5]),
        (3, seeds[3, 1000]),
    ]
    list(babi([3, 7], source="simulated", seed=3))
    seeds_of_all = {seed for *_, seed in asked}
    assert len(seeds_of_all) == 4 + 2 + 4


def test_simulated_stories_have_the_official_words_and_answers() -> None:
    stream = babi(source="simulated", examples=20)
    assert len(stream) == 20
    for task in stream:
        assert task.test is not None
        assert task.classes == ANSWERS
        for part, size in ((task.train, 20), (task.test, 1000)):
            assert (part.x.dtype, tuple(part.x.shape), len(part.y)) == (torch.int16, (size, 51, WIDTH), size)
            assert 1 <= int(part.x.max()) <= len(VOCABULARY)


@pytest.mark.parametrize("scenario", get_args(Scenario))
def test_simulated_tasks_depend_on_the_seed_and_their_number(scenario: Scenario) -> None:
    settings: dict[str, Any] = {"scenario": scenario, "source": "simulated", "examples": 20}
    task = babi([5, 15], **settings)[1]
    assert same(task, babi([15], **settings)[0])
    assert not same(task, babi([15], **settings, seed=1)[0])
    assert task.classes == (ANSWERS if scenario == "domain" else ("cat", "mouse", "sheep", "wolf"))
    assert task.test is not None
    assert not torch.equal(task.train.x, task.test.x[:20])
    more = babi([15], **{**settings, "examples": 30})[0]
    assert torch.equal(more.train.x[:20], task.train.x)  # the first of those that more would be


def test_the_simulator_is_imported_only_where_it_is_asked_for() -> None:
    code = "import sys, lifelong.streams.babi; sys.exit('lifelong.data.babi_simulator' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The official files.


def by_hand(question: Question, sentences: int = 50) -> tuple[list[str], str]:
    latest = [" ".join(statement) for statement in question.story][::-1][:sentences]
    return [" ".join(question.words), *latest, *[""] * (sentences - len(latest))], question.answer


@needs_babi
def test_official_stories_are_what_x_says() -> None:
    stream = babi()
    assert (stream.data, len(stream), stream.scenario) == ("babi en (1000 a task)", 20, "domain")
    found = load()
    for number, task in zip(TASKS, stream, strict=True):
        assert task.test is not None
        assert task.name == f"{number} {TASKS[number]}"
        assert task.classes == ANSWERS
        assert (len(task.train), len(task.test)) == (1000, 1000)
        for part, questions in ((task.train, found.train[number]), (task.test, found.test[number])):
            assert (part.x.dtype, tuple(part.x.shape)) == (torch.int16, (1000, 51, 12))
            for row in (0, 1, 2, 333, 999):
                read = [words(sentence) for sentence in part.x[row]], task.classes[int(part.y[row])]
                assert read == by_hand(questions[row])


@needs_babi
def test_official_answers_of_the_other_scenarios() -> None:
    counts = [6, 6, 6, 6, 7, 2, 4, 14, 2, 3, 6, 6, 6, 6, 4, 4, 2, 2, 12, 7]  # counted from the files by their answers' text
    for scenario in ("class", "task"):
        tasks = list(babi(scenario=scenario))
        assert [len(task.classes) for task in tasks] == counts
        assert tasks[6].classes == ("none", "one", "three", "two")
        assert tasks[19].classes == ("bedroom", "bored", "garden", "hungry", "kitchen", "thirsty", "tired")
        assert all(tasks[6].classes[label] == "one" for label in tasks[6].train.y[:3].tolist())


@needs_babi
def test_a_part_of_the_official_tasks_is_numbered_as_all_of_them() -> None:
    whole, part = babi(), babi([19, 3])
    assert same(part[0], whole[18])
    assert same(part[1], whole[2])
