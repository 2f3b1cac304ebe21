"""When a question is asked, and about which of the facts told so far."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final, TypeVar

from lifelong.data.babi_simulator.text import Story

QUESTIONS: Final = 5
"""Of a story."""
BETWEEN: Final = 2
"""Statements between two questions, and as many more each time that there is nothing to ask about."""
RECENT: Final = 5
"""How many of the latest facts a question can be about. A statement about two people is two facts."""

Fact = TypeVar("Fact")
Found = TypeVar("Found")
Asked = tuple[str, str, list[int]]
"""A question without its question mark, the answer, and the line numbers of the supporting facts."""


def choose(random: Random, facts: list[Fact], question: Callable[[list[Fact], Fact], Found | None]) -> Found | None:
    """A question about one of the latest facts; None if there is nothing to ask about them.

    Args:
        random: the generator of random numbers.
        facts: all that were told so far, the oldest first.
        question: from all facts and one of the latest, a question about whom or what the latter is about, in any form; None if there is
            none. What it asks may have changed since that fact: the answer comes from all facts.
    """
    latest = facts[-RECENT:]
    return next((found for fact in random.sample(latest, len(latest)) if (found := question(facts, fact)) is not None), None)


def alternate(
    random: Random, story: Story, tell: Callable[[], Iterable[Fact]], question: Callable[[list[Fact], Fact], Asked | None]
) -> Story:
    """Continues a story, in turn with some statements and a question, until all questions are asked. Returns it.

    Args:
        random: the generator of random numbers.
        story: the story to continue.
        tell: tells the story `BETWEEN` statements more and returns their facts, in order.
        question: as for `choose`.
    """
    facts: list[Fact] = []
    while len(story.questions) < QUESTIONS:
        facts.extend(tell())
        asked = choose(random, facts, question)
        if asked is not None:
            story.ask(*asked)
    return story
