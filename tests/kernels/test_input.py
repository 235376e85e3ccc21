"""Gathering, moving and normalising images against the reference."""

import numpy as np
import pytest

from .harness import compare

# images, channels, height, width, batch
SHAPES = [(1, 1, 1, 1, 1), (3, 1, 28, 28, 5), (7, 3, 9, 5, 17), (2, 4, 1, 6, 3), (5, 2, 6, 1, 1)]


def arguments(shape):
    (count, channels, height, width, batch) = shape
    generator = np.random.default_rng(0)
    return generator, {
        "images": generator.integers(0, 256, shape[:4], np.uint8),
        "index": generator.integers(0, count, batch),
        "mean": generator.random(channels, np.float32),
        "std": 0.1 + generator.random(channels, np.float32),
        "out": np.empty((batch, height, width, channels), np.float32),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_normalise(kernels, shape):
    compare(kernels, "normalise", ("out",), **arguments(shape)[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_normalise_floats(kernels, shape):
    common = arguments(shape)[1]
    common["images"] = np.random.default_rng(1).random(shape[:4], np.float32)
    compare(kernels, "normalise", ("out",), **common)


@pytest.mark.parametrize("spread", [0.3, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_random_affine(kernels, shape, spread):
    (generator, common) = arguments(shape)
    matrix = np.array([[1, 0, 0, 0, 1, 0]]) + spread * generator.standard_normal((shape[4], 6))
    compare(kernels, "random_affine", ("out",), matrix=matrix.astype(np.float32), **common)


def test_places_on_the_line_between_two_pixels(kernels):
    """And outside every image: infinite, far away, or no place at all."""
    common = arguments((3, 2, 6, 5, 9))[1]
    turn, third = np.sqrt(0.75), 1 / 3
    matrix = [
        [0.5, 0, 0, 0, 0.5, 0], [1, 0, 0.5, 0, 1, 0.5], [0, 1, 0.5, -1, 0, 0],
        [third, 0, third, 0, third, -third], [turn, 0.5, 0.5, -0.5, turn, 0], [0.1, 0.2, 0.05] * 2,
        [np.inf, 0, 0, 0, 1, 0], [1, 0, np.nan, 0, 1, 0], [1e30, 0, 0, 0, -1e30, 0],
    ]  # fmt: skip
    with np.errstate(invalid="ignore"):
        compare(
            kernels, "random_affine", ("out",), matrix=np.array(matrix, np.float32), **common
        )


@pytest.mark.parametrize("reach", [0, 4, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_crop_flip(kernels, shape, reach):
    (generator, common) = arguments(shape)
    (dy, dx) = generator.integers(-reach, reach + 1, (2, shape[4]))
    flip = generator.integers(0, 2, shape[4], np.uint8)
    compare(kernels, "crop_flip", ("out",), dy=dy, dx=dx, flip=flip, **common)
