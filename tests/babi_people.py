"""Solvers of the bAbI types about people: 1-3 and 5-14. They read the words of a story, and know nothing of the simulator.

Each answers from the whole story as from its supporting facts alone, and gives None where the story does not tell.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from babi_simulated import Solver
from lifelong.data.babi import Question

Words = tuple[str, ...]

PEOPLE = {"bill", "daniel", "fred", "jeff", "john", "julie", "mary", "sandra"}
PLACES = {"bathroom", "bedroom", "cinema", "garden", "hallway", "kitchen", "office", "park", "school"}
THINGS = {"apple", "football", "milk"}
TIMES = ("yesterday", "morning", "afternoon", "evening")

VERBS = {
    **dict.fromkeys(("went", "moved", "journeyed", "travelled"), "go"),
    **dict.fromkeys(("took", "got", "grabbed", "picked"), "take"),
    **dict.fromkeys(("dropped", "left", "discarded", "put"), "drop"),
    **dict.fromkeys(("gave", "passed", "handed"), "give"),
    "is": "is",
}


class Told(NamedTuple):
    """What a statement says, and its position in the story."""

    position: int
    verb: str
    people: Words
    things: Words
    places: Words
    words: Words


def told(question: Question) -> Iterator[Told]:
    """The statements; "he", "she" and "they" are the people of the statement before."""
    people: Words = ()
    for position, words in enumerate(question.story):
        (verb,) = (VERBS[word] for word in words if word in VERBS)
        if not {"he", "she", "they"} & set(words):
            people = tuple(word for word in words if word in PEOPLE)
        elif not people:
            continue  # the statement that it refers to is left out
        yield Told(
            position,
            verb,
            people,
            tuple(word for word in words if word in THINGS),
            tuple(word for word in words if word in PLACES),
            words,
        )


def asked(question: Question, of: set[str]) -> str:
    (found,) = (word for word in question.words if word in of)
    return found


def where(question: Question) -> str | None:
    person = asked(question, PEOPLE)
    return next((each.places[0] for each in reversed([*told(question)]) if person in each.people), None)


def carried(question: Question, thing: str) -> list[str]:
    """The places that the last to handle a thing went to with it; when it was only dropped, any places before."""
    handled = [each for each in told(question) if thing in each.things]
    if not handled:
        return []
    last = handled[-1]
    start = max((each.position for each in handled if each.verb == "take"), default=-1)
    end = last.position if last.verb == "drop" else len(question.story)
    return [each.places[0] for each in told(question) if each.verb == "go" and each.people == last.people and start < each.position < end]


def where_is_it(question: Question) -> str | None:
    thing = asked(question, THINGS)
    handled = [each for each in told(question) if thing in each.things]
    if not handled:
        return None
    last = handled[-1]
    if last.verb == "take":
        return next(iter(reversed(carried(question, thing))), None)
    place = None  # it lies where whoever dropped it was then
    for each in told(question):
        if each.verb == "go" and each.people == last.people and each.position < last.position:
            place = each.places[0]
    return place


def where_was_it(question: Question) -> str | None:
    places = carried(question, asked(question, THINGS))
    before = [first for first, second in pairwise(places) if second == asked(question, PLACES)]
    return before[-1] if before else None


def who_gave_what(question: Question) -> str | None:
    gave = [(*each.people, *each.things) for each in told(question) if each.verb == "give"]
    match question.words:
        case "what", "did", giver, "give", "to", receiver:
            return next((thing for one, other, thing in reversed(gave) if (one, other) == (giver, receiver)), None)
        case "who", "did", giver, "give", "the", thing, "to":
            return next((other for one, other, that in reversed(gave) if (one, that) == (giver, thing)), None)
        case "who", "gave", "the", thing, "to", receiver:
            return next((one for one, other, that in reversed(gave) if (other, that) == (receiver, thing)), None)
        case "who", "gave", "the", thing:
            return next((one for one, _, that in reversed(gave) if that == thing), None)
        case "who", "received", "the", thing:
            return next((other for _, other, that in reversed(gave) if that == thing), None)
    raise AssertionError(question.words)


def is_he_there(question: Question) -> str | None:
    person, place = asked(question, PEOPLE), asked(question, PLACES)
    known = [each for each in told(question) if each.verb in ("go", "is") and person in each.people]
    if not known:
        return None
    last = known[-1]
    if {"not", "longer"} & set(last.words):
        return "no" if place in last.places else None
    if place not in last.places:
        return "no"
    return "maybe" if "either" in last.words else "yes"


def possessions(question: Question) -> list[str] | None:
    """What somebody has, in the order in which he or she first got it; None if nothing is told of that."""
    person = asked(question, PEOPLE)
    has: dict[str, bool] = {}
    for each in told(question):
        if each.verb in ("take", "drop", "give") and person in each.people:
            has[each.things[0]] = each.verb == "take" or (each.verb == "give" and each.people[1] == person)
    return [thing for thing, kept in has.items() if kept] if has else None


def how_many(question: Question) -> str | None:
    has = possessions(question)
    return None if has is None else ("none", "one", "two", "three")[len(has)]


def what(question: Question) -> str | None:
    has = possessions(question)
    return None if has is None else ",".join(has) or "nothing"


def where_before(question: Question) -> str | None:
    person, place = asked(question, PEOPLE), asked(question, PLACES)
    visits: dict[int, str] = {}
    for each in told(question):
        if person in each.people:
            (time,) = (TIMES.index(word) for word in each.words if word in TIMES)
            visits[time] = each.places[0]
    times = [time for time, visited in visits.items() if visited == place]
    return visits.get(max(times) - 1) if times else None


SOLVERS: dict[int, Solver] = {
    1: where,
    2: where_is_it,
    3: where_was_it,
    5: who_gave_what,
    6: is_he_there,
    7: how_many,
    8: what,
    9: is_he_there,
    10: is_he_there,
    11: where,
    12: where,
    13: where,
    14: where_before,
}


def ambiguous(question: Question) -> bool:
    """Whether it asks for one of several things that somebody gave to somebody: it can mean another than the one given last."""
    match question.words:
        case "what", "did", giver, "give", "to", receiver:
            return len({each.things for each in told(question) if each.verb == "give" and each.people == (giver, receiver)}) > 1
    return False


def support(task: int, question: Question) -> tuple[int, ...]:
    """The positions of the supporting facts, in the order in which the published files write them."""
    facts = [*told(question)]
    match task:
        case 2 | 3:
            last = max(each for each in facts if asked(question, THINGS) in each.things)
            goings = [each for each in facts if each.verb == "go" and each.people == last.people]
            if last.verb == "drop":
                goings = [each for each in goings if each.position < last.position]
            if task == 3:
                place = asked(question, PLACES)
                goings = goings[: max(index for index, each in enumerate(goings) if each.places == (place,)) + 1]
            return last.position, *(each.position for each in goings[:-task:-1])
        case 5:
            (thing,) = THINGS & {*question.words, question.answer}
            return (max(each.position for each in facts if each.verb == "give" and thing in each.things),)
        case 6:
            return (max(each.position for each in facts if each.verb == "go" and asked(question, PEOPLE) in each.people),)
    own = [each for each in facts if asked(question, PEOPLE) in each.people]
    match task:
        case 7:
            return tuple(each.position for each in own if each.things)
        case 8:
            things = [each.things for each in own]
            return tuple(each.position for each in sorted(own, key=lambda each: things.index(each.things)) if each.things)
        case 11 | 13:
            return own[-1].position - 1, own[-1].position
        case 14:
            by_time = sorted(own, key=lambda each: next(TIMES.index(word) for word in each.words if word in TIMES))
            index = max(index for index, each in enumerate(by_time) if each.places == (asked(question, PLACES),))
            return by_time[index].position, by_time[index - 1].position
    return (own[-1].position,)


def contradictions(question: Question) -> list[Words]:
    """The statements that can't be true: nobody goes to where he is, takes or drops what is elsewhere, or gives over a distance."""
    at: dict[str, str] = {}
    keeper: dict[str, str | None] = {}
    found = []
    for each in told(question):
        person, thing = each.people[0], next(iter(each.things), "")
        place, kept = at.get(person), keeper.get(thing)
        match each.verb:
            case "go":
                wrong = any(at.get(one) == each.places[0] for one in each.people)
                at.update(dict.fromkeys(each.people, each.places[0]))
            case "take":
                wrong = kept in PEOPLE or (None not in (kept, place) and kept != place)
                keeper[thing] = person
            case "drop":
                wrong = kept != person
                keeper[thing] = place
            case _:
                other = each.people[1]
                wrong = kept != person or person == other or (place is not None and at.get(other, place) != place)
                keeper[thing] = other
        if wrong:
            found.append(each.words)
    return found
