"""The twenty bAbI tasks as a stream: questions about stories, from the official files or from a simulator.

Inputs reach the network as int16, shape (N, 1 + sentences, 12): the numbers of words, from 1, and 0 where there is none.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from lifelong.data.babi import ANSWERS, LANGUAGES, TASKS, VOCABULARY, WIDTH, Question, load, parse
from lifelong.errors import DataError, ScenarioError, TaskError, nearest
from lifelong.streams import draws
from lifelong.tasks import Scenario, Stream, Task

SIMULATED = 1000  # questions of a simulated task, in training, where no other number is asked for, and in the test
MOST_WORDS = 2**15 - 1  # that int16 can number


def babi(
    tasks: Iterable[int] = range(1, 21),
    *,
    scenario: Scenario = "domain",
    source: str = "en",
    data: str = "babi",
    seed: int = 0,
    examples: int | None = None,
    sentences: int = 50,
) -> Stream:
    """Questions about short stories, a type of question a task: Weston et al. 2015, https://arxiv.org/abs/1502.05698.

    x is int16, shape (N, 1 + sentences, 12), padded with 0: x[:, 0] is the question, x[:, 1] the statement just before it, x[:, 2] the
    one before that. Words are numbered from 1 in the order of `lifelong.data.babi.VOCABULARY`, whatever tasks and source are asked
    for, so that a network that has learned simulated stories can be tested on the official ones; words of other files come after it.

    Args:
        tasks: numbers from 1 to 20, in any order, each once.
        scenario: "domain": every task has all answers of all tasks as classes, in one softmax; "class": each task brings the answers
            that occur in it; "task": a head for each task, with the answers that occur in it. An answer that is a list, such as
            "milk,football", is a class of its own.
        source: "en" or "en-10k": the official 1,000 or 10,000 training questions a task; other folders of the archive, see
            `lifelong.data.babi.load`; or "simulated": drawn from the seed by `lifelong.data.babi_simulator`, with 1,000 test questions.
        data: "babi", or the path of a folder with files in the form of the official ones, see `lifelong.data.babi.load`; of no effect for
            simulated stories.
        seed: of simulated stories and of the examples drawn; of no effect where neither is. A task's depend on the seed and the task's
            number alone.
        examples: how many training questions each task has: of official ones, so many drawn at random, None: all; of simulated ones, so
            many simulated, the first of those that more would be, None: 1,000. Test sets are always whole.
        sentences: how many statements before the question are kept, the latest; earlier ones are left out. The longest official story
            has 228, in task 3.

    Raises:
        ScenarioError: an unknown scenario.
        TaskError: tasks, source, examples, sentences or seed out of range.
        DataError: the data are not there, damaged, or of another form.

    >>> stream = babi([15, 1], source="simulated", examples=100)
    >>> stream.data, [task.name for task in stream]
    ('simulated babi (100 a task, seed 0)', ['15 basic deduction', '1 single supporting fact'])
    >>> stream[0].train.x.shape, stream[0].train.x.dtype, len(stream[0].classes)
    (torch.Size([100, 51, 12]), torch.int16, 60)
    """
    if scenario not in get_args(Scenario):
        raise ScenarioError(f"unknown scenario {scenario!r}; {nearest(str(scenario), get_args(Scenario))}")
    if source not in (*LANGUAGES, "simulated"):
        raise TaskError(f"unknown source {source!r}; {nearest(str(source), (*LANGUAGES, 'simulated'))}")
    numbers = _numbers(tasks)
    if sentences < 1:
        raise TaskError(f"sentences is {sentences}; expected 1 or more, how many statements before a question are kept")
    draws.number(seed, draws.EXAMPLES)  # a wrong seed is an error at once
    read, name, vocabulary, answers = _simulated(seed, examples) if source == "simulated" else _files(data, source, numbers, examples)
    places = {word: place for place, word in enumerate(vocabulary, start=1)}

    def make(position: int) -> Task:
        number = numbers[position]
        train, test = read(number)
        occurring = {question.answer for question in (*train, *test)}
        classes = answers if scenario == "domain" else tuple(answer for answer in answers if answer in occurring)
        rows = {answer: row for row, answer in enumerate(classes)}
        if source != "simulated" and examples is not None:
            drawn = torch.randperm(len(train), generator=draws.generator(seed, draws.EXAMPLES, number))[:examples]
            train = [train[row] for row in drawn.tolist()]
        pairs = [(encode(part, places, sentences), torch.tensor([rows[question.answer] for question in part])) for part in (train, test)]
        return Task(f"{number} {TASKS[number]}", *pairs, classes=classes)

    return Stream("babi", scenario, make, len(numbers), name)


def encode(questions: Sequence[Question], places: dict[str, int], sentences: int) -> Tensor:
    """What a network gets of questions and their stories: int16 (N, 1 + sentences, WIDTH), see `babi`.

    Args:
        questions: N of them.
        places: each word's number, from 1.
        sentences: how many statements are kept, the latest.
    """
    # A few hundred sentences make up thousands of stories: each is encoded once, and stories are rows of that table.
    table: dict[tuple[str, ...], int] = {(): 0}
    stories = np.zeros((len(questions), 1 + sentences), dtype=np.int64)
    for row, question in enumerate(questions):
        kept = (question.words, *reversed(question.story[-sentences:]))
        stories[row, : len(kept)] = [table.setdefault(sentence, len(table)) for sentence in kept]
    words = np.zeros((len(table), WIDTH), dtype=np.int16)
    for sentence, row in table.items():
        words[row, : len(sentence)] = [places[word] for word in sentence]
    return torch.from_numpy(words[stories])


Read = Callable[[int], tuple[list[Question], list[Question]]]  # gives a task's questions, training and test, by its number
Words = tuple[str, ...]  # all that x can have; or all answers


def _files(data: str, language: str, numbers: Sequence[int], examples: int | None) -> tuple[Read, str, Words, Words]:
    """Official questions, what they are called, their words and their answers."""
    found = load(data, language, numbers)
    sizes = [len(questions) for questions in found.train.values()]
    if examples is not None and not 1 <= examples <= min(sizes):
        raise TaskError(f"examples is {examples}; the smallest task of {found.name} has 1 to {min(sizes)} training questions to draw")
    vocabulary = found.vocabulary()
    if len(vocabulary) > MOST_WORDS:
        raise DataError(f"{found.name} has {len(vocabulary)} different words; expected at most {MOST_WORDS}")
    least, most = (min(sizes), max(sizes)) if examples is None else (examples, examples)
    count = f"{least}" if least == most else f"{least} to {most}"
    return lambda number: (found.train[number], found.test[number]), f"{found.name} ({count} a task)", vocabulary, found.answers()


def _simulated(seed: int, examples: int | None) -> tuple[Read, str, Words, Words]:
    """Simulated questions, each task's made when it is first asked for; and the same as `_files`."""
    from lifelong.data.babi_simulator import simulate

    count = SIMULATED if examples is None else examples
    if count < 1:
        raise TaskError(f"examples is {examples}; expected 1 or more simulated training questions a task, or None for {SIMULATED}")

    @cache
    def read(number: int) -> tuple[list[Question], list[Question]]:
        made = []
        for questions, purpose in ((count, draws.TRAIN_STORIES), (SIMULATED, draws.TEST_STORIES)):
            text = simulate(number, questions, draws.number(seed, purpose, number))
            made.append(parse(text, f"simulated task {number}"))
        return made[0], made[1]

    return read, f"simulated babi ({count} a task, seed {seed})", VOCABULARY, ANSWERS


def _numbers(tasks: Iterable[int]) -> list[int]:
    numbers = list(tasks) if isinstance(tasks, Iterable) else [tasks]
    known = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool) and number in TASKS]
    if not isinstance(tasks, Iterable) or not numbers or len(known) < len(numbers) or len(set(numbers)) < len(numbers):
        given = numbers if isinstance(tasks, Iterable) else tasks
        raise TaskError(f"tasks is {given}; expected numbers of tasks from 1 to {len(TASKS)}, each once, as [1, 2, 3]")
    return numbers
