"""What all simulators of bAbI questions have in common: the text form, the seeds and the numbers of questions."""

import random
import re
import subprocess
import sys
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifelong.data.babi import ANSWERS, TASKS, VOCABULARY, parse
from lifelong.data.babi_simulator import SIMULATORS, simulate
from lifelong.data.babi_simulator.text import Story
from lifelong.errors import TaskError

EVERY = sorted(SIMULATORS)
NARROW = {4, 15, 16, 17, 18, 19, 20}  # their files have no blank between question mark and tab

STATEMENT = re.compile(r"([0-9]+) ([A-Z][A-Za-z ]*[a-z])\.")
QUESTION = re.compile(r"([0-9]+) ([A-Z][A-Za-z ]*[a-z])\?( ?)\t([a-zA-Z]+(?:,[a-z]+)*)\t([0-9]+(?: [0-9]+)*)")


class Line(NamedTuple):
    number: int
    words: str
    gap: str = ""
    answer: str = ""
    support: tuple[int, ...] = ()

    def text(self) -> str:
        if not self.answer:
            return f"{self.number} {self.words}.\n"
        return f"{self.number} {self.words}?{self.gap}\t{self.answer}\t{' '.join(map(str, self.support))}\n"


def strictly(text: str) -> list[list[Line]]:
    """The stories of a text whose every character is as in the published files."""
    stories: list[list[Line]] = []
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        statement, question = STATEMENT.fullmatch(line), QUESTION.fullmatch(line)
        assert (statement is None) != (question is None), line
        if statement is not None:
            read = Line(int(statement[1]), statement[2])
        elif question is not None:
            read = Line(int(question[1]), question[2], question[3], question[4], tuple(map(int, question[5].split(" "))))
        if read.number == 1:
            stories.append([])
        stories[-1].append(read)
    return stories


# Stories.


def test_a_story_by_hand() -> None:
    story = Story()
    assert story.tell("Mary got the milk") == 1
    assert story.tell("Mary went to the garden") == 2
    assert story.ask("Where is the milk", "garden", (1, 2)) == 3
    assert story.tell("Mary left the milk") == 4
    assert story.ask("What is Mary carrying", "nothing", iter([1, 4])) == 5
    first = "1 Mary got the milk.\n2 Mary went to the garden.\n3 Where is the milk? \tgarden\t1 2\n"
    assert story.text(1) == first
    assert story.text() == story.text(2) == story.text(7) == first + "4 Mary left the milk.\n5 What is Mary carrying? \tnothing\t1 4\n"
    assert story.questions == [3, 5]


def test_a_text_ends_with_its_last_question_or_where_the_story_does() -> None:
    story = Story(gap="")
    first = story.tell("Lily is a frog")
    story.ask("What color is Lily", "green", [first])
    story.tell("Lily is green")
    assert story.text(1) == "1 Lily is a frog.\n2 What color is Lily?\tgreen\t1\n"
    assert story.text() == story.text(2) == story.text(1) + "3 Lily is green.\n"


# The text form.


def test_there_is_a_simulator_for_every_type_under_its_name() -> None:
    assert sorted(TASKS) == EVERY
    spelt = {4: "two argument relations", 5: "three argument relations"}
    assert {task: simulator.__name__.replace("_", " ") for task, simulator in SIMULATORS.items()} == {**TASKS, **spelt}


@settings(deadline=None, max_examples=150)
@given(task=st.sampled_from(EVERY), questions=st.integers(1, 12), seed=st.integers(0, 2**64))
def test_every_text_has_the_published_form(task: int, questions: int, seed: int) -> None:
    text = simulate(task, questions, seed)
    stories = strictly(text)
    assert "".join(line.text() for story in stories for line in story) == text
    parsed = iter(parse(text, "text"))
    for story in stories:
        assert [line.number for line in story] == [*range(1, len(story) + 1)]
        assert story[-1].answer
        told: dict[int, int] = {}  # position in the story of each statement, by line number
        for line in story:
            if not line.answer:
                told[line.number] = len(told)
                continue
            assert line.gap == ("" if task in NARROW else " ")
            assert len(set(line.support)) == len(line.support)
            question = next(parsed)
            assert question.support == tuple(told[number] for number in line.support)
            assert question.words == tuple(line.words.lower().split(" "))
            assert question.answer == line.answer.lower()
            assert question.story == tuple(tuple(each.words.lower().split(" ")) for each in story[: line.number] if not each.answer)
            assert {word for sentence in (question.words, *question.story) for word in sentence} <= {*VOCABULARY}
            assert question.answer in ANSWERS
    assert next(parsed, None) is None
    assert sum(bool(line.answer) for story in stories for line in story) == questions


@pytest.mark.parametrize("task", EVERY)
def test_more_questions_begin_with_the_same(task: int) -> None:
    long = simulate(task, 60, seed=3)
    for questions in (1, 2, 7, 59):
        short = simulate(task, questions, seed=3)
        assert long.startswith(short)
        assert short.count("?") == questions


@pytest.mark.parametrize("task", EVERY)
def test_each_seed_has_stories_of_its_own(task: int) -> None:
    texts = [simulate(task, 20, seed) for seed in range(20)]
    assert texts == [simulate(task, 20, seed) for seed in range(20)]
    assert len(set(texts)) == 20


def test_types_that_happen_in_one_world_have_stories_of_their_own() -> None:
    assert SIMULATORS[2](Random(1)).lines[:2] == SIMULATORS[8](Random(1)).lines[:2]
    openings = [simulate(task, 5, seed).splitlines()[:2] for task in (2, 6, 8) for seed in range(20)]
    assert len({tuple(opening) for opening in openings}) == 60


@pytest.mark.parametrize("task", EVERY)
def test_a_story_comes_from_its_generator_alone(task: int) -> None:
    state = random.getstate()
    texts = [SIMULATORS[task](Random(seed)).text() for seed in range(20)]
    assert texts == [SIMULATORS[task](Random(seed)).text() for seed in range(20)]
    assert random.getstate() == state


def test_stories_go_on_without_repeating_themselves() -> None:
    stories = ["".join(line.text() for line in story) for story in strictly(simulate(2, 5000, seed=0))]
    assert len(set(stories)) == len(stories) == 1000


def test_the_same_stories_in_another_process_and_without_torch() -> None:
    program = """
import sys
from lifelong.data.babi_simulator import simulate
for task in range(1, 21):
    sys.stdout.write(simulate(task, 10, 5))
assert "torch" not in sys.modules
"""
    environment = {"PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout == "".join(simulate(task, 10, 5) for task in range(1, 21))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((21, 1, 0), "task is 21; expected a bAbI question type, 1 to 20"),
        ((0, 1, 0), "task is 0; expected a bAbI question type, 1 to 20"),
        ((1, 0, 0), "questions is 0; expected 1 or more"),
        ((1, -5, 0), "questions is -5; expected 1 or more"),
        ((1, 1, -1), "seed is -1; expected 0 or more"),
    ],
)
def test_errors(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        simulate(*arguments)
