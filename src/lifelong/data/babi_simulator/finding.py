"""bAbI question types about where objects and people are or were, in a text adventure: 2, 3 and 6."""

from random import Random

from lifelong.data.babi_simulator.adventure import Adventure, Event
from lifelong.data.babi_simulator.asking import Asked, alternate
from lifelong.data.babi_simulator.text import Story


def two_supporting_facts(random: Random) -> Story:
    """Question type 2: people carry objects around; where is an object?

    Asked of an object that somebody has carried to another place since taking it (support: the taking and the last going), or has dropped
    after going somewhere (support: the dropping and the last going before).

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(two_supporting_facts(Random(12)).text(1).expandtabs(1), end="")
    1 Sandra journeyed to the garden.
    2 Mary got the apple there.
    3 Mary went to the bedroom.
    4 John moved to the office.
    5 Where is the apple?  bedroom 2 3
    """
    story = Story()

    def question(events: list[Event], event: Event) -> Asked | None:
        handled = _handled(events, event.thing)
        if handled is None:
            return None
        goings = [
            other
            for other in events
            if other.kind == "go" and other.person == handled.person and (other.line > handled.line) == (handled.kind == "take")
        ]
        if not goings:
            return None
        return f"Where is the {event.thing}", goings[-1].place, [handled.line, goings[-1].line]

    return alternate(random, story, Adventure(random, story).tell, question)


def three_supporting_facts(random: Random) -> Story:
    """Question type 3: people carry objects around; where was an object before it was in a place?

    Asked of an object that somebody has carried to two places or more since taking it, whether it was dropped then or not. Support: the
    dropping (of an object still carried, the taking), the last going to the place and the going before it.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(three_supporting_facts(Random(19)).text(1).expandtabs(1), end="")
    1 Mary took the apple.
    2 Mary discarded the apple.
    3 Sandra journeyed to the kitchen.
    4 Sandra got the apple.
    5 Sandra journeyed to the bedroom.
    6 Sandra journeyed to the hallway.
    7 Where was the apple before the hallway?  bedroom 4 6 5
    """
    story = Story()

    def question(events: list[Event], event: Event) -> Asked | None:
        handled = _handled(events, event.thing)
        if handled is None:
            return None
        since = max(other.line for other in events if other.kind == "take" and other.thing == event.thing)
        until = handled.line if handled.kind == "drop" else len(story.lines)
        goings = [other for other in events if other.kind == "go" and other.person == handled.person and since < other.line <= until]
        if len(goings) < 2:
            return None
        place = random.choice(goings[1:]).place
        last = max(position for position, going in enumerate(goings) if going.place == place)
        before = goings[last - 1]
        support = [handled.line, goings[last].line, before.line]
        return f"Where was the {event.thing} before the {place}", before.place, support

    return alternate(random, story, Adventure(random, story, always_there=False).tell, question)


def yes_no_questions(random: Random) -> Story:
    """Question type 6: people move and carry objects around; is one of them in a place?

    Half of the questions name the place where the person is, the others any other.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(yes_no_questions(Random(2)).text(1).expandtabs(1), end="")
    1 Mary travelled to the bedroom.
    2 Mary grabbed the apple there.
    3 Is Mary in the bedroom?  yes 1
    """
    story = Story()
    adventure = Adventure(random, story)

    def question(events: list[Event], event: Event) -> Asked | None:
        if event.kind != "go":
            return None
        last = next(other for other in reversed(events) if other.kind == "go" and other.person == event.person)
        if random.random() < 1 / 2:
            return f"Is {last.person} in the {last.place}", "yes", [last.line]
        return f"Is {last.person} in the {adventure.world.elsewhere(last.place)}", "no", [last.line]

    return alternate(random, story, adventure.tell, question)


def _handled(events: list[Event], thing: str) -> Event | None:
    """The last that was done with an object; None for the object "", which belongs to going."""
    return next((event for event in reversed(events) if event.thing == thing), None) if thing else None
