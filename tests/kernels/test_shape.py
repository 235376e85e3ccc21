"""Exchanged axes against the reference."""

import itertools

import numpy as np
import pytest

from .harness import compare, normal, sized, spikes

SHAPES = sized(
    [(3, 70), (2, 3, 33), (1, 5, 2, 7), (2, 3, 1, 40), (0, 3, 2), (9, 41), (2, 33, 70)],
    [(3, 7), (2, 3, 5), (1, 2, 2, 3), (0, 3, 2), (9, 17), (2, 8, 9)],
)


@pytest.mark.parametrize("dtype", sized([np.float32, np.float64, np.uint8], [np.float32, np.uint8]))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_order_of_axes(kernels, shape, dtype):
    generator = np.random.default_rng(0)
    x = spikes(generator, shape, 0.3) if dtype == np.uint8 else normal(generator, shape, dtype)
    for axes in itertools.permutations(range(len(shape))):
        out = np.empty([shape[axis] for axis in axes], dtype)
        compare(kernels, "reorder", ("out",), x=x, axes=axes, out=out)


def test_images_to_planes_and_back(kernels):
    """What flattening does to [T, N, H, W, C]: channels before pixels."""
    (steps, height, width, channels) = sized([(2, 5, 7, 33)], [(2, 3, 3, 9)])[0]
    x = normal(np.random.default_rng(1), (steps, 3, height, width, channels))
    planes = np.empty((steps, 3, channels, height, width), np.float32)
    there = compare(kernels, "reorder", ("out",), x=x, axes=(0, 1, 4, 2, 3), out=planes)["out"]
    back = np.empty_like(x)
    again = compare(kernels, "reorder", ("out",), x=there, axes=(0, 1, 3, 4, 2), out=back)["out"]
    np.testing.assert_array_equal(again, x)
