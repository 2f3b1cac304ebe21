"""IDX files, the format of the MNIST family: a magic number, the dimensions, then one byte a value."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifelong.errors import DataError

UNSIGNED_BYTE = 8  # the third byte of the magic number; the fourth is the number of dimensions


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, plain or compressed with gzip (told by its first bytes, not by its name).

    Args:
        path: the file.
        dimensions: how many the array must have: 3 for images, 1 for labels.

    Raises:
        DataError: not an IDX file of unsigned bytes, other dimensions, bytes missing or left over, damaged gzip data.
    """
    content = contents(path)
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path}: {len(content)} bytes; an IDX file with {dimensions} dimensions begins with {start} bytes")
    magic, expected = int.from_bytes(content[:4], "big"), UNSIGNED_BYTE << 8 | dimensions
    if magic != expected:
        raise DataError(f"{path}: magic number {magic:#010x}, expected {expected:#010x} (unsigned bytes, {dimensions} dimensions)")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions))
    size, found = math.prod(shape), len(content) - start
    if found != size:
        fault = "truncated" if found < size else "too long"
        raise DataError(f"{path} is {fault}: its header says shape {shape}, {size} bytes, but {found} follow; get the file again")
    return np.frombuffer(bytearray(content), dtype=np.uint8, offset=start).reshape(shape)


def write(path: Path, array: NDArray[np.uint8]) -> None:
    """Writes `array` as an IDX file; compressed if `path` ends with .gz, the same bytes every time."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + np.ascontiguousarray(array, dtype=np.uint8).tobytes()
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


def contents(path: Path) -> bytes:
    """The bytes of a file, decompressed if it is compressed with gzip."""
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged gzip data ({error}); get the file again") from error
