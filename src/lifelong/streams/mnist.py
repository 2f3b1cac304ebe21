"""Streams made of the MNIST family: permuted, rotated, noisy and split digits.

Every function takes `data`: "embedded" (4,000 + 1,000 MNIST digits that come with lifelong), "mnist", "fashion-mnist", "kmnist", or the
path of a folder with the four IDX files. Inputs reach the network as float32 in [0, 1], shape (N, 1, 28, 28).
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from lifelong.data.mnist import CLASSES, SIDE, Mnist, load
from lifelong.errors import ScenarioError, TaskError, nearest
from lifelong.streams import draws
from lifelong.streams.transforms import Interpolation, Permute, Rotate, Scale
from lifelong.tasks import Name, Scenario, Stream, Task, Transform

Spread = Literal["ordered", "uniform"]
Order = Literal["noisy-first", "clean-first"]
Known = Literal["domain", "task"]

PLACES = ("first", "second", "third", "fourth", "fifth")
CHUNK = 4096  # images that get their noise at once


def permuted_mnist(
    tasks: int | None = 10,
    *,
    data: str = "embedded",
    seed: int = 0,
    first: Literal["permuted", "plain"] = "permuted",
    examples: int | None = None,
    scenario: Known = "domain",
) -> Stream:
    """Digits whose pixels are put in another order in every task; classes 0 to 9.

    Published protocols: Kirkpatrick et al. 2017, Fig. 2A, is tasks=3 on "mnist"; GEM (Lopez-Paz & Ranzato 2017) tasks=20,
    examples=1000; DER (Buzzega et al. 2020) tasks=20.

    Args:
        tasks: how many. None: the stream never ends.
        data: what the digits are taken from.
        seed: of the permutations and of the examples drawn. Task t depends on the seed and t only.
        first: "plain" leaves the first task's images as they are.
        examples: how many training examples each task draws at random, each task its own. None: all, and the tasks share them.
            Test sets are always whole.
        scenario: "domain": one head for all tasks; "task": a head each, and the task is known.

    Raises:
        TaskError: tasks, examples or seed out of range, or another word for `first`.
        ScenarioError: the scenario "class", or an unknown one.
        DataError: the data are not there.

    >>> stream = permuted_mnist(tasks=3)
    >>> [task.name for task in stream]
    ['permutation 1', 'permutation 2', 'permutation 3']
    >>> stream[2].train.take(torch.arange(5)).shape
    torch.Size([5, 1, 28, 28])
    """
    _check_word("first", first, ("permuted", "plain"))
    _check_known(scenario)
    _check_tasks(tasks)
    digits = _load(data, examples)

    def make(position: int) -> Task:
        plain = first == "plain" and position == 0
        order = torch.randperm(SIDE * SIDE, generator=draws.generator(seed, draws.PERMUTATION, position))
        transform: Transform = Scale() if plain else Permute(order)
        return _task("plain" if plain else f"permutation {position + 1}", digits, transform, _drawn(digits, examples, seed, position))

    return Stream("permuted-mnist", scenario, make, tasks, digits.name)


def rotated_mnist(
    tasks: int | None = 20,
    *,
    data: str = "embedded",
    seed: int = 0,
    degrees: float = 180.0,
    spread: Spread | None = None,
    interpolation: Interpolation = "nearest",
    examples: int | None = None,
    scenario: Known = "domain",
) -> Stream:
    """Digits rotated counter-clockwise by another angle in every task; classes 0 to 9.

    Published protocols: GEM (Lopez-Paz & Ranzato 2017) is tasks=20, examples=1000 on "mnist"; DER (Buzzega et al. 2020) tasks=20,
    spread="uniform". Both rotate by 0 to 180 degrees and take the nearest pixel.

    Args:
        tasks: how many. None: the stream never ends.
        data: what the digits are taken from.
        seed: of the angles and of the examples drawn. Task t depends on the seed, t and, where spread is "ordered", `tasks`.
        degrees: the largest angle, > 0.
        spread: "ordered" draws task t's angle, t = 0 to tasks - 1, from [degrees * t / tasks, degrees * (t + 1) / tasks), so that angles
            rise; "uniform" every angle from [0, degrees). None: "ordered", or "uniform" where the stream never ends.
        interpolation: "nearest" or "bilinear"; see `lifelong.streams.transforms.Rotate`.
        examples: how many training examples each task draws at random, each task its own. None: all, and the tasks share them.
            Test sets are always whole.
        scenario: "domain": one head for all tasks; "task": a head each, and the task is known.

    Raises:
        TaskError: a number out of range, or an unknown word for `spread` or `interpolation`.
        ScenarioError: the scenario "class", or an unknown one.
        DataError: the data are not there.

    >>> [task.name for task in rotated_mnist(tasks=3)]
    ['rotation 1 (40°)', 'rotation 2 (61°)', 'rotation 3 (133°)']
    """
    _check_word("interpolation", interpolation, get_args(Interpolation))
    _check_known(scenario)
    _check_tasks(tasks)
    if spread is not None:
        _check_word("spread", spread, get_args(Spread))
    if spread == "ordered" and tasks is None:
        raise TaskError("spread='ordered' divides the angles among the tasks, which needs their number; give tasks, or spread='uniform'")
    if not 0 < degrees <= 360:
        raise TaskError(f"degrees is {degrees}; expected more than 0 and at most 360")
    digits = _load(data, examples)

    def make(position: int) -> Task:
        share = float(torch.rand((), dtype=torch.float64, generator=draws.generator(seed, draws.ANGLE, position)))
        angle = degrees * (share if tasks is None or spread == "uniform" else (position + share) / tasks)
        transform = Rotate.by(angle, SIDE, SIDE, interpolation)
        return _task(f"rotation {position + 1} ({angle:.0f}°)", digits, transform, _drawn(digits, examples, seed, position))

    return Stream("rotated-mnist", scenario, make, tasks, digits.name)


def noisy_mnist(*, data: str = "embedded", seed: int = 0, order: Order = "noisy-first", noise: float = 0.5) -> Stream:
    """Two tasks, the digits with noise and the digits without; scenario "domain", classes 0 to 9.

    It is the pair in Hung-yi Lee's lecture "Life Long Learning". Gaussian noise is added to the pixels in [0, 1], the sum is clipped to
    [0, 1] and, like every image, kept in 8 bits. The noise is drawn once: the noisy digits are a fixed data set, in training as in test.

    Args:
        data: what the digits are taken from.
        seed: of the noise.
        order: which task comes first, "noisy-first" or "clean-first".
        noise: the noise's standard deviation, >= 0, where a pixel is 0 to 1. 0: the tasks are the same.

    Raises:
        TaskError: noise or seed out of range, or another word for `order`.
        DataError: the data are not there.

    >>> [task.name for task in noisy_mnist()]
    ['noisy', 'clean']
    """
    _check_word("order", order, get_args(Order))
    if not 0 <= noise < float("inf"):
        raise TaskError(f"noise is {noise}; expected a standard deviation, 0 or more, in units of the pixels' range 0 to 1")
    digits = load(data)
    train_x, test_x = (_noisy(x, noise, draws.generator(seed, draws.NOISE, part)) for part, x in enumerate((digits.train_x, digits.test_x)))
    noisy = Mnist(digits.name, train_x, digits.train_y, test_x, digits.test_y)
    pair = [("noisy", noisy), ("clean", digits)][:: 1 if order == "noisy-first" else -1]

    def make(position: int) -> Task:
        name, chosen = pair[position]
        return _task(name, chosen, Scale())

    return Stream("noisy-mnist", "domain", make, len(pair), digits.name)


def split_mnist(
    *, scenario: Scenario = "task", classes_per_task: int = 2, data: str = "embedded", seed: int = 0, shuffle_digits: bool = False
) -> Stream:
    """The ten digits split among tasks, a few in each.

    Published protocol: van de Ven, Tuytelaars & Tolias 2022 is data="mnist", shuffle_digits=True, in each of the three scenarios.

    Args:
        scenario: "task" and "class": the classes are the digits, as integers; "domain": the classes are the same words in every task,
            "first", "second" and so on, for the digit's place within its task.
        classes_per_task: 1, 2 or 5 digits a task (in the scenarios "task" and "domain" not 1, where there were nothing to tell apart).
        data: what the digits are taken from.
        seed: of the digits' order; of no effect with shuffle_digits=False.
        shuffle_digits: False: 0 and 1, 2 and 3, ...; True: the order of the digits is drawn from the seed.

    Raises:
        ScenarioError: an unknown scenario.
        TaskError: classes_per_task does not divide ten.
        DataError: the data are not there.

    >>> [task.name for task in split_mnist()]
    ['digits 0 and 1', 'digits 2 and 3', 'digits 4 and 5', 'digits 6 and 7', 'digits 8 and 9']
    >>> split_mnist(scenario="domain")[4].classes
    ('first', 'second')
    """
    if scenario not in get_args(Scenario):
        raise ScenarioError(f"unknown scenario {scenario!r}; {nearest(str(scenario), get_args(Scenario))}")
    sizes = (1, 2, 5) if scenario == "class" else (2, 5)
    if classes_per_task not in sizes:
        raise TaskError(
            f"classes_per_task is {classes_per_task}; the scenario {scenario!r} of the ten digits takes one of {', '.join(map(str, sizes))}"
        )
    digits = load(data)
    generator = draws.generator(seed, draws.CLASSES)
    order = (torch.randperm(CLASSES, generator=generator) if shuffle_digits else torch.arange(CLASSES)).tolist()

    def make(position: int) -> Task:
        chosen = order[position * classes_per_task : (position + 1) * classes_per_task]
        names = PLACES[:classes_per_task] if scenario == "domain" else chosen
        train, test = (_only(chosen, names, x, y) for x, y in ((digits.train_x, digits.train_y), (digits.test_x, digits.test_y)))
        return Task(_digits(chosen), train, test, classes=names, transform=Scale())

    return Stream("split-mnist", scenario, make, CLASSES // classes_per_task, digits.name)


def _task(name: str, digits: Mnist, transform: Transform, drawn: Tensor | None = None) -> Task:
    """All digits, or those `drawn` from the training set; without `drawn` the tensors are shared, not copied."""
    train = (digits.train_x, digits.train_y) if drawn is None else (digits.train_x[drawn], digits.train_y[drawn])
    return Task(name, train, (digits.test_x, digits.test_y), classes=range(CLASSES), transform=transform)


def _load(data: str, examples: int | None) -> Mnist:
    digits = load(data)
    if examples is not None and not 1 <= examples <= len(digits.train_y):
        raise TaskError(f"examples is {examples}; {digits.name} has 1 to {len(digits.train_y)} training examples to draw")
    return digits


def _drawn(digits: Mnist, examples: int | None, seed: int, position: int) -> Tensor | None:
    """The training examples of the task at `position`, or None for all."""
    if examples is None:
        return None
    return torch.randperm(len(digits.train_y), generator=draws.generator(seed, draws.EXAMPLES, position))[:examples]


def _noisy(x: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    def add(part: Tensor) -> Tensor:
        pixels = Scale()(part) + noise * torch.randn(part.shape, generator=generator)
        return pixels.clamp_(0, 1).mul_(255).round_().to(torch.uint8)

    return torch.cat([add(part) for part in torch.split(x, CHUNK)])


def _only(digits: Sequence[int], names: Sequence[Name], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The images of `digits`; their labels are the digits, or where the names are words, the digits' places."""
    places = torch.full((CLASSES,), -1)
    places[list(digits)] = torch.arange(len(digits))
    rows = (places[y] >= 0).nonzero().squeeze(1)
    labels = y[rows]
    return x[rows], labels if names == digits else places[labels]


def _digits(digits: Sequence[int]) -> str:
    head = ", ".join(str(digit) for digit in digits[:-1])
    return f"digits {head} and {digits[-1]}" if head else f"digit {digits[0]}"


def _check_tasks(tasks: int | None) -> None:
    if tasks is not None and tasks < 1:
        raise TaskError(f"tasks is {tasks}; expected 1 or more, or None for a stream that never ends")


def _check_known(scenario: Known) -> None:
    if scenario not in get_args(Known):
        raise ScenarioError(
            f"scenario is {scenario!r}; every task has the classes 0 to 9, so expected 'domain' (one head) or 'task' (a head for each)"
        )


def _check_word(argument: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise TaskError(f"unknown {argument} {word!r}; {nearest(str(word), known)}")
