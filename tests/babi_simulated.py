"""Simulated bAbI questions beside the published ones, for the tests of the simulator."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from lifelong.data.babi import FOLDER, Question, load, parse
from lifelong.data.babi_simulator import simulate

OFFICIAL = Path(os.environ.get("LIFELONG_DATA", "nowhere")) / "babi" / FOLDER / "en"
needs_babi = pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"bAbI not found: set LIFELONG_DATA to the parent folder of babi/{FOLDER}/en")

Solver = Callable[[Question], str | None]
"""Answers a question from its story and words alone, or gives None if the story does not tell."""


@cache
def published(task: int) -> list[Question]:
    """All 2,000 questions of a task's files, training and test."""
    data = load("babi", tasks=[task])
    return data.train[task] + data.test[task]


@cache
def simulated(task: int, questions: int, seed: int) -> list[Question]:
    return parse(simulate(task, questions, seed), "simulated")


def stories(text: str) -> list[str]:
    return re.findall(r"^1 .*\n(?:(?!1 ).*\n)*", text, flags=re.MULTILINE)


def reduced(question: Question, positions: Iterable[int]) -> Question:
    """The question about a story of which only some statements are left, in their order."""
    return replace(question, story=tuple(question.story[position] for position in sorted(positions)))


def unsolved(questions: Iterable[Question], solver: Solver) -> list[Question]:
    """The questions that the solver answers otherwise, from the whole story or from the supporting facts alone."""
    return [each for each in questions if {solver(each), solver(reduced(each, each.support))} != {each.answer}]


def needless(questions: Iterable[Question], solver: Solver) -> list[Question]:
    """The questions that the supporting facts still answer when one of them is left out."""
    return [each for each in questions if any(solver(reduced(each, set(each.support) - {one})) is not None for one in each.support)]


def words(questions: Iterable[Question]) -> set[str]:
    return {word for each in questions for sentence in (*each.story, each.words) for word in sentence}


def difference(one: Iterable[object], other: Iterable[object]) -> float:
    """The largest difference between the frequencies of a value in one and in the other, in percent."""
    counts = Counter(one), Counter(other)
    return max(abs(100 * counts[0][value] / counts[0].total() - 100 * counts[1][value] / counts[1].total()) for value in chain(*counts))
