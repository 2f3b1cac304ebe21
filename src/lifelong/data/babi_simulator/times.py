"""bAbI question type 14: at what time of day people were where."""

from collections import Counter
from random import Random
from typing import Final, NamedTuple

from lifelong.data.babi_simulator.asking import BETWEEN, QUESTIONS, choose
from lifelong.data.babi_simulator.text import Story
from lifelong.data.babi_simulator.world import OTHER_PEOPLE, OTHER_PLACES, World

TIMES: Final = ("yesterday", "this morning", "this afternoon", "this evening")


class Visit(NamedTuple):
    """That somebody went to a place at one of the times, 0 to 3."""

    person: str
    place: str
    time: int


def time_reasoning(random: Random) -> Story:
    """Question type 14: people go to places yesterday, this morning and so on, told out of order; where was one before another place?

    What happens between two questions is told in a cyclic permutation of its order: two statements are always exchanged. Of several visits
    to a place, the question means the last.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(time_reasoning(Random(1)).text(1).expandtabs(1), end="")
    1 This morning Mary moved to the park.
    2 This morning Bill went to the bedroom.
    3 Yesterday Bill travelled to the office.
    4 Yesterday Mary journeyed to the office.
    5 Where was Bill before the bedroom?  office 2 3
    """
    world, story = World(random, OTHER_PEOPLE, OTHER_PLACES), Story()
    visits: list[Visit] = []
    lines: dict[Visit, int] = {}
    while len(story.questions) < QUESTIONS:
        for _ in range(BETWEEN):
            times = Counter(visit.person for visit in visits)
            person = random.choice([person for person in world.people if times[person] < len(TIMES)])
            visits.append(Visit(person, world.go_on([person]), times[person]))
        pair = choose(random, visits, _consecutive)
        if pair is not None:
            for visit in _rotated(random, visits[len(lines) :]):
                went, time = world.went(visit.person, visit.place), TIMES[visit.time]
                lines[visit] = story.tell(random.choice((f"{time.capitalize()} {went}", f"{went} {time}")))
            before, visit = pair
            story.ask(f"Where was {visit.person} before the {visit.place}", before.place, [lines[visit], lines[before]])
    return story


def _consecutive(visits: list[Visit], visit: Visit) -> tuple[Visit, Visit] | None:
    """The person's last visit to that place, after the one before it."""
    own = [other for other in visits if other.person == visit.person]
    last = max(other.time for other in own if other.place == visit.place)
    return (own[last - 1], own[last]) if last else None


def _rotated(random: Random, visits: list[Visit]) -> list[Visit]:
    """A random cyclic permutation, in which nothing keeps its place."""
    around = [0, *random.sample(range(1, len(visits)), len(visits) - 1)]
    following = dict(zip(around, [*around[1:], 0], strict=True))
    return [visits[following[position]] for position in range(len(visits))]
