import copy
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from lifelong.errors import TaskError
from lifelong.tasks import CHUNK, Batch, DatasetExamples, Examples, Stream, Task

X = torch.arange(12, dtype=torch.float32).reshape(6, 2)


def double(x: Tensor) -> Tensor:
    return x * 2


class Pairs(Dataset[tuple[Any, Any]]):
    """(x, label) pairs, counting how many were read."""

    def __init__(self, x: Sequence[Any] | Tensor, labels: Sequence[Any]) -> None:
        self.x, self.labels, self.read = x, labels, 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        self.read += 1
        return self.x[i], self.labels[i]


class Targets(Pairs):
    """The same, with the labels known without reading, as torchvision's sets."""

    def __init__(self, x: Sequence[Any] | Tensor, labels: Sequence[Any]) -> None:
        super().__init__(x, labels)
        self.targets = labels


class Endless(IterableDataset[tuple[Any, Any]]):
    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(())


# Labels


@pytest.mark.parametrize(
    ("labels", "classes", "names", "positions"),
    [
        (["cat", "dog", "cat", "cat", "dog", "ape"], None, ("ape", "cat", "dog"), [1, 2, 1, 1, 2, 0]),
        (["cat", "dog", "cat", "cat", "dog", "cat"], ["dog", "cat"], ("dog", "cat"), [1, 0, 1, 1, 0, 1]),
        (np.array(["b", "a", "b", "a", "b", "a"]), None, ("a", "b"), [1, 0, 1, 0, 1, 0]),
        (np.array(["b", "a", "b", "a", "b", "a"], dtype=object), None, ("a", "b"), [1, 0, 1, 0, 1, 0]),
        ([7, 3, 7, 3, 3, 3], None, (3, 7), [1, 0, 1, 0, 0, 0]),
        (torch.tensor([7, 3, 7, 3, 3, 3]), [7, 3, 5], (7, 3, 5), [0, 1, 0, 1, 1, 1]),
        (np.array([7, 3, 7, 3, 3, 3], dtype=np.uint8), None, (3, 7), [1, 0, 1, 0, 0, 0]),
        ([np.int64(2), torch.tensor(0), 1, 1, 1, 1], None, (0, 1, 2), [2, 0, 1, 1, 1, 1]),
        ([0, 1, 1, 0, 1, 0], range(10), tuple(range(10)), [0, 1, 1, 0, 1, 0]),
        ([0, 1, 1, 0, 1, 0], ["first", "second"], ("first", "second"), [0, 1, 1, 0, 1, 0]),  # positions in the names
        ([-4, 9, 9, -4, 9, 9], None, (-4, 9), [0, 1, 1, 0, 1, 1]),
        ([5, 5, 2, 2, 5, 5], ["a", 5, 2], ("a", 5, 2), [1, 1, 2, 2, 1, 1]),
        (["a"] * 6, [np.str_("b"), np.int64(3), "a"], ("b", 3, "a"), [2] * 6),
        (torch.tensor([True, False] * 3), None, (0, 1), [1, 0] * 3),
    ],
)
def test_labels_are_class_names(labels: Any, classes: Any, names: tuple[Any, ...], positions: list[int]) -> None:
    task = Task("t", train=(X, labels), classes=classes)
    assert task.classes == names
    assert task.train.y.tolist() == positions
    assert task.train.y.dtype == torch.int64


@given(labels=st.lists(st.integers(-(2**40), 2**40), min_size=1), data=st.data())
@settings(deadline=None)
def test_any_integers_can_be_names(labels: list[int], data: st.DataObject) -> None:
    classes = data.draw(st.permutations(sorted(set(labels))))
    task = Task("t", train=(torch.zeros(len(labels), 1), labels), classes=classes)
    assert [task.classes[i] for i in task.train.y] == labels


def test_classes_come_from_both_sets() -> None:
    task = Task("t", train=(X, [0, 1, 0, 1, 0, 1]), test=(X[:1], [2]))
    assert task.classes == (0, 1, 2)
    assert task.test is not None
    assert task.test.y.tolist() == [2]


def test_a_task_without_test_data() -> None:
    task = Task("t", train=(X, [0, 1, 0, 1, 0, 1]))
    assert task.test is None
    assert repr(task) == "Task('t', train=6, test=0, classes=[0, 1])"


# Inputs


@pytest.mark.parametrize("x", [X, X.numpy(), X.double().numpy(), X.tolist()])
def test_inputs_from_tensors_arrays_and_lists(x: Any) -> None:
    task = Task("t", train=(x, [0] * 6))
    assert task.train.x.dtype == torch.float32
    assert torch.equal(task.train.take(torch.tensor([4, 1])), X[[4, 1]])


def test_integer_inputs_stay_integers() -> None:
    assert Task("t", train=(X.byte(), [0] * 6)).train.x.dtype == torch.uint8


def test_the_callers_data_are_shared_and_unchanged() -> None:
    x, y = X.clone(), torch.tensor([0, 1, 0, 1, 0, 1])
    array, labels = np.arange(12.0).reshape(6, 2), np.array([5, 4] * 3, dtype=np.int32)
    shared = Task("t", train=(x, y), transform=double)
    converted = Task("t", train=(array, labels))
    assert shared.train.x.data_ptr() == x.data_ptr()
    for task in (shared, converted):
        list(task.train.batches(torch.arange(6), 4))
    assert torch.equal(x, X)
    assert y.tolist() == [0, 1, 0, 1, 0, 1]
    assert (array.dtype, array.ravel().tolist()) == (np.float64, list(range(12)))
    assert (labels.dtype, labels.tolist()) == (np.int32, [5, 4] * 3)


def test_read_only_arrays_are_taken_without_a_warning() -> None:
    x, y = X.numpy().copy(), np.array([0, 1] * 3)
    for array in (x, y):
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Task("t", train=(x, y)).train) == 6


# What is refused


@pytest.mark.parametrize(
    ("train", "classes", "message"),
    [
        ((X, [0, 1]), None, "task 'pets', train: 6 inputs but 2 labels; give one label for each input"),
        ((X[:0], []), None, "task 'pets', train is empty; a task needs at least one example"),
        (X, None, "task 'pets', train: expected (x, y) or a torch Dataset, got Tensor"),
        ((X, X, X), None, "task 'pets', train: expected (x, y) or a torch Dataset, got tuple"),
        (
            (torch.tensor([[0.0], [math.nan]]), [0, 1]),
            None,
            "train: NaN or infinite inputs, first in example 1; clean the data or drop those examples",
        ),
        ((np.array([[math.inf], [0.0]]), [0, 1]), None, "train: NaN or infinite inputs, first in example 0"),
        ((X, torch.zeros(6, 1)), None, "train: labels have shape (6, 1); expected one label an example, shape (N,)"),
        ((X, torch.zeros(6)), None, "train: labels have dtype torch.float32; expected integers or names"),
        ((X, np.zeros(6, dtype=complex)), None, "train: labels have dtype torch.complex128; expected integers or names"),
        ((X, 3), None, "train: labels are of type int; expected one label an example, shape (N,)"),
        ((X, [0, 1.5, 0, 0, 0, 0]), None, "train: label 0 is of type int; expected all integers or all strings"),
        ((X, ["a", 1, "a", "a", "a", "a"]), None, "train: label 1 is of type int; expected all integers or all strings"),
        ((X, ["a", None, "a", "a", "a", "a"]), None, "train: label None is of type NoneType; expected all integers or all strings"),
        (
            (X, [0, 1, 2, 0, 0, 0]),
            ["a", "b"],
            "train: label 2 is not one of the classes ['a', 'b']; add it to `classes` or correct the label",
        ),
        ((X, [0, 1, -1, 0, 0, 0]), ["a", "b"], "train: label -1 is not one of the classes ['a', 'b']"),
        ((X, [0, 1, -1, 0, 0, 0]), ["a", 0, 1], "train: label -1 is not one of the classes ['a', 0, 1]"),
        ((X, [4, 5, 6, 4, 4, 4]), [4, 6], "train: label 5 is not one of the classes [4, 6]"),
        ((X, [4, 7, 6, 4, 4, 4]), [6, 4], "train: label 7 is not one of the classes [6, 4]"),
        ((X, ["a", "c", "a", "a", "a", "a"]), ["a", "b"], "train: label 'c' is not one of the classes ['a', 'b']"),
        ((X, ["a"] * 6), ["a", "a"], "task 'pets': classes ['a', 'a'] must be at least one name, each once"),
        ((X, [0] * 6), [], "task 'pets': classes [] must be at least one name, each once"),
        ((X, [0] * 6), [None], "task 'pets': class None is of type NoneType; class names are strings or integers"),
        ((X, [0] * 6), [0.5], "task 'pets': class 0.5 is of type float; class names are strings or integers"),
        (([[1, 2], [3]], [0, 1]), None, "train: the inputs can't be made a tensor"),
        ((["a", "b"], [0, 1]), None, "give numbers, all examples of one shape"),
        ((np.array(["a", "b"]), [0, 1]), None, "train: the inputs can't be made a tensor"),
        ((1.0, [0]), None, "train: the inputs are a single number; expected shape (N, ...)"),
        (Endless(), None, "train: Endless has no length; give a Dataset with __len__ and __getitem__"),
        (Pairs([], []), None, "task 'pets', train is empty"),
        (Pairs(X, [0, "a", 0, 0, 0, 0]), None, "train: label 0 is of type int; expected all integers or all strings"),
    ],
)
def test_data_that_can_not_be_learned_from(train: Any, classes: Any, message: str) -> None:
    with pytest.raises(TaskError, match=re.escape(message)):
        Task("pets", train, classes=classes)


def test_the_error_says_which_set_is_wrong() -> None:
    with pytest.raises(TaskError, match=re.escape("task 'pets', test: label 'c' is not one of the classes ['a']")):
        Task("pets", (X, ["a"] * 6), (X, ["c"] * 6), classes=["a"])


# Batches


@settings(deadline=None)
@given(size=st.integers(0, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 9))
def test_batches_cover_the_order_exactly(size: int, batch_size: int, seed: int) -> None:
    x, y = torch.arange(50).float()[:, None], torch.arange(50)
    order = torch.randint(0, 50, (size,), generator=torch.Generator().manual_seed(seed))
    batches = list(Examples(x, y, double).batches(order, batch_size))
    assert torch.equal(torch.cat([torch.empty(0, dtype=torch.int64), *(y for _, y in batches)]), order)
    assert all(torch.equal(x, 2.0 * y[:, None]) for x, y in batches)
    assert all(len(y) == batch_size for _, y in batches[:-1])
    assert all(len(y) > 0 for _, y in batches)


@pytest.mark.parametrize("batch_size", [10, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_large_sets_are_gathered_in_parts_without_a_seam(batch_size: int) -> None:
    size = 3 * CHUNK + 5
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    gathered: list[int] = []

    def look(x: Tensor) -> Tensor:
        gathered.append(len(x))
        return x

    batches = list(Examples(torch.arange(size), torch.arange(size), look).batches(order, batch_size))
    assert torch.equal(torch.cat([x for x, _ in batches]), order)
    assert [len(y) for _, y in batches] == [len(part) for part in torch.split(order, batch_size)]
    assert max(gathered) <= max(CHUNK, batch_size)


def test_copies_of_a_learner_share_examples() -> None:
    examples = Examples(X, torch.zeros(6, dtype=torch.int64))
    assert copy.deepcopy(examples) is examples


@pytest.mark.parametrize("dataset", [Pairs(X, [0, 1] * 3), Targets(X, [0, 1] * 3), TensorDataset(X, torch.tensor([0, 1] * 3))])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_gives_the_same_batches_as_tensors(dataset: Dataset[Any], workers: int) -> None:
    memory = Task("t", train=(X, [0, 1] * 3), transform=double).train
    read = Task("t", train=dataset, transform=double).train
    assert isinstance(read, DatasetExamples)
    order = torch.tensor([5, 0, 3, 3, 1])
    for a, b in zip(memory.batches(order, 2), read.batches(order, 2, workers), strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
    assert torch.equal(memory.take(order), read.take(order))
    assert len(memory) == len(read) == 6
    assert list(read.batches(order[:0], 2, workers)) == []


def test_a_dataset_is_not_read_where_its_labels_are_known() -> None:
    dataset = Targets(X, ["a", "b"] * 3)
    task = Task("t", train=dataset)
    assert dataset.read == 0
    assert (task.classes, task.train.y.tolist()) == (("a", "b"), [0, 1] * 3)


def test_a_dataset_of_float64_arrays_gives_float32() -> None:
    read = Task("t", train=Pairs(X.double().numpy(), ["a", "b"] * 3)).train
    assert read.take(torch.tensor([2])).dtype == torch.float32
    assert next(read.batches(torch.tensor([2]), 1))[0].dtype == torch.float32


def test_reading_a_dataset_leaves_torchs_random_numbers_alone() -> None:
    read = Task("t", train=Pairs(X, [0, 1] * 3)).train
    before = torch.get_rng_state()
    list(read.batches(torch.arange(6), 2))
    assert torch.equal(torch.get_rng_state(), before)


def weighted(size: int, weight: Tensor | None, head: int | Tensor = 0, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(size, 3, generator=generator), torch.randint(4, (size,), generator=generator), head, weight)


@pytest.mark.parametrize("given", [(None, None), (True, None), (None, True), (True, True)])
def test_joined_batches_count_by_their_number_of_examples(given: tuple[bool | None, bool | None]) -> None:
    """With any losses of the examples, the joined one is the mean of the parts' own, weighted by their lengths."""
    parts = [weighted(size, torch.rand(size) if has else None, seed=size) for size, has in zip((5, 2), given, strict=True)]
    joined = parts[0].joined(parts[1])
    assert torch.equal(joined.x, torch.cat([part.x for part in parts]))
    assert torch.equal(joined.y, torch.cat([part.y for part in parts]))
    losses = torch.rand(7)
    own = [
        float(part_losses.mean() if part.weight is None else part_losses @ part.weight)
        for part, part_losses in zip(parts, torch.split(losses, [5, 2]), strict=True)
    ]
    total = float(losses.mean() if joined.weight is None else losses @ joined.weight)
    assert total == pytest.approx((5 * own[0] + 2 * own[1]) / 7, rel=1e-5)
    assert (joined.weight is None) is (given == (None, None))


def test_joining_three_batches_does_not_depend_on_the_order_of_joining() -> None:
    a, b, c = weighted(4, torch.rand(4)), weighted(3, None, 1), weighted(2, torch.rand(2), torch.tensor([0, 2]))
    one, other = a.joined(b).joined(c), a.joined(b.joined(c))
    assert one.weight is not None
    assert other.weight is not None
    assert torch.allclose(one.weight, other.weight)
    assert isinstance(one.head, Tensor)
    assert one.head.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 2]


def test_joining_changes_neither_batch() -> None:
    weights = torch.rand(4), torch.rand(3)
    a, b = (weighted(len(weight), weight.clone()) for weight in weights)
    a.joined(b)
    assert a.weight is not None
    assert b.weight is not None
    assert torch.equal(a.weight, weights[0])
    assert torch.equal(b.weight, weights[1])


def test_a_batch_has_a_length() -> None:
    assert len(Batch(X, torch.zeros(6, dtype=torch.int64))) == 6


# Streams


def numbers(length: int | None) -> Stream:
    return Stream("numbers", "class", lambda i: Task(f"task {i}", train=(X, [i] * 6)), length, "nothing (6)")


def names(stream: Any) -> list[int]:
    return [int(task.name.removeprefix("task ")) for task in stream]


parts = st.slices(8) | st.builds(
    slice, st.none() | st.integers(-10, 10), st.none() | st.integers(-10, 10), st.sampled_from([None, 1, 2, 3, -1, -2])
)


@settings(deadline=None)
@given(part=parts, again=parts)
def test_a_part_of_a_stream_is_the_part_of_its_list(part: slice, again: slice) -> None:
    stream = numbers(8)[part]
    assert isinstance(stream, Stream)
    assert names(stream) == list(range(8))[part]
    assert len(stream) == len(range(8)[part])
    further = stream[again]
    assert names(further) == list(range(8))[part][again]
    assert (stream.name, stream.scenario, stream.data) == ("numbers", "class", "nothing (6)")


def test_tasks_are_made_when_asked_for() -> None:
    made = []

    def make(position: int) -> Task:
        made.append(position)
        return Task(str(position), train=(X, [0] * 6))

    stream = Stream("s", "class", make, 5)
    iterator = iter(stream[1:])
    assert made == []
    next(iterator)
    assert made == [1]
    assert stream[-2].name == "3"  # type: ignore[union-attr]
    assert made == [1, 3]


@pytest.mark.parametrize("index", [5, -6, 100])
def test_an_index_outside(index: int) -> None:
    with pytest.raises(IndexError, match=f"stream 'numbers' has tasks 0 to 4, not {index}"):
        numbers(5)[index]


def test_an_endless_stream() -> None:
    stream = numbers(None)
    assert stream.endless
    assert not numbers(3).endless
    assert repr(stream) == "Stream('numbers', scenario='class', tasks=endless)"
    assert repr(numbers(3)) == "Stream('numbers', scenario='class', tasks=3)"
    assert names(stream[4:10:3]) == [4, 7]
    later = stream[5:]
    assert isinstance(later, Stream)
    assert later.endless
    assert names(later[:2]) == [5, 6]
    assert names([task for task, _ in zip(stream, range(3), strict=False)]) == [0, 1, 2]


@pytest.mark.parametrize("ask", [len, lambda stream: stream[-1], lambda stream: stream[:-1], lambda stream: stream[::-1]])
def test_what_an_endless_stream_can_not_tell(ask: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("stream 'numbers' never ends and has no length; take a part of it, as in stream[:10]")):
        ask(numbers(None))


def test_a_step_of_0() -> None:
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        numbers(5)[::0]
