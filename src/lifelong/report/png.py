"""Images as PNG files, with zlib and nothing else: https://www.w3.org/TR/png/."""

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from lifelong.report.digest import ReportError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB = 0, 2  # the format's colour types
BETWEEN = 255  # the value of the lines between a grid's images

Image = NDArray[np.uint8]


def png(image: Image) -> bytes:
    """A PNG file of an image (height, width) in gray or (height, width, 3) in red, green and blue.

    Raises:
        ReportError: another type or shape, or no pixels.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or not image.size:
        raise ReportError(f"a PNG is made of uint8 in the shape (height, width) or (height, width, 3), got {image.dtype} in {image.shape}")
    height, width = image.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, GRAY if image.ndim == 2 else RGB, 0, 0, 0)
    lines = np.zeros((height, 1 + image[0].size), dtype=np.uint8)  # each begins with its filter, 0: none
    lines[:, 1:] = image.reshape(height, -1)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grid(images: Image, columns: int | None = None) -> Image:
    """Images (number, height, width) or (number, height, width, 3) as one, row by row, with a white line between them.

    Args:
        columns: images in a row. None: about as many as there are rows.

    Raises:
        ReportError: another shape, no images, or less than one column.
    """
    if images.ndim not in (3, 4) or not len(images):
        raise ReportError(
            f"a grid is made of images in the shape (number, height, width) or (number, height, width, 3), got {images.shape}"
        )
    across = math.ceil(math.sqrt(len(images))) if columns is None else columns
    if across < 1:
        raise ReportError(f"columns={columns}: a grid has 1 or more")
    height, width = images.shape[1:3]
    down = math.ceil(len(images) / across)
    whole = np.full((down * (height + 1) - 1, across * (width + 1) - 1, *images.shape[3:]), BETWEEN, dtype=images.dtype)
    for position, image in enumerate(images):
        top, left = position // across * (height + 1), position % across * (width + 1)
        whole[top : top + height, left : left + width] = image
    return whole
