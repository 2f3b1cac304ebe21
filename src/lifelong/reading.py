"""Data as users give them, checked and made tensors; every complaint says which task and which part of it."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lifelong.errors import TaskError

Name = str | int


def read(where: str, given: tuple[Any, Any] | Dataset[Any]) -> tuple[Any, Any]:
    """x (a Tensor or a Dataset) and the labels (a sequence or an integer tensor)."""
    x: Any
    if isinstance(given, Dataset):
        x, labels = given, _dataset_labels(where, given)
    elif isinstance(given, tuple) and len(given) == 2:
        x, labels = inputs(where, given[0]), given[1]
    else:
        raise TaskError(f"{where}: expected (x, y) or a torch Dataset, got {type(given).__name__}")
    labels = _labels(where, labels)
    size = len(x)
    if size != len(labels):
        raise TaskError(f"{where}: {size} inputs but {len(labels)} labels; give one label for each input")
    if size == 0:
        raise TaskError(f"{where} is empty; a task needs at least one example")
    if isinstance(x, Tensor):
        check_finite(where, x)
    return x, labels


def check_finite(where: str, x: Tensor) -> None:
    """Raises TaskError for NaN or infinite inputs (N, ...)."""
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        first = int((~torch.isfinite(x.reshape(len(x), -1)).all(dim=1)).nonzero()[0])
        raise TaskError(f"{where}: NaN or infinite inputs, first in example {first}; clean the data or drop those examples")


def inputs(where: str, x: Any) -> Tensor:
    """x as a tensor that shares its memory where it can; float64 as float32."""
    try:
        made = _tensor(x)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{where}: the inputs can't be made a tensor ({error}); give numbers, all examples of one shape") from error
    if made.ndim == 0:
        raise TaskError(f"{where}: the inputs are a single number; expected shape (N, ...)")
    return made.float() if made.dtype == torch.float64 else made


def _tensor(values: Any) -> Tensor:
    with warnings.catch_warnings():
        # torch warns that writing to a read-only array, such as a memory-mapped file, is undefined: a task's data are only read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.as_tensor(values)


def _dataset_labels(where: str, dataset: Dataset[Any]) -> Any:
    if not hasattr(dataset, "__len__"):
        raise TaskError(f"{where}: {type(dataset).__name__} has no length; give a Dataset with __len__ and __getitem__")
    labels = getattr(dataset, "targets", None)
    return [dataset[i][1] for i in range(len(dataset))] if labels is None else labels


def _labels(where: str, labels: Any) -> Tensor | list[Name]:
    """Integer labels as an int64 tensor, names as a list of str."""
    if isinstance(labels, Tensor | np.ndarray) and labels.ndim != 1:
        raise TaskError(f"{where}: labels have shape {tuple(labels.shape)}; expected one label an example, shape (N,)")
    if isinstance(labels, Tensor) or (isinstance(labels, np.ndarray) and labels.dtype.kind not in "UO"):
        tensor = _tensor(labels)
        if tensor.is_floating_point() or tensor.is_complex():
            raise TaskError(f"{where}: labels have dtype {tensor.dtype}; expected integers or names")
        return tensor.long()
    if not isinstance(labels, Iterable):
        raise TaskError(f"{where}: labels are of type {type(labels).__name__}; expected one label an example, shape (N,)")
    names: list[Any] = [label.item() if isinstance(label, Tensor | np.generic) else label for label in labels]
    if names and all(isinstance(name, int) for name in names):
        return torch.tensor(names, dtype=torch.int64)
    strange = [name for name in names if not isinstance(name, str)]
    if strange:
        raise TaskError(f"{where}: label {strange[0]!r} is of type {type(strange[0]).__name__}; expected all integers or all strings")
    return names


def unique(name: str, classes: Sequence[Name]) -> tuple[Name, ...]:
    """The names of a task's classes as given, each once."""
    names = tuple(c.item() if isinstance(c, Tensor | np.generic) else c for c in classes)
    strange = [c for c in names if not isinstance(c, str | int)]
    if strange:
        raise TaskError(f"task {name!r}: class {strange[0]!r} is of type {type(strange[0]).__name__}; class names are strings or integers")
    if len(set(names)) < len(names) or not names:
        raise TaskError(f"task {name!r}: classes {list(names)} must be at least one name, each once")
    return names


def found(read: Iterable[tuple[Any, Any]]) -> tuple[Name, ...]:
    """The labels that occur, sorted: integers before strings."""
    names: set[Name] = set()
    for _, labels in read:
        names.update(set(labels.tolist()) if isinstance(labels, Tensor) else labels)
    return tuple(sorted(names, key=lambda label: (isinstance(label, str), label)))


def positions(where: str, labels: Any, classes: tuple[Name, ...]) -> Tensor:
    """Labels as positions in `classes`."""
    if isinstance(labels, Tensor):
        if all(isinstance(c, str) for c in classes) or classes == tuple(range(len(classes))):
            known = (labels >= 0) & (labels < len(classes))
            positions = labels
        else:
            # Names that are strings have no number: left out here, they are never found.
            places = torch.tensor([i for i, c in enumerate(classes) if isinstance(c, int)])
            numbers, ranks = torch.tensor([c for c in classes if isinstance(c, int)]).sort()
            nearest_numbers = torch.searchsorted(numbers, labels).clamp_max(len(numbers) - 1)
            positions = places[ranks[nearest_numbers]]
            known = numbers[nearest_numbers] == labels
        if not bool(known.all()):
            raise TaskError(_outside(where, int(labels[~known][0]), classes))
        return positions
    lookup = {c: i for i, c in enumerate(classes)}
    strange = next((label for label in labels if label not in lookup), None)
    if strange is not None:
        raise TaskError(_outside(where, strange, classes))
    return torch.tensor([lookup[label] for label in labels], dtype=torch.int64)


def _outside(where: str, label: Name, classes: tuple[Name, ...]) -> str:
    return f"{where}: label {label!r} is not one of the classes {list(classes)}; add it to `classes` or correct the label"
