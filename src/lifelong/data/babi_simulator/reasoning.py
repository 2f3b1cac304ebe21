"""bAbI question types about kinds and motives: 15, 16 and 20.

Paper: Weston et al. 2015, "Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks", https://arxiv.org/abs/1502.05698,
section 3. What the paper leaves open (what is drawn how often, and in which order it is told) follows the published files, version 1.2.
"""

from random import Random
from typing import Final

from lifelong.data.babi_simulator.text import Story

KINDS: Final = {"cat": "cats", "mouse": "mice", "sheep": "sheep", "wolf": "wolves"}
ANIMALS: Final = ("Emily", "Gertrude", "Jessica", "Winona")

SPECIES: Final = ("frog", "lion", "rhino", "swan")
COLORS: Final = ("gray", "green", "white", "yellow")
NAMES: Final = ("Bernhard", "Brian", "Greg", "Julius", "Lily")

PEOPLE: Final = ("Antoine", "Jason", "Sumit", "Yann")
MOTIVES: Final = {
    "bored": ("garden", "football"),
    "hungry": ("kitchen", "apple"),
    "thirsty": ("kitchen", "milk"),
    "tired": ("bedroom", "pajamas"),
}
"""Each motive with the place to go and the thing to get there."""
GO: Final = ("journeyed", "moved", "travelled", "went", "went back")
GET: Final = ("got", "grabbed", "picked up", "took")


def basic_deduction(random: Random) -> Story:
    """Question type 15: every kind of animal fears another kind, and every animal is of a kind; what does this animal fear? Four questions.

    A kind's fear is told before the first animal of that kind.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(basic_deduction(Random(0)).text(questions=2).expandtabs(1), end="")
    1 Wolves are afraid of cats.
    2 Sheep are afraid of mice.
    3 Winona is a sheep.
    4 Gertrude is a sheep.
    5 Mice are afraid of cats.
    6 Cats are afraid of wolves.
    7 Jessica is a mouse.
    8 Emily is a cat.
    9 What is jessica afraid of? cat 7 5
    10 What is winona afraid of? mouse 3 2
    """
    story = Story(gap="")
    fears: dict[str, tuple[str, int]] = {}
    kinds: dict[str, tuple[str, int]] = {}
    # Drawing the animal and the kind together, and passing over what can't be told, mixes the two sorts of statements as the files do.
    while len(fears) < len(KINDS) or len(kinds) < len(ANIMALS):
        kind = random.choice(tuple(KINDS))
        animal = random.choice(ANIMALS)
        if kind not in fears:
            feared = random.choice([other for other in KINDS if other != kind])
            fears[kind] = feared, story.tell(f"{KINDS[kind].capitalize()} are afraid of {KINDS[feared]}")
        elif animal not in kinds:
            kinds[animal] = kind, story.tell(f"{animal} is a {kind}")
    for _ in range(4):
        animal = random.choice(ANIMALS)
        kind, line = kinds[animal]
        feared, reason = fears[kind]
        story.ask(f"What is {animal.lower()} afraid of", feared, [line, reason])
    return story


def basic_induction(random: Random) -> Story:
    """Question type 16: animals of several kinds and their colors; which color has the one whose color was not told?

    It has the color of the animal of its kind that was introduced last, whatever colors the others have.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(basic_induction(Random(0)).text().expandtabs(1), end="")
    1 Greg is a swan.
    2 Greg is gray.
    3 Lily is a rhino.
    4 Lily is green.
    5 Brian is a rhino.
    6 Julius is a frog.
    7 Julius is gray.
    8 Brian is gray.
    9 Bernhard is a swan.
    10 What color is Bernhard? gray 9 1 2
    """
    while True:
        story = Story(gap="")
        kinds: dict[str, tuple[str, int]] = {}
        colors: dict[str, tuple[str, int]] = {}
        color: dict[str, str] = {}
        while len(kinds) < len(NAMES) or len(colors) < len(NAMES) - 1:
            name = random.choice([name for name in NAMES if name not in colors])
            if name in kinds:
                told = color[kinds[name][0]]
                colors[name] = told, story.tell(f"{name} is {told}")
            else:
                kind = random.choice(SPECIES)
                kinds[name] = kind, story.tell(f"{name} is a {kind}")
                # Animals of a kind have one color as long as no further one is introduced, which may come with another color.
                color[kind] = random.choice(COLORS)
        (asked,) = kinds.keys() - colors.keys()
        kind, line = kinds[asked]
        alike = [name for name in kinds if name != asked and kinds[name][0] == kind]
        # In the published files, no question is about an animal with exactly two others of its kind.
        if len(alike) in (1, 3, 4):
            answer, reason = colors[alike[-1]]
            story.ask(f"What color is {asked}", answer, [line, kinds[alike[-1]][1], reason])
            return story


def agents_motivations(random: Random) -> Story:
    """Question type 20: people with a motive, who go to a place for it and get a thing there. Where will they go, and why do they act so?

    A question follows every statement, and its supporting fact is always the person's motive. There is one thing of each sort, so not
    everybody gets one.

    Args:
        random: the generator of random numbers; the story is a function of its state.

    >>> print(agents_motivations(Random(0)).text(questions=3).expandtabs(1), end="")
    1 Yann is tired.
    2 Where will yann go? bedroom 1
    3 Antoine is thirsty.
    4 Where will antoine go? kitchen 3
    5 Antoine went to the kitchen.
    6 Why did antoine go to the kitchen? thirsty 3
    """
    story = Story(gap="")
    motives: dict[str, tuple[str, int]] = {}
    gone: set[str] = set()
    possible = [(person, "feel") for person in PEOPLE]
    while possible:
        person, act = possible.pop(random.randrange(len(possible)))
        if act == "feel":
            motive = random.choice(tuple(MOTIVES))
            motives[person] = motive, story.tell(f"{person} is {motive}")
            story.ask(f"Where will {person.lower()} go", MOTIVES[motive][0], [motives[person][1]])
            possible.append((person, "go"))
            continue
        motive, line = motives[person]
        place, thing = MOTIVES[motive]
        if act == "go":
            story.tell(f"{person} {random.choice(GO)} to the {place}")
            story.ask(f"Why did {person.lower()} go to the {place}", motive, [line])
            if thing not in gone:
                possible.append((person, "get"))
        else:
            story.tell(f"{person} {random.choice(GET)} the {thing} there")
            story.ask(f"Why did {person.lower()} get the {thing}", motive, [line])
            gone.add(thing)
            possible = [(other, act) for other, act in possible if act != "get" or motives[other][0] != motive]
    return story
