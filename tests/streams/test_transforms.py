import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lifelong.data.mnist import load
from lifelong.streams.transforms import Permute, Rotate, Scale

DIGITS = load("embedded").train_x[:20]


def pixel(image: Tensor, row: int, column: int) -> float:
    height, width = image.shape
    return float(image[row, column]) / 255 if 0 <= row < height and 0 <= column < width else 0.0


def rotated_nearest(image: Tensor, degrees: float) -> Tensor:
    """Pixel by pixel, from the definition: the centre of a pixel of the result, turned back about the image's centre."""
    height, width = image.shape
    result = torch.zeros(height, width)
    turn = complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    for row in range(height):
        for column in range(width):
            # Rows count downwards, so a counter-clockwise turn back is a multiplication by the turn itself.
            source = complex(column + 0.5 - width / 2, row + 0.5 - height / 2) * turn
            result[row, column] = pixel(image, math.floor(source.imag + height / 2), math.floor(source.real + width / 2))
    return result


def rotated_bilinear(image: Tensor, degrees: float) -> Tensor:
    height, width = image.shape
    result = torch.zeros(height, width)
    turn = complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    for row in range(height):
        for column in range(width):
            source = complex(column + 0.5 - width / 2, row + 0.5 - height / 2) * turn
            x, y = source.real + width / 2 - 0.5, source.imag + height / 2 - 0.5
            for near_row in (math.floor(y), math.floor(y) + 1):
                for near_column in (math.floor(x), math.floor(x) + 1):
                    result[row, column] += (1 - abs(y - near_row)) * (1 - abs(x - near_column)) * pixel(image, near_row, near_column)
    return result


def test_scale_gives_0_to_1_as_float32() -> None:
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    scaled = Scale()(x)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled.flatten(), torch.arange(256) / 255)


@pytest.mark.parametrize("transform", [Scale(), Permute(torch.randperm(784)), Rotate.by(30, 28, 28), Rotate.by(30, 28, 28, "bilinear")])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_transforms_leave_their_input_alone(transform: Scale | Permute | Rotate, dtype: torch.dtype) -> None:
    x = DIGITS.to(dtype)
    before = x.clone()
    result = transform(x)
    assert torch.equal(x, before)
    assert result.dtype == torch.float32
    assert result.shape == x.shape
    assert result.is_contiguous()
    assert torch.equal(result, transform(x))
    assert torch.equal(result[3:7], transform(x[3:7]))
    assert torch.equal(result, copy.deepcopy(transform)(x))


@settings(deadline=None)
@given(order=st.permutations(list(range(12))))
def test_a_permutation_moves_every_pixel_and_loses_none(order: list[int]) -> None:
    x = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    permute, back = Permute(torch.tensor(order)), Permute(torch.tensor(order).argsort())
    permuted = permute(x)
    assert torch.equal(permuted.flatten(1).sort(dim=1).values, Scale()(x).flatten(1))
    assert all(permuted.flatten(1)[1, i] == Scale()(x).flatten(1)[1, order[i]] for i in range(12))
    assert torch.equal(back(permuted * 255) * 255, x.float())


@settings(deadline=None)
@given(degrees=st.floats(-720, 720))
def test_rotation_is_the_definition_pixel_by_pixel(degrees: float) -> None:
    # A pixel whose source lies on the border between two, to the last bit, may fall to either; no digit shows that in more than a few.
    result = Rotate.by(degrees, 28, 28)(DIGITS[3:4])[0, 0]
    assert int((result != rotated_nearest(DIGITS[3, 0], degrees)).sum()) == 0 or degrees % 45 == 0


@pytest.mark.parametrize("degrees", [0.0, 13.7, 45.0, 90.0, 123.4, 180.0])
def test_bilinear_rotation_is_the_definition(degrees: float) -> None:
    result = Rotate.by(degrees, 28, 28, "bilinear")(DIGITS[3:4])[0, 0]
    torch.testing.assert_close(result, rotated_bilinear(DIGITS[3, 0], degrees), atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4])
def test_quarter_turns_are_exact_and_counter_clockwise(interpolation: str, quarters: int) -> None:
    rotate = Rotate.by(90.0 * quarters, 28, 28, interpolation)
    torch.testing.assert_close(rotate(DIGITS), torch.rot90(Scale()(DIGITS), quarters, (2, 3)), atol=1e-6, rtol=0)


def test_the_corners_come_from_outside_and_are_0() -> None:
    white = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    for interpolation in ("nearest", "bilinear"):
        turned = Rotate.by(45, 28, 28, interpolation)(white)[0, 0]
        assert turned[0, 0] == turned[0, -1] == turned[-1, 0] == turned[-1, -1] == 0
        assert torch.allclose(turned[10:18, 10:18], torch.ones(8, 8))


def test_images_need_be_neither_square_nor_grey() -> None:
    x = torch.randint(0, 256, (2, 3, 4, 6), dtype=torch.uint8)
    half = Rotate.by(180, 4, 6)(x)
    assert torch.equal(half, Scale()(x).flip(2, 3))
    oblique = Rotate.by(30, 4, 6)(x)
    assert torch.equal(oblique[1, 2], rotated_nearest(x[1, 2], 30))
