"""Pickled tables, as CIFAR's files are, read without the module pickle: nothing that a file says is imported, called or run."""

import math
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lifelong.errors import DataError

# The only names that a file may contain, and what each stands for here. Newer numpy has moved the first.
NAMES = {
    "numpy.core.multiarray _reconstruct": "new array",
    "numpy._core.multiarray _reconstruct": "new array",
    "numpy ndarray": "array type",
    "numpy dtype": "new dtype",
    "_codecs encode": "bytes of text",  # Python 3's way to write bytes so that Python 2 can read them
}
BLOCK = 1 << 20  # bytes of an array that are made from text at once
Table = dict[str, Any]
Bytes = NDArray[np.uint8]


def read(file: IO[bytes], path: Path | str) -> Table:
    """The table in a pickle of a dict from texts to lists, texts, numbers and numpy arrays of unsigned bytes; nothing else is accepted.

    Python's own tokeniser, which only splits the bytes, finds the instructions, and the few that such a table needs are followed here.
    Strings of bytes come as str, each byte a character (Latin-1): Python 2 makes no difference between the two.

    Args:
        file: open for reading bytes, of pickle protocol 2; written by Python 2, as the official files are, or by Python 3.
        path: names the file in errors.

    Raises:
        DataError: any other instruction or name, what a pickle like this has no use for, or a truncated or damaged file.

    >>> import io, pickle
    >>> read(io.BytesIO(pickle.dumps({"fine_labels": [3, 1]}, protocol=2)), "train")
    {'fine_labels': [3, 1]}
    """
    reader = _Reader(path)
    try:
        for instruction, argument, _ in pickletools.genops(file):
            if instruction.name == "STOP":
                break
            reader.follow(instruction.name, argument)
    except ValueError as error:  # the tokeniser's for bytes that are no pickle, or no whole one
        raise DataError(f"{path}: truncated or damaged ({error}); get the file again") from error
    except (MemoryError, OverflowError) as error:
        raise DataError(f"{path}: damaged (a text larger than memory); get the file again") from error
    return reader.table()


class _Name(str):
    """One of the values of NAMES; no text of the file's own is taken for it."""


class _Dtype:
    """The dtype of unsigned bytes."""


class _Array:
    """An array whose content an instruction BUILD brings."""

    value: Bytes | None = None


class _Reader:
    """Follows the instructions of a pickle: a stack of values, the places of marks on it, and values kept for later."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def follow(self, instruction: str, argument: Any) -> None:
        if instruction == "PROTO":
            return
        if instruction in VALUES:
            self.stack.append(argument)
        elif instruction in MADE:
            self.stack.append(MADE[instruction]())
        elif instruction in ACTIONS:
            ACTIONS[instruction](self, argument)
        else:
            raise self.refusal(f"the instruction {instruction}")

    def table(self) -> Table:
        found = self.pop()
        if type(found) is not dict or self.stack:
            raise self.refusal(f"{type(found).__name__} where one dict was expected")
        return {key: self.array(value) if isinstance(value, _Array) else value for key, value in found.items()}

    def array(self, array: _Array) -> Bytes:
        if array.value is None:
            raise self.refusal("an array without content")
        return array.value

    def refusal(self, found: str) -> DataError:
        return DataError(f"{self.path}: {found}; expected a pickled dict of lists, texts and arrays of bytes, and nothing else is read")

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.refusal("an instruction without its value")
        return self.stack.pop()

    def popped(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise self.refusal("an instruction without its mark")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def keep(self, place: int) -> None:
        self.memo[place] = self.pop()
        self.stack.append(self.memo[place])

    def again(self, place: int) -> None:
        if place not in self.memo:
            raise self.refusal(f"a value {place} that was never kept")
        self.stack.append(self.memo[place])

    def append(self, values: list[Any]) -> None:
        """Appends values to the list below them on the stack."""
        target = self.pop()
        if type(target) is not list:
            raise self.refusal(f"values for a {type(target).__name__} as if it were a list")
        target.extend(values)
        self.stack.append(target)

    def put(self, values: list[Any]) -> None:
        """Puts keys and values in turn into the dict below them on the stack."""
        target = self.pop()
        if type(target) is not dict or len(values) % 2:
            raise self.refusal(f"keys and values for a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) is not str:
                raise self.refusal(f"a key that is a {type(key).__name__}")
            target[key] = value
        self.stack.append(target)

    def name(self, name: str) -> None:
        if name not in NAMES:
            raise self.refusal(f"the name {name[:80].replace(' ', '.')!r}")
        self.stack.append(_Name(NAMES[name]))

    def call(self, _: Any) -> None:
        name, arguments = self.popped(2)
        match name if isinstance(name, _Name) else "", arguments:
            case "bytes of text", (str(text), "latin1"):
                self.stack.append(text)
            case "new array", (_Name("array type"), _, _):
                self.stack.append(_Array())
            case "new dtype", ("u1" | "|u1", *_):
                self.stack.append(_Dtype())
            case "new dtype", (str(kind), *_):
                raise self.refusal(f"an array of {kind[:80]!r}, not of unsigned bytes (u1)")
            case _:
                raise self.refusal("a call that makes no array of bytes")

    def build(self, _: Any) -> None:
        """Gives an array its content; a dtype of bytes has nothing more to say."""
        target, state = self.popped(2)
        match target, state:
            case _Dtype(), tuple():
                pass
            case _Array(), (_, tuple(shape), _Dtype(), fortran, str(text)):
                target.value = self.filled(shape, bool(fortran), text)
            case _:
                raise self.refusal("content that is no array's")
        self.stack.append(target)

    def filled(self, shape: tuple[Any, ...], fortran: bool, text: str) -> Bytes:
        """The array whose bytes are the text's characters."""
        if not all(type(side) is int and side >= 0 for side in shape):
            raise self.refusal("an array whose shape is not made of sizes")
        if math.prod(shape) != len(text):
            raise self.refusal(f"an array of shape {shape} with {len(text)} bytes")
        array = np.empty(len(text), dtype=np.uint8)
        for start in range(0, len(text), BLOCK):  # in blocks, because the text is as large as the whole data set
            try:
                block = text[start : start + BLOCK].encode("latin-1")
            except UnicodeEncodeError as error:
                raise self.refusal("text in place of an array's bytes") from error
            array[start : start + BLOCK] = np.frombuffer(block, dtype=np.uint8)
        return array.reshape(shape, order="F" if fortran else "C")


# Instructions that put their argument on the stack, ones that put a new value there, and the others.
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE"}
MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
ACTIONS: dict[str, Callable[[_Reader, Any], None]] = {
    "MARK": _Reader.mark,
    "BINPUT": _Reader.keep,
    "LONG_BINPUT": _Reader.keep,
    "BINGET": _Reader.again,
    "LONG_BINGET": _Reader.again,
    "APPEND": lambda reader, _: reader.append(reader.popped(1)),
    "APPENDS": lambda reader, _: reader.append(reader.since_mark()),
    "SETITEM": lambda reader, _: reader.put(reader.popped(2)),
    "SETITEMS": lambda reader, _: reader.put(reader.since_mark()),
    "TUPLE": lambda reader, _: reader.stack.append(tuple(reader.since_mark())),
    "TUPLE1": lambda reader, _: reader.stack.append(tuple(reader.popped(1))),
    "TUPLE2": lambda reader, _: reader.stack.append(tuple(reader.popped(2))),
    "TUPLE3": lambda reader, _: reader.stack.append(tuple(reader.popped(3))),
    "GLOBAL": _Reader.name,
    "REDUCE": _Reader.call,
    "BUILD": _Reader.build,
}
