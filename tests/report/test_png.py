"""PNG files, read back by hand as the format's specification says."""

import struct
import zlib

import numpy as np
import pytest

from lifelong.report import ReportError
from lifelong.report.png import grid, png


def decoded(content: bytes) -> np.ndarray:
    """The pixels of an 8-bit PNG without filters and interlacing; every check sum is checked."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = [], 8
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind, data = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", content, position + 8 + length) == (zlib.crc32(kind + data),)
        chunks.append((kind, data))
        position += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colours, compression, filtering, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, compression, filtering, interlace) == (8, 0, 0, 0)
    channels = {0: 1, 2: 3}[colours]
    lines = np.frombuffer(zlib.decompress(chunks[1][1]), dtype=np.uint8).reshape(height, 1 + width * channels)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape((height, width) if channels == 1 else (height, width, 3))


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (28, 28), (4, 7, 3)])
def test_what_is_written_is_read_back(shape: tuple[int, ...]):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(decoded(png(image)), image)
    assert np.array_equal(decoded(png(image[::-1])), image[::-1]), "a view that is not contiguous"


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((2, 2)), "float64 in (2, 2)"),
        (np.zeros((2, 2, 4), dtype=np.uint8), "uint8 in (2, 2, 4)"),
        (np.zeros(4, dtype=np.uint8), "uint8 in (4,)"),
        (np.zeros((0, 4), dtype=np.uint8), "uint8 in (0, 4)"),
    ],
)
def test_what_is_no_image(image: np.ndarray, got: str):
    with pytest.raises(ReportError) as caught:
        png(image)
    assert str(caught.value) == f"a PNG is made of uint8 in the shape (height, width) or (height, width, 3), got {got}"


def test_a_grid_has_its_images_in_rows_with_white_lines_between():
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 1, 2), dtype=np.uint8)
    expected = [[0, 0, 255, 1, 1, 255, 2, 2], [255] * 8, [3, 3, 255, 4, 4, 255, 255, 255]]
    assert grid(images).tolist() == expected
    assert grid(images, columns=5).tolist() == [[0, 0, 255, 1, 1, 255, 2, 2, 255, 3, 3, 255, 4, 4]]


def test_a_grid_of_colour_images():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 3), dtype=np.uint8)
    whole = grid(images)
    assert whole.shape == (7, 5, 3)
    assert np.array_equal(whole[4:, 3:], images[3])
    assert decoded(png(whole)).shape == whole.shape


def test_what_is_no_grid():
    with pytest.raises(ReportError, match=r"a grid is made of images in the shape \(number, height, width\) or .*, got \(2, 2\)"):
        grid(np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(ReportError, match=r"got \(0, 2, 2\)"):
        grid(np.zeros((0, 2, 2), dtype=np.uint8))
    with pytest.raises(ReportError, match="columns=0: a grid has 1 or more"):
        grid(np.zeros((1, 2, 2), dtype=np.uint8), columns=0)
