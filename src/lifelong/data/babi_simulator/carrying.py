"""bAbI question types about who has which objects and gave them to whom, in a text adventure: 5, 7 and 8."""

from random import Random
from typing import Final

from lifelong.data.babi_simulator.adventure import Adventure, Event
from lifelong.data.babi_simulator.asking import Asked, alternate
from lifelong.data.babi_simulator.text import Story

GIVERS: Final = ("Bill", "Fred", "Jeff", "Mary")
GIVING: Final = 4
"""How often people try to give something, relative to the other kinds of events."""
NUMBERS: Final = ("none", "one", "two", "three")


def three_argument_relations(random: Random) -> Story:
    """Question type 5: people give objects to each other; who gave what to whom?

    A third of the questions each asks for the object, the giver and the receiver. All are about the last time that the object was given.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(three_argument_relations(Random(10)).text(1).expandtabs(1), end="")
    1 Fred moved to the hallway.
    2 Bill took the apple there.
    3 Mary went back to the bathroom.
    4 Mary picked up the football there.
    5 Fred journeyed to the bathroom.
    6 Mary handed the football to Fred.
    7 What did Mary give to Fred?  football 6
    """
    story = Story()

    def question(events: list[Event], event: Event) -> Asked | None:
        if event.kind != "give":
            return None
        last = next(other for other in reversed(events) if other.kind == "give" and other.thing == event.thing)
        giver, thing, receiver = last.person, last.thing, last.receiver
        asked = (
            (f"What did {giver} give to {receiver}", thing),
            (f"Who gave the {thing}", giver),
            (f"Who gave the {thing} to {receiver}", giver),
            (f"Who received the {thing}", receiver),
            (f"Who did {giver} give the {thing} to", receiver),
        )
        ((words, answer),) = random.choices(asked, (2, 1, 1, 1, 1))
        return words, answer, [last.line]

    return alternate(random, story, Adventure(random, story, people=GIVERS, giving=GIVING).tell, question)


def counting(random: Random) -> Story:
    """Question type 7: people take, drop and give objects; how many has one of them?

    Support: all that the person took, dropped, gave and received, the oldest first.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(counting(Random(3)).text(1).expandtabs(1), end="")
    1 John picked up the football there.
    2 John handed the football to Mary.
    3 How many objects is John carrying?  none 1 2
    """
    story = Story()

    def question(events: list[Event], event: Event) -> Asked | None:
        if event.kind == "go":
            return None
        own = _own(events, event.person)
        number = sum(1 if _gets(other, event.person) else -1 for other in own)
        return f"How many objects is {event.person} carrying", NUMBERS[number], [other.line for other in own]

    return alternate(random, story, Adventure(random, story, giving=GIVING).tell, question)


def lists_sets(random: Random) -> Story:
    """Question type 8: people take and drop objects; which has one of them?

    Objects are listed in the order in which the person first took them, whatever was dropped since. Support: all that the person took and
    dropped, object by object in that order, the oldest first for each.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(lists_sets(Random(79)).text(1).expandtabs(1), end="")
    1 Sandra went to the garden.
    2 John journeyed to the office.
    3 Daniel picked up the football there.
    4 Daniel got the apple there.
    5 What is Daniel carrying?  football,apple 3 4
    """
    story = Story()

    def question(events: list[Event], event: Event) -> Asked | None:
        if event.kind == "go":
            return None
        by_thing: dict[str, list[Event]] = {}
        for other in _own(events, event.person):
            by_thing.setdefault(other.thing, []).append(other)
        has = [thing for thing, own in by_thing.items() if _gets(own[-1], event.person)]
        support = [other.line for own in by_thing.values() for other in own]
        return f"What is {event.person} carrying", ",".join(has) or "nothing", support

    return alternate(random, story, Adventure(random, story).tell, question)


def _own(events: list[Event], person: str) -> list[Event]:
    """All that somebody did with objects, or got."""
    return [event for event in events if event.kind != "go" and person in (event.person, event.receiver)]


def _gets(event: Event, person: str) -> bool:
    """Whether somebody has the object afterwards."""
    return event.kind == "take" or event.receiver == person
