"""The places that stories about people happen in, and the people there: they go from place to place, alone or together."""

from collections.abc import Sequence
from random import Random
from typing import Final

PEOPLE: Final = ("Daniel", "John", "Mary", "Sandra")
PLACES: Final = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")

OTHER_PEOPLE: Final = ("Bill", "Fred", "Julie", "Mary")
OTHER_PLACES: Final = ("bedroom", "cinema", "kitchen", "office", "park", "school")

GOING: Final = ("went to", "went back to", "moved to", "journeyed to", "travelled to")


class World:
    """People in places, at first anywhere, which nobody tells.

    Args:
        random: the generator of random numbers.
        people: who there is.
        places: where they can be.
    """

    def __init__(self, random: Random, people: Sequence[str] = PEOPLE, places: Sequence[str] = PLACES) -> None:
        self.random: Final = random
        self.people: Final = people
        self.places: Final = places
        self.at: Final = {person: random.choice(places) for person in people}
        """Where everybody is."""

    def move(self, people: Sequence[str], place: str) -> bool:
        """Puts people into a place. False, and nothing has changed, if one of them is there already."""
        if any(self.at[person] == place for person in people):
            return False
        self.at.update(dict.fromkeys(people, place))
        return True

    def go(self, count: int) -> tuple[list[str], str]:
        """Some people go to one place. Returns them, in random order, and the place.

        People and place are drawn together until nobody is there already: those who are together anyway go together more often.
        """
        while True:
            people, place = self.random.sample(self.people, count), self.random.choice(self.places)
            if self.move(people, place):
                return people, place

    def go_on(self, people: Sequence[str]) -> str:
        """These people go to another place, which is returned."""
        while True:
            place = self.random.choice(self.places)
            if self.move(people, place):
                return place

    def elsewhere(self, place: str) -> str:
        """Any other place."""
        return self.random.choice([other for other in self.places if other != place])

    def went(self, people: str, place: str) -> str:
        """The statement that somebody went to a place, without its full stop."""
        return f"{people} {self.random.choice(GOING)} the {place}"
