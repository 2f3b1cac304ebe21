"""The simulators of bAbI types 4, 17, 18 and 19, against solvers that read the text, closed forms, and the published files."""

import random
from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babi_files import written
from babi_simulated import difference, needless, needs_babi, published, simulated, stories, unsolved, words
from lifelong.data.babi import Question, parse
from lifelong.data.babi_simulator import SIMULATORS, simulate

STEPS = {
    "north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0),
    "above": (0, 1), "below": (0, -1), "right": (1, 0), "left": (-1, 0),
}  # fmt: skip

Positions = dict[str, tuple[int, int]]


def neighbours(question: Question) -> list[tuple[str, tuple[int, int], str]]:
    """Each statement in both directions: what is one step from what. The statements are "the A is below the B" and the like."""
    found = []
    for statement in question.story:
        (direction,) = STEPS.keys() & set(statement)
        index = statement.index(direction)
        one, (x, y) = " ".join(statement[: index + 1]).partition(" is ")[0].removeprefix("the "), STEPS[direction]
        other = " ".join(statement[index + 1 :]).removeprefix("of ").removeprefix("the ")
        found += [(one, (x, y), other), (other, (-x, -y), one)]
    return found


def layout(question: Question, start: str) -> Positions:
    """Where everything lies that statements connect with `start`, which lies at 0, 0."""
    places: Positions = {start: (0, 0)}
    for _ in question.story:
        for one, (x, y), other in neighbours(question):
            if other in places and one not in places:
                places[one] = places[other][0] + x, places[other][1] + y
    return places


def one_step(question: Question) -> str | None:
    words = question.words
    (direction,) = STEPS.keys() & set(words)
    for one, step, other in neighbours(question):
        if step == STEPS[direction]:
            if words == ("what", "is", direction, "of", "the", other):
                return one
            if words == ("what", "is", "the", one, direction, "of"):
                return other
    return None


def side(question: Question) -> str | None:
    direction = next(word for word in question.words if word in STEPS)
    index = question.words.index(direction)
    asked = " ".join(question.words[2:index]).removesuffix(" to the")
    other = " ".join(question.words[index + 1 :]).removeprefix("of ").removeprefix("the ")
    places = layout(question, start=other)
    if asked not in places:
        return None
    return "yes" if sum(one * two for one, two in zip(places[asked], STEPS[direction], strict=True)) > 0 else "no"


def way(question: Question) -> str | None:
    start, goal = question.words[6], question.words[9]
    graph = neighbours(question)
    found: dict[str, str] = {start: ""}
    for _ in range(len(question.story)):
        for other, path in list(found.items()):
            for one, step, where in graph:
                if where == other and one not in found:
                    letter = next(direction[0] for direction, known in STEPS.items() if known == step)
                    found[one] = f"{path},{letter}"
    return found[goal].removeprefix(",") if goal in found else None


def larger(question: Question) -> str | None:
    """From the pairs (smaller, larger) and everything that follows from them."""
    text = [" ".join(statement) for statement in question.story]
    pairs = {tuple(each.removeprefix("the ").split(" fits inside the ")) for each in text if "fits" in each}
    pairs |= {tuple(each.removeprefix("the ").split(" is bigger than the "))[::-1] for each in text if "bigger" in each}
    things = {thing for pair in pairs for thing in pair}
    for middle, one, other in product(things, repeat=3):
        if (one, middle) in pairs and (middle, other) in pairs:
            pairs.add((one, other))
    assert not any((other, one) in pairs for one, other in pairs)
    asked = " ".join(question.words).removeprefix("is the ").removeprefix("does the ")
    smaller, bigger = asked.split(" fit in the ") if "fit in" in asked else asked.split(" bigger than the ")[::-1]
    return {(True, False): "yes", (False, True): "no"}.get(((smaller, bigger) in pairs, (bigger, smaller) in pairs))


SOLVERS = {4: one_step, 17: side, 18: larger, 19: way}
SUPPORT = {4: 1, 17: 2, 18: 2, 19: 2}
GAP = ""

each_task = pytest.mark.parametrize("task", SOLVERS)


@each_task
def test_the_solver_agrees_with_every_answer(task: int) -> None:
    questions = simulated(task, 1000, seed=1)
    assert unsolved(questions, SOLVERS[task]) == []
    assert needless(questions, SOLVERS[task]) == []
    assert {len(question.support) for question in questions} == {SUPPORT[task]}


@needs_babi
@each_task
def test_the_solver_agrees_with_every_published_answer(task: int) -> None:
    assert unsolved(published(task), SOLVERS[task]) == []
    assert needless(published(task), SOLVERS[task]) == []


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(sorted(SOLVERS)), st.integers(1, 25), st.integers(0, 2**40))
def test_any_text_can_be_read_and_written(task: int, questions: int, seed: int) -> None:
    text = simulate(task, questions, seed)
    assert simulate(task, questions, seed) == text
    assert len(parse(text, "text")) == questions
    assert "".join(written(parse(story, "text"), GAP) for story in stories(text)) == text.lower()
    assert unsolved(parse(text, "text"), SOLVERS[task]) == []


@each_task
def test_a_story_comes_from_its_generator_only(task: int) -> None:
    random.seed(0)
    state = random.getstate()
    texts = {SIMULATORS[task](random.Random(seed)).text() for seed in range(50)}
    assert texts == {SIMULATORS[task](random.Random(seed)).text() for seed in range(50)}
    assert len(texts) > 45
    assert random.getstate() == state


# What is drawn how often, in closed form.


def share(hits: int, all: int) -> Any:
    """A share within four standard errors."""
    return pytest.approx(hits / all, abs=4 * 0.5 / all**0.5)


def test_type_4_tells_a_link_from_the_outer_place_in_two_of_three() -> None:
    questions = simulated(4, 3000, seed=2)
    outer = 0
    for question in questions:
        subjects, objects = zip(*((statement[1], statement[-1]) for statement in question.story), strict=True)
        middle = next(place for place, count in Counter(subjects + objects).items() if count == 2)
        outer += sum(subject != middle for subject in subjects)
        assert question.answer == subjects[question.support[0]]
    # A place is drawn, then one of its neighbours: the middle one, as one of three places, leads to either link in half of the cases.
    assert share(outer, 6000) == 2 / 3
    assert share(sum(question.support == (0,) for question in questions), 3000) == 1 / 2
    assert share(sum(question.words[-1] == "of" for question in questions), 3000) == 1 / 2


def test_type_17_puts_one_in_three_in_a_row_and_balances_the_answers() -> None:
    questions = simulated(17, 16_000, seed=2)
    assert share(sum(question.answer == "yes" for question in questions), 16_000) == 1 / 2
    straight = []  # whether the three shapes lie in a row
    subjects = 0
    for question in questions[::8]:
        subjects += sum(" ".join(statement).startswith(f"the {middle(question)} is") for statement in question.story)
        ends = [thing for thing, place in layout(question, middle(question)).items() if place != (0, 0)]
        x, y = layout(question, ends[0])[ends[1]]
        straight.append(0 in (x, y))
    assert share(sum(straight), 2000) == 1 / 3  # of the three places left beside the middle shape, one is opposite
    assert share(subjects, 4000) == 2 / 3
    assert all(len(question.story) == 2 for question in questions)


def middle(question: Question) -> str:
    return next(thing for thing, count in Counter(one for one, _, _ in neighbours(question)).items() if count == 2)


def test_type_18_asks_about_two_statements_in_a_chain() -> None:
    questions = simulated(18, 5000, seed=2)
    for question in questions:
        one, other = (pair_of(question.story[position]) for position in question.support)
        assert one[1] == other[0] if question.answer == "no" else one[0] == other[1]
    lengths = Counter(len(question.story) for question in questions)
    assert set(lengths) <= {5, 10, 15, 20, 25}
    # Without a chain among five statements, nothing is asked before five more. Five questions share a story.
    assert lengths[5] / 5000 == pytest.approx(chained(), abs=4 * 0.5 / 1000**0.5)
    assert sum(question.answer == "yes" for question in questions) / 5000 == pytest.approx(1 / 2, abs=4 * 0.5 / 1000**0.5)


def pair_of(statement: tuple[str, ...]) -> tuple[str, str]:
    text = " ".join(statement).removeprefix("the ")
    smaller, larger = text.split(" fits inside the ") if "fits" in text else text.split(" is bigger than the ")[::-1]
    return smaller, larger


def chained(samples: int = 20_000) -> float:
    """How often five of the 15 pairs, drawn with replacement, have two that share the larger thing of one and the smaller of the other."""
    generator = random.Random(0)
    pairs = [(one, other) for other in range(6) for one in range(other)]
    found = 0
    for _ in range(samples):
        drawn = generator.choices(pairs, k=5)
        found += any(one[1] == other[0] for one in drawn for other in drawn)
    return found / samples


def test_type_19_hangs_three_places_on_eight_free_sides() -> None:
    questions = simulated(19, 5000, seed=2)
    shapes: Counter[tuple[int, int, int]] = Counter()
    for question in questions:
        degree = Counter(one for one, _, _ in neighbours(question))
        start, goal = question.words[6], question.words[9]
        beside = {one for one, _, other in neighbours(question) if other == start}
        between = next(one for one, _, other in neighbours(question) if other == goal and one in beside)
        shapes[degree[start] - 1, degree[between] - 2, degree[goal] - 1] += 1
    # 3, 2 and 3 sides are free at the first, middle and last place of the way; 56 ways to take three of them.
    ways = {(1, 1, 1): 18, (2, 0, 1): 9, (1, 0, 2): 9, (2, 1, 0): 6, (0, 1, 2): 6, (1, 2, 0): 3, (0, 2, 1): 3, (3, 0, 0): 1, (0, 0, 3): 1}
    assert shapes.keys() == ways.keys()
    for shape, count in ways.items():
        assert share(shapes[shape], 5000) == count / 56
    answers = Counter(question.answer for question in questions)
    assert len(answers) == 12
    assert all(share(count, 5000) == 1 / 12 for count in answers.values())


def test_type_19_tells_a_link_from_the_place_with_fewer_neighbours() -> None:
    told = Counter[tuple[int, int]]()  # the numbers of neighbours of subject and object
    for question in simulated(19, 3000, seed=2):
        degree = Counter(one for one, _, _ in neighbours(question))
        told.update((degree[statement[1]], degree[statement[-1]]) for statement in question.story)
    # A place is drawn, then one of its neighbours: each of two neighbouring places starts in proportion to 1 / neighbours.
    for one, other in ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4)):
        assert share(told[one, other], told[one, other] + told[other, one]) == other / (one + other)


def test_type_19_has_a_map_without_contradictions() -> None:
    for question in simulated(19, 500, seed=3):
        graph = neighbours(question)
        assert len({one for one, _, _ in graph}) == 6
        assert len({(step, other) for _, step, other in graph}) == 10  # never two places on the same side of one
        assert not any({one, other} == {question.words[6], question.words[9]} for one, _, other in graph)


# Against the published files.


@needs_babi
@each_task
def test_words_and_answers_are_those_of_the_published_files(task: int) -> None:
    questions = simulated(task, 1000, seed=0)
    assert words(questions) == words(published(task))
    assert {question.answer for question in questions} == {question.answer for question in published(task)}


@needs_babi
@each_task
def test_frequencies_are_those_of_the_published_files(task: int) -> None:
    questions, real = simulated(task, 10_000, seed=0), published(task)
    # Questions of one story resemble each other, so 2,000 published ones are as good as 250 to 2,000 independent ones.
    assert difference((each.answer for each in questions), (each.answer for each in real)) < 4
    assert difference((form(each.words) for each in questions), (form(each.words) for each in real)) < 4
    assert difference((len(each.story) for each in questions), (len(each.story) for each in real)) < 4
    for index in range(SUPPORT[task]):
        ages = [[len(each.story) - 1 - each.support[index] for each in each_set] for each_set in (questions, real)]
        assert difference(*ages) < 4
        assert sum(ages[0]) / len(ages[0]) == pytest.approx(sum(ages[1]) / len(ages[1]), abs=0.4)
    told = [[statement for each in each_set for statement in each.story] for each_set in (questions, real)]
    assert difference(*told) < 1.5
    assert difference(*([form(statement) for statement in statements] for statements in told)) < 4


def form(words: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence's first word, its verb and its relation, without what it is about."""
    kept = {"does", "fit", "fits", "bigger", "is", "what", "how", "of", *STEPS}
    return tuple(word for word in words if word in kept)
