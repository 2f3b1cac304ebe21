import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from lifelong.data import idx
from lifelong.errors import DataError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@settings(deadline=None, max_examples=50)
@given(array=numpy_strategies.arrays(np.uint8, numpy_strategies.array_shapes(min_dims=1, max_dims=3)), suffix=st.sampled_from(["", ".gz"]))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, suffix: str) -> None:
    path = tmp_path_factory.mktemp("idx") / f"file{suffix}"
    idx.write(path, array)
    np.testing.assert_array_equal(idx.read(path, array.ndim), array)


def test_the_format_is_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(bytes([0, 0, 8, 3]) + bytes([0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + IMAGES.tobytes())
    np.testing.assert_array_equal(idx.read(path, 3), IMAGES)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    idx.write(tmp_path / "a.gz", IMAGES)
    idx.write(tmp_path / "b.gz", IMAGES)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_the_array_can_be_written_to(tmp_path: Path) -> None:
    # torch.from_numpy would warn about a read-only array.
    idx.write(tmp_path / "a", IMAGES)
    assert idx.read(tmp_path / "a", 3).flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes; an IDX file with 3 dimensions begins with 16 bytes"),
        (bytes(10), "10 bytes; an IDX file with 3 dimensions begins with 16 bytes"),
        (bytes(16), "magic number 0x00000000, expected 0x00000803 (unsigned bytes, 3 dimensions)"),
        (b"\0\0\x0d\x03" + bytes(12), "magic number 0x00000d03, expected 0x00000803"),
        (b"<html>not here</html>", "magic number 0x3c68746d, expected 0x00000803"),
        (
            b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + bytes(7),
            "is truncated: its header says shape (2, 2, 2), 8 bytes, but 7 follow; get the file again",
        ),
        (b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + bytes(9), "is too long: its header says shape (2, 2, 2), 8 bytes, but 9 follow"),
        (gzip.compress(bytes(1000), mtime=0)[:-12], "truncated or damaged gzip data"),
        (gzip.compress(b"a", mtime=0)[:-8] + bytes(8), "truncated or damaged gzip data (CRC check failed"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 20, "truncated or damaged gzip data"),
    ],
)
def test_a_file_that_is_no_images_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + re.escape(message)):
        idx.read(path, 3)


def test_labels_are_not_taken_for_images(tmp_path: Path) -> None:
    idx.write(tmp_path / "labels", np.zeros(20, dtype=np.uint8))
    with pytest.raises(DataError, match=re.escape("magic number 0x00000801, expected 0x00000803")):
        idx.read(tmp_path / "labels", 3)
