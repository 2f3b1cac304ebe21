"""bAbI question types about what is known of where people are: 9 and 10. Both ask whether somebody is in a place."""

from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

from lifelong.data.babi_simulator.asking import BETWEEN, Asked, alternate
from lifelong.data.babi_simulator.text import Story
from lifelong.data.babi_simulator.world import OTHER_PEOPLE, OTHER_PLACES, World


class Belief(NamedTuple):
    """What a statement says: that somebody is in the first of the places, or is not, or that he or she is in one of them."""

    person: str
    kind: Literal["in", "not in", "either"]
    places: tuple[str, ...]
    line: int


def simple_negation(random: Random) -> Story:
    """Question type 9: people go to places, are in them, or no longer; is one of them in a place?

    Of somebody of whom nothing is known but one place where he or she is not, the question is about that place.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(simple_negation(Random(1)).text(1).expandtabs(1), end="")
    1 Daniel journeyed to the hallway.
    2 Sandra is no longer in the garden.
    3 Is Daniel in the hallway?  yes 1
    """
    world, story = World(random), Story()

    def tell() -> Iterator[Belief]:
        for _ in range(BETWEEN):
            (person,) = random.sample(world.people, 1)
            left, place = world.at[person], world.go_on([person])
            match random.randrange(4):
                case 0:
                    line = story.tell(f"{person} is {random.choice(('not', 'no longer'))} in the {left}")
                    yield Belief(person, "not in", (left,), line)
                case 1:
                    yield Belief(person, "in", (place,), story.tell(f"{person} is in the {place}"))
                case _:
                    yield Belief(person, "in", (place,), story.tell(world.went(person, place)))

    def question(beliefs: list[Belief], belief: Belief) -> Asked:
        last = _last(beliefs, belief)
        (place,) = last.places
        if last.kind == "not in":
            return f"Is {last.person} in the {place}", "no", [last.line]
        if random.random() < 1 / 2:
            return f"Is {last.person} in the {place}", "yes", [last.line]
        return f"Is {last.person} in the {world.elsewhere(place)}", "no", [last.line]

    return alternate(random, story, tell, question)


def indefinite_knowledge(random: Random) -> Story:
    """Question type 10: people go to places, are in them, or in one of two places; is one of them in a place? Yes, no or maybe.

    Half of the questions name the place where somebody really is, whether the story tells it or not. The second of two places may be
    any: "either in the park or the park" occurs, as in the published files.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(indefinite_knowledge(Random(1)).text(1).expandtabs(1), end="")
    1 Bill journeyed to the office.
    2 Mary is either in the cinema or the office.
    3 Is Mary in the cinema?  maybe 2
    """
    world, story = World(random, OTHER_PEOPLE, OTHER_PLACES), Story()

    def tell() -> Iterator[Belief]:
        for _ in range(BETWEEN):
            (person,), place = world.go(1)
            match random.randrange(4):
                case 0:
                    places = tuple(random.sample((place, random.choice(world.places)), 2))
                    line = story.tell(f"{person} is either in the {places[0]} or the {places[1]}")
                    yield Belief(person, "either", places, line)
                case 1:
                    yield Belief(person, "in", (place,), story.tell(f"{person} is in the {place}"))
                case _:
                    yield Belief(person, "in", (place,), story.tell(world.went(person, place)))

    def question(beliefs: list[Belief], belief: Belief) -> Asked:
        last = _last(beliefs, belief)
        place = world.at[last.person]
        if random.random() < 1 / 2:
            place = world.elsewhere(place)
        answer = "no" if place not in last.places else "maybe" if last.kind == "either" else "yes"
        return f"Is {last.person} in the {place}", answer, [last.line]

    return alternate(random, story, tell, question)


def _last(beliefs: list[Belief], belief: Belief) -> Belief:
    """The latest about the same person."""
    return next(other for other in reversed(beliefs) if other.person == belief.person)
