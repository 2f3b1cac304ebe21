"""Streams made of CIFAR-100, or of any folder of images in classes.

Inputs reach the network as float32 in [0, 1], shape (N, 3, height, width), unless they are to be normalised.
"""

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from lifelong.data.cifar100 import load
from lifelong.errors import ScenarioError, TaskError, nearest
from lifelong.streams import draws
from lifelong.streams.transforms import Normalise, Scale
from lifelong.tasks import Scenario, Stream, Task, Transform

# Of the pixels of the 50,000 training images, by colour.
MEAN, DEVIATION = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


def split_cifar100(
    tasks: int = 20,
    *,
    scenario: Scenario = "task",
    data: str = "cifar100",
    seed: int = 0,
    shuffle_classes: bool = False,
    examples: int | None = None,
    normalise: bool = False,
) -> Stream:
    """The hundred classes of photographs split among tasks, as many in each.

    Published protocols: GEM (Lopez-Paz & Ranzato 2017) is the default, 20 tasks of five consecutive classes with 2,500 training
    examples, the task known at test time. iCaRL (Rebuffi et al. 2017) is tasks=10, scenario="class", shuffle_classes=True, also with
    other numbers of tasks. Van de Ven, Tuytelaars & Tolias 2022 is tasks=10, shuffle_classes=True, normalise=True, in each scenario.

    Args:
        tasks: how many; it divides the number of classes.
        scenario: "task" and "class": the classes are the fine classes' official names; "domain": they are the same integers in every
            task, 0, 1 and so on, for the class's place within its task.
        data: "cifar100", or the path of a folder with the official files, or with any images of one size as train/CLASS/NAME.png and
            test/CLASS/NAME.png; see `lifelong.data.cifar100.load`.
        seed: of the classes' order and of the examples drawn; of no effect where neither is drawn.
        shuffle_classes: False: in the official order, which is that of the alphabet; True: drawn from the seed.
        examples: how many training examples each task draws at random. None: all. Test sets are always whole.
        normalise: subtract the mean of CIFAR-100's training images, (0.5071, 0.4865, 0.4409), and divide by their standard deviation,
            (0.2673, 0.2564, 0.2762).

    Raises:
        ScenarioError: an unknown scenario.
        TaskError: tasks, examples or seed out of range.
        DataError: the data are not there, or damaged.
    """
    if scenario not in get_args(Scenario):
        raise ScenarioError(f"unknown scenario {scenario!r}; {nearest(str(scenario), get_args(Scenario))}")
    images = load(data)
    name, size = images.name, _size(tasks, len(images.classes), scenario)
    generator, count = draws.generator(seed, draws.CLASSES), len(images.classes)
    order = torch.randperm(count, generator=generator) if shuffle_classes else torch.arange(count)
    classes = [images.classes[label] for label in order.tolist()]
    # Sorted by task, so that a task's images are a slice: however many tasks are made, they hold the images once.
    train, test = (_sorted(x, order, y, size) for x, y in ((images.train_x, images.train_y), (images.test_x, images.test_y)))
    least = min(len(y) for _, y in train)
    if examples is not None and not 1 <= examples <= least:
        raise TaskError(f"examples is {examples}; the smallest task of {name} has 1 to {least} training examples to draw")
    transform: Transform = Normalise(MEAN, DEVIATION) if normalise else Scale()
    del images

    def make(position: int) -> Task:
        chosen = classes[position * size : (position + 1) * size]
        x, y = train[position]
        if examples is not None:
            drawn = torch.randperm(len(y), generator=draws.generator(seed, draws.EXAMPLES, position))[:examples]
            x, y = x[drawn], y[drawn]
        names = range(size) if scenario == "domain" else chosen
        return Task(_called(chosen, shuffle_classes), (x, y), test[position], classes=names, transform=transform)

    return Stream("split-cifar100", scenario, make, tasks, name)


def _size(tasks: int, classes: int, scenario: Scenario) -> int:
    """Classes a task."""
    fewest = 1 if scenario == "class" else 2  # one class alone leaves nothing to tell apart
    numbers = [number for number in range(1, classes // fewest + 1) if classes % number == 0]
    if tasks not in numbers:
        known = ", ".join(map(str, numbers))
        raise TaskError(f"tasks is {tasks}; the scenario {scenario!r} of {classes} classes takes one of {known}")
    return classes // tasks


def _sorted(x: Tensor, order: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The images of each `size` classes of `order`, in the data's order, with labels 0 to size - 1 for the places among them."""
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    places = places[y]
    task = places // size
    rows = torch.argsort(task, stable=True)
    ends = torch.bincount(task, minlength=len(order) // size).tolist()
    return list(zip(torch.split(x[rows], ends), torch.split((places % size)[rows], ends), strict=True))


def _called(classes: Sequence[str], shuffled: bool) -> str:
    first, last = (name.replace("_", " ") for name in (classes[0], classes[-1]))
    if len(classes) == 1:
        return first
    return f"{first} and {len(classes) - 1} more" if shuffled else f"{first} to {last}"
