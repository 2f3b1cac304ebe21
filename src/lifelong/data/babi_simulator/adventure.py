"""The text adventure that stories about objects happen in: people go to places, take and drop objects, and give them to each other."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, Literal, NamedTuple

from lifelong.data.babi_simulator.asking import BETWEEN
from lifelong.data.babi_simulator.text import Story
from lifelong.data.babi_simulator.world import PEOPLE, World

OBJECTS: Final = ("apple", "football", "milk")
TAKING: Final = ("took", "got", "grabbed", "picked up")
DROPPING: Final = ("dropped", "left", "discarded", "put down")
GIVING: Final = ("gave", "passed", "handed")

Kind = Literal["go", "take", "drop", "give"]
KINDS: Final[tuple[Kind, ...]] = ("go", "take", "drop", "give")
THERE: Final = 1 / 5
"""How often a statement ends with "there" that need not."""


class Event(NamedTuple):
    """What somebody did. What does not belong to its kind is "".

    Attributes:
        kind: of what was done.
        person: who did it.
        place: where to, for "go".
        thing: which object, for the other kinds.
        receiver: whom it was given to, for "give".
        line: the number of the line that tells it.
    """

    kind: Kind
    person: str
    place: str = ""
    thing: str = ""
    receiver: str = ""
    line: int = 0


class Adventure:
    """People and objects in places, at first anywhere, which nobody tells: the first statement can be that somebody takes an object.

    Args:
        random: the generator of random numbers.
        story: the story that tells what happens.
        people: who there is.
        giving: how often people try to give something to somebody, relative to going, taking and dropping. 0: never.
        always_there: whether every statement that somebody takes an object ends with "there"; else it is 1 of 5, as when one is dropped.
    """

    def __init__(self, random: Random, story: Story, *, people: Sequence[str] = PEOPLE, giving: int = 0, always_there: bool = True) -> None:
        self.random: Final = random
        self.story: Final = story
        self.world: Final = World(random, people)
        self.weights: Final = (1, 1, 1, giving)
        self.taken_there: Final = 1 if always_there else THERE
        self.keeper: Final = {thing: random.choice(self.world.places) for thing in OBJECTS}
        """Who has each object, or where it lies."""
        self.last: Event | None = None
        """What happened last."""

    def tell(self) -> Iterator[Event]:
        """Lets some things happen and tells them."""
        for _ in range(BETWEEN):
            self.last = self._happen()
            yield self.last

    def _happen(self) -> Event:
        """Person, kind and all else are drawn together until it is possible: who can do more does more."""
        while True:
            person = self.random.choice(self.world.people)
            match self.random.choices(KINDS, self.weights)[0]:
                case "go":
                    event = self._go(person)
                case "take":
                    event = self._take(person)
                case "drop":
                    event = self._drop(person)
                case "give":
                    event = self._give(person)
            if event is not None:
                return event

    def _go(self, person: str) -> Event | None:
        place = self.random.choice(self.world.places)
        if not self.world.move([person], place):
            return None
        return Event("go", person, place=place, line=self.story.tell(self.world.went(person, place)))

    def _take(self, person: str) -> Event | None:
        thing = self._kept(self.world.at[person])
        if thing is None:
            return None
        self.keeper[thing] = person
        words = f"{person} {self.random.choice(TAKING)} the {thing}{self._there(self.taken_there)}"
        return Event("take", person, thing=thing, line=self.story.tell(words))

    def _drop(self, person: str) -> Event | None:
        thing = self._kept(person)
        if thing is None:
            return None
        self.keeper[thing] = self.world.at[person]
        words = f"{person} {self.random.choice(DROPPING)} the {thing}{self._there(THERE)}"
        return Event("drop", person, thing=thing, line=self.story.tell(words))

    def _give(self, person: str) -> Event | None:
        thing = self._kept(person)
        if self.last is not None and self.last.kind == "give":
            # So it is in the published files: right after something was given, only its receiver gives something, and only that.
            thing = self.last.thing if person == self.last.receiver else None
        receivers = [other for other, place in self.world.at.items() if other != person and place == self.world.at[person]]
        if thing is None or not receivers:
            return None
        receiver = self.random.choice(receivers)
        self.keeper[thing] = receiver
        words = f"{person} {self.random.choice(GIVING)} the {thing} to {receiver}"
        return Event("give", person, thing=thing, receiver=receiver, line=self.story.tell(words))

    def _kept(self, keeper: str) -> str | None:
        """Any object that somebody has, or that lies in a place."""
        things = [thing for thing, other in self.keeper.items() if other == keeper]
        return self.random.choice(things) if things else None

    def _there(self, share: float) -> str:
        return " there" if self.random.random() < share else ""
