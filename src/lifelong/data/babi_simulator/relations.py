"""bAbI question types about relations between places, things and sizes: 4, 17, 18 and 19.

Paper: Weston et al. 2015, "Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks", https://arxiv.org/abs/1502.05698,
section 3. What the paper leaves open (what is drawn how often, which facts are told in which direction and order) follows the published
files, version 1.2.
"""

from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from lifelong.data.babi_simulator.text import Story

PLACES: Final = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
SHAPES: Final = ("blue square", "pink rectangle", "red sphere", "red square", "triangle", "yellow square")
SMALL: Final = ("chocolate", "box of chocolates")
"""Smaller than everything else, in this order in every story."""
LARGE: Final = ("box", "chest", "container", "suitcase")
"""Their order by size is drawn for every story."""

COMPASS: Final = {"north": "south", "east": "west", "south": "north", "west": "east"}
"""Each direction and its opposite."""
SIDES: Final = {"above": "below", "to the right of": "to the left of", "below": "above", "to the left of": "to the right of"}

Map = dict[str, dict[str, str]]
"""Place -> direction -> the place that lies there."""


def two_argument_relations(random: Random) -> Story:
    """Question type 4: three places in a row, told by two statements; what lies in one direction of one of them?

    Both wordings of the question ("What is north of the hallway?", "What is the hallway north of?") take their answer from the subject of
    the supporting statement. The same words in another order have another answer.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(two_argument_relations(Random(1)).text().expandtabs(1), end="")
    1 The bedroom is north of the kitchen.
    2 The kitchen is north of the bathroom.
    3 What is north of the bathroom? kitchen 2
    """
    first, middle, last = random.sample(PLACES, 3)
    direction = random.choice(tuple(COMPASS))
    story = Story(gap="")
    told = []
    for place, towards, neighbour in _links(random, _join([(first, direction, middle), (middle, direction, last)], COMPASS)):
        told.append((place, towards, neighbour))
        story.tell(f"The {place} is {COMPASS[towards]} of the {neighbour}")
    line = random.randrange(len(told))
    answer, towards, known = told[line]
    question = random.choice((f"What is {COMPASS[towards]} of the {known}", f"What is the {known} {towards} of"))
    story.ask(question, answer, [line + 1])
    return story


def positional_reasoning(random: Random) -> Story:
    """Question type 17: two statements place two shapes beside a third one; how do the two lie to each other? Eight questions, yes or no.

    The shapes lie on a grid: one that is to the left of the third shape is also to the left of one that is above it. Yes and no are equally
    likely, and so are all questions with the same answer.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(positional_reasoning(Random(0)).text(questions=2).expandtabs(1), end="")
    1 The red square is above the yellow square.
    2 The red square is to the right of the blue square.
    3 Is the blue square above the yellow square? yes 2 1
    4 Is the yellow square below the blue square? yes 1 2
    """
    middle, *ends = random.sample(SHAPES, 3)
    sides = random.sample(tuple(SIDES), 2)
    story = Story(gap="")
    lines = {}
    for shape, side, neighbour in _links(random, _join([(middle, side, end) for side, end in zip(sides, ends, strict=True)], SIDES)):
        lines[shape if neighbour == middle else neighbour] = story.tell(f"The {neighbour} is {side} the {shape}")
    for _ in range(8):
        asked, other = random.sample(range(2), 2)
        true = [side for side in (sides[asked], SIDES[sides[other]]) if side != SIDES[sides[asked]]]
        answer = random.choice(("yes", "no"))
        side = random.choice(true if answer == "yes" else [side for side in SIDES if side not in true])
        story.ask(f"Is the {ends[asked]} {side} the {ends[other]}", answer, [lines[ends[asked]], lines[ends[other]]])
    return story


class _Fact(NamedTuple):
    line: int
    things: tuple[str, str]
    """The smaller thing and the larger one."""


ATTEMPTS: Final = 50
"""How often a question about sizes is tried before it is left out: that leaves out as many as the published files do, 1 in 200."""
LATEST: Final = 0.7
"""How often a repeated statement that was drawn gives way to its latest repetition, as in the published files."""


def size_reasoning(random: Random) -> Story:
    """Question type 18: which thing is larger, or fits inside which? Each question takes two statements with one thing in common.

    Each of the things has another size. Five statements about any two things, then up to five questions; when the statements join in no
    chain, or too few questions were found, five more statements and five more questions follow. A chain starts from any statement and goes
    on to the first other one that mentions the same thing.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(size_reasoning(Random(2)).text(questions=2).expandtabs(1), end="")
    1 The box is bigger than the box of chocolates.
    2 The box of chocolates fits inside the container.
    3 The container is bigger than the box of chocolates.
    4 The chest is bigger than the suitcase.
    5 The container is bigger than the suitcase.
    6 The suitcase is bigger than the box of chocolates.
    7 The box is bigger than the chocolate.
    8 The suitcase fits inside the container.
    9 The suitcase fits inside the chest.
    10 The chocolate fits inside the box.
    11 Does the chest fit in the box of chocolates? no 6 4
    12 Does the chest fit in the box of chocolates? no 6 4
    """
    things = [*SMALL, *random.sample(LARGE, len(LARGE))]
    story = Story(gap="")
    facts: list[_Fact] = []
    while len(story.questions) < 5:
        for _ in range(5):
            smaller, larger = (things[index] for index in sorted(random.sample(range(len(things)), 2)))
            sentence = random.choice((f"The {smaller} fits inside the {larger}", f"The {larger} is bigger than the {smaller}"))
            facts.append(_Fact(story.tell(sentence), (smaller, larger)))
        for _ in range(5):
            if chain := _chain(random, facts):
                start, end, larger_start, support = chain
                question = random.choice((f"Is the {start} bigger than the {end}", f"Does the {end} fit in the {start}"))
                story.ask(question, "yes" if larger_start else "no", support)
    return story


def _chain(random: Random, facts: list[_Fact]) -> tuple[str, str, bool, list[int]] | None:
    """Two things and whether the first is the larger one, with the lines of the two facts that join them."""
    for _ in range(ATTEMPTS):
        fact = random.choice(facts)
        if random.random() < LATEST:
            fact = next(repeated for repeated in reversed(facts) if repeated.things == fact.things)
        start = random.randrange(2)
        shared = fact.things[1 - start]
        other = next((other for other in facts if other is not fact and shared in other.things), None)
        if other and other.things[start] == shared:
            return fact.things[start], other.things[1 - start], start == 1, [fact.line, other.line]
    return None


def path_finding(random: Random) -> Story:
    """Question type 19: five statements about six places; the way between two of them, which is always two steps.

    The answer is the two directions, such as "n,w". The other three places lie beside the first, the middle or the last place of the way,
    each in a direction that was still free there; two of them may end up in the same spot, as in the published files.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(path_finding(Random(0)).text().expandtabs(1), end="")
    1 The garden is west of the office.
    2 The bathroom is south of the office.
    3 The hallway is west of the kitchen.
    4 The bedroom is east of the bathroom.
    5 The hallway is north of the office.
    6 How do you go from the hallway to the bathroom? s,s 5 2
    """
    start, middle, end, *beside = random.sample(PLACES, len(PLACES))
    first = random.choice(tuple(COMPASS))
    second = random.choice([direction for direction in COMPASS if direction != COMPASS[first]])
    way = [(start, first, middle), (middle, second, end)]
    places = _join(way, COMPASS)
    free = [(place, direction) for place in (start, middle, end) for direction in COMPASS if direction not in places[place]]
    branches = [(*where, place) for where, place in zip(random.sample(free, len(beside)), beside, strict=True)]
    story = Story(gap="")
    lines = {}
    for place, towards, neighbour in _links(random, _join(way + branches, COMPASS)):
        lines[frozenset((place, neighbour))] = story.tell(f"The {place} is {COMPASS[towards]} of the {neighbour}")
    support = [lines[frozenset((place, neighbour))] for place, _, neighbour in way]
    story.ask(f"How do you go from the {start} to the {end}", f"{first[0]},{second[0]}", support)
    return story


def _join(links: list[tuple[str, str, str]], opposite: dict[str, str]) -> Map:
    """The map of links (place, direction, the place that lies there), which can be walked both ways."""
    places: Map = {}
    for place, direction, neighbour in links:
        places.setdefault(place, {})[direction] = neighbour
        places.setdefault(neighbour, {})[opposite[direction]] = place
    return places


def _links(random: Random, places: Map) -> Iterator[tuple[str, str, str]]:
    """Every link of a map once: a place, a direction and the place that lies there.

    A place is drawn, then one of its neighbours, until no link is left. So a place with few neighbours comes first more often, both in the
    link and in the story, which is how the published files order their statements.
    """
    names = list(places)
    untold = {frozenset((place, neighbour)) for place in names for neighbour in places[place].values()}
    while untold:
        place = random.choice(names)
        direction, neighbour = random.choice(list(places[place].items()))
        link = frozenset((place, neighbour))
        if link in untold:
            untold.remove(link)
            yield place, direction, neighbour
