"""Batch, Task and Stream: what a learner learns from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from lifelong import reading
from lifelong.errors import TaskError

Name = reading.Name
Scenario = Literal["task", "domain", "class"]
Transform = Callable[[Tensor], Tensor]

CHUNK = 1024  # examples gathered and transformed at once: enough to amortise the calls, few enough to stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples for one step.

    Attributes:
        x: inputs, shape (N, ...).
        y: int64, shape (N,): each label's row in the head that it belongs to.
        head: which head the examples belong to; an int for all of them, or an int64 tensor (N,) on the CPU.
        weight: each example's share (N,) of the loss, which is sum_n weight_n cross-entropy_n. None: 1/N each, their mean.
    """

    x: Tensor
    y: Tensor
    head: int | Tensor = 0
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def joined(self, other: "Batch") -> "Batch":
        """Both batches' examples, this one's first. Weights are scaled so that each batch counts as its number of examples.

        Raises:
            TaskError: their inputs have different shapes.
        """
        if self.x.shape[1:] != other.x.shape[1:]:
            raise TaskError(_unlike(self.x, other.x))
        x, y = torch.cat([self.x, other.x]), torch.cat([self.y, other.y])
        weight = None
        if self.weight is not None or other.weight is not None:
            ones = [torch.ones(len(b), device=x.device) if b.weight is None else len(b) * b.weight for b in (self, other)]
            weight = torch.cat(ones) / len(y)
        if isinstance(self.head, int) and bool(
            (other.head == self.head).all() if isinstance(other.head, Tensor) else other.head == self.head
        ):
            return Batch(x, y, self.head, weight)
        heads = [b.head if isinstance(b.head, Tensor) else torch.full((len(b),), b.head) for b in (self, other)]
        return Batch(x, y, torch.cat(heads), weight)


class Examples:
    """Inputs with labels in memory; `transform` is applied to whole batches, lazily.

    Args:
        x: inputs, shape (N, ...), any dtype; shared, never copied.
        y: int64, shape (N,): positions in the task's classes.
        transform: a pure function from a batch of x to what the network gets. None: x as it is.

    Attributes:
        head: which head the labels belong to, as in `Batch`; the learner sets it on its own copy.
    """

    head: int | Tensor = 0

    def __init__(self, x: Tensor, y: Tensor, transform: Transform | None = None) -> None:
        self.x, self.y, self.transform = x, y, transform

    def __deepcopy__(self, memo: dict[int, Any]) -> "Examples":
        return self  # never modified, so copies of a learner share it

    def __len__(self) -> int:
        return len(self.y)

    def take(self, positions: Tensor) -> Tensor:
        """The inputs at `positions` (int64, shape (N,)), transformed: what the network gets."""
        x = self.x.index_select(0, positions)  # several times faster than self.x[positions]
        return x if self.transform is None else self.transform(x)

    def batches(self, order: Tensor, batch_size: int, workers: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, y) for consecutive groups of `batch_size` positions of `order`; the last one may be smaller."""
        if not len(order):
            return
        chunk = max(CHUNK // batch_size, 1) * batch_size
        for positions in torch.split(order, chunk):
            x, y = self.take(positions), self.y.index_select(0, positions)
            yield from zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)


class DatasetExamples(Examples):
    """Examples read from a torch `Dataset` of (x, label) pairs through torch's DataLoader, for sets too large for memory.

    Its inputs are not looked at before they are learned from: NaN in them are found by the loss that they make.
    """

    def __init__(self, dataset: Dataset[Any], y: Tensor, transform: Transform | None = None) -> None:
        super().__init__(torch.empty(0), y, transform)
        self.dataset = dataset

    def take(self, positions: Tensor) -> Tensor:
        x = _stack([self.dataset[i] for i in positions.tolist()])
        return x if self.transform is None else self.transform(x)

    def batches(self, order: Tensor, batch_size: int, workers: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        if not len(order):
            return
        # A generator of its own: the loader would draw its workers' seed from torch's global one, and change what is drawn there next.
        generator = torch.Generator().manual_seed(int(order[0]))
        part = Subset(self.dataset, order.tolist())
        loader = DataLoader(part, batch_size=batch_size, num_workers=workers, collate_fn=_stack, generator=generator)
        for x, y in zip(loader, torch.split(self.y.index_select(0, order), batch_size), strict=True):
            yield (x if self.transform is None else self.transform(x)), y


class JoinedExamples(Examples):
    """Several tasks' examples as one set; nothing is copied."""

    def __init__(self, parts: Sequence[Examples]) -> None:
        super().__init__(torch.empty(0), torch.cat([part.y for part in parts]))
        self.parts = tuple(parts)
        self.head = torch.cat([part.head if isinstance(part.head, Tensor) else torch.full((len(part),), part.head) for part in parts])
        if bool((self.head == self.head[0]).all()):
            self.head = int(self.head[0])

    def take(self, positions: Tensor) -> Tensor:
        x: Tensor | None = None
        start = 0
        for part in self.parts:
            chosen = ((positions >= start) & (positions < start + len(part))).nonzero().squeeze(1)
            if len(chosen):
                own = part.take(positions[chosen] - start)
                if x is None:
                    x = own.new_empty(len(positions), *own.shape[1:])
                if own.shape[1:] != x.shape[1:]:
                    raise TaskError(_unlike(own, x))
                x[chosen] = own
            start += len(part)
        return torch.empty(0) if x is None else x


def _unlike(x: Tensor, other: Tensor) -> str:
    shapes = f"{('N', *x.shape[1:])} and {('N', *other.shape[1:])}"
    return f"inputs of shapes {shapes} can't be one batch; a method that rehearses earlier tasks needs all tasks' inputs of one shape"


def _stack(pairs: Sequence[tuple[Any, Any]]) -> Tensor:
    """The inputs of (x, label) pairs as one batch."""
    x = torch.stack([torch.as_tensor(x) for x, _ in pairs])
    return x.float() if x.dtype == torch.float64 else x


Labelled = tuple[Any, Any] | Dataset[Any]


class Task:
    """One thing to learn.

    Args:
        name: how the task is called in errors, reports and, in the scenario "task", in `predict(x, task=name)`.
        train: (x, y) as tensors or numpy arrays, or a torch Dataset of (x, label) pairs with a length. x: (N, ...), y: (N,).
        test: the same, for evaluation only. None: the task is learned and never evaluated.
        classes: the names, strings or integers, of the task's classes. None: the labels that occur, sorted.
            Labels are class names; where the names are strings and the labels integers, they are positions in `classes`.
        transform: a pure function applied to batches of inputs, in training and test. float64 inputs become float32 before.

    Raises:
        TaskError: an empty set, x and y of different length, NaN or infinite inputs, labels outside `classes`.

    >>> task = Task("pets", train=(torch.zeros(2, 3), ["cat", "dog"]))
    >>> task.classes, task.train.y.tolist()
    (('cat', 'dog'), [0, 1])
    """

    def __init__(
        self,
        name: str,
        train: Labelled,
        test: Labelled | None = None,
        *,
        classes: Sequence[Name] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.name = name
        sets = {"train": train} if test is None else {"train": train, "test": test}
        read = {part: reading.read(f"task {name!r}, {part}", given) for part, given in sets.items()}
        self.classes: tuple[Name, ...] = reading.unique(name, classes) if classes is not None else reading.found(read.values())
        examples = {part: _examples(f"task {name!r}, {part}", *pair, self.classes, transform) for part, pair in read.items()}
        self.train: Examples = examples["train"]
        self.test: Examples | None = examples.get("test")

    def __repr__(self) -> str:
        test = 0 if self.test is None else len(self.test)
        return f"Task({self.name!r}, train={len(self.train)}, test={test}, classes={list(self.classes)})"


class Stream:
    """Tasks in order, made one at a time when asked for.

    Args:
        name: how the stream is called in results.
        scenario: "task", "domain" or "class": what is known at test time.
        make: gives the task at a position, 0-based; called each time the task is asked for.
        length: the number of tasks. None: the stream never ends.
        data: the data's name and size, for results, as in "mnist (60000)".
    """

    def __init__(self, name: str, scenario: Scenario, make: Callable[[int], Task], length: int | None, data: str = "") -> None:
        self.name, self.scenario, self.make, self.length, self.data = name, scenario, make, length, data

    @property
    def endless(self) -> bool:
        """Whether the stream never ends."""
        return self.length is None

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(f"stream {self.name!r} never ends and has no length; take a part of it, as in stream[:10]")
        return self.length

    def __iter__(self) -> Iterator[Task]:
        position = 0
        while self.length is None or position < self.length:
            yield self.make(position)
            position += 1

    def __getitem__(self, index: "int | slice") -> "Task | Stream":
        if isinstance(index, slice):
            return self._part(index)
        position = index if index >= 0 else index + len(self)
        if position < 0 or (self.length is not None and position >= self.length):
            raise IndexError(f"stream {self.name!r} has tasks 0 to {len(self) - 1}, not {index}")
        return self.make(position)

    def _part(self, part: slice) -> "Stream":
        start, step = part.start or 0, 1 if part.step is None else part.step
        stop: int | None
        if start < 0 or step < 1 or (part.stop is not None and part.stop < 0):
            start, stop, step = part.indices(len(self))
        else:
            ends = [end for end in (part.stop, self.length) if end is not None]
            stop = min(ends) if ends else None
        length = None if stop is None else len(range(start, stop, step))
        return Stream(self.name, self.scenario, lambda position: self.make(start + step * position), length, self.data)

    def __repr__(self) -> str:
        return f"Stream({self.name!r}, scenario={self.scenario!r}, tasks={'endless' if self.endless else self.length})"


def _examples(where: str, x: Any, labels: Any, classes: tuple[Name, ...], transform: Transform | None) -> Examples:
    y = reading.positions(where, labels, classes)
    if isinstance(x, Dataset):
        return DatasetExamples(x, y, transform)
    return Examples(x, y, transform)
