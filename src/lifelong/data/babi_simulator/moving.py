"""bAbI question types about people who only move: 1, 11, 12 and 13. All ask where somebody is."""

from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from lifelong.data.babi_simulator.asking import BETWEEN, Asked, alternate
from lifelong.data.babi_simulator.text import Story
from lifelong.data.babi_simulator.world import World

PRONOUNS: Final = {"Daniel": "he", "John": "he", "Mary": "she", "Sandra": "she"}
THEN: Final = ("After that", "Afterwards", "Following that", "Then")


class Visit(NamedTuple):
    """That somebody went to a place, and the line numbers of the statements that tell it."""

    person: str
    place: str
    support: list[int]


def single_supporting_fact(random: Random) -> Story:
    """Question type 1: people go to places; where is one of them?

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(single_supporting_fact(Random(3)).text(1).expandtabs(1), end="")
    1 Sandra travelled to the office.
    2 Daniel went to the kitchen.
    3 Where is Daniel?  kitchen 2
    """
    return _conjoined(random, 1)


def conjunction(random: Random) -> Story:
    """Question type 12: people go to places two by two; where is one of them?

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(conjunction(Random(1)).text(1).expandtabs(1), end="")
    1 Daniel and John journeyed to the hallway.
    2 Sandra and Daniel journeyed to the bathroom.
    3 Where is Daniel?  bathroom 2
    """
    return _conjoined(random, 2)


def basic_coreference(random: Random) -> Story:
    """Question type 11: somebody goes to a place, and then he or she, to another; where is one of the people?

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(basic_coreference(Random(1)).text(1).expandtabs(1), end="")
    1 Daniel journeyed to the hallway.
    2 Then he went back to the office.
    3 Where is Daniel?  office 1 2
    """
    return _referring(random, 1)


def compound_coreference(random: Random) -> Story:
    """Question type 13: two people go to a place, and then they, to another; where is one of the people?

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(compound_coreference(Random(1)).text(1).expandtabs(1), end="")
    1 Daniel and John journeyed to the hallway.
    2 Then they went back to the office.
    3 Where is Daniel?  office 1 2
    """
    return _referring(random, 2)


def _conjoined(random: Random, count: int) -> Story:
    """Statements about `count` people each."""
    world, story = World(random), Story()

    def tell() -> Iterator[Visit]:
        for _ in range(BETWEEN):
            people, place = world.go(count)
            line = story.tell(world.went(" and ".join(people), place))
            yield from (Visit(person, place, [line]) for person in people)

    return alternate(random, story, tell, _where)


def _referring(random: Random, count: int) -> Story:
    """Statements about `count` people, each followed by one that refers to them by a pronoun: both support the answer."""
    world, story = World(random), Story()

    def tell() -> Iterator[Visit]:
        people, place = world.go(count)
        first = story.tell(world.went(" and ".join(people), place))
        yield from (Visit(person, place, [first]) for person in people)
        place = world.go_on(people)
        pronoun = PRONOUNS[people[0]] if count == 1 else "they"
        second = story.tell(world.went(f"{random.choice(THEN)} {pronoun}", place))
        yield from (Visit(person, place, [first, second]) for person in people)

    return alternate(random, story, tell, _where)


def _where(visits: list[Visit], visit: Visit) -> Asked:
    last = next(other for other in reversed(visits) if other.person == visit.person)
    return f"Where is {last.person}", last.place, last.support
