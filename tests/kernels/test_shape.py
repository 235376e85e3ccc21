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


#: shape, and what it is stretched to
STRETCHED = [
    ((1,), (5,)), ((3, 1), (3, 4)), ((1, 4), (3, 4)), ((2, 1, 3), (2, 5, 3)),
    ((1, 1, 1), (2, 3, 4)),
    ((1, 3, 1), (2, 3, 5)), ((2, 3), (2, 3)), ((1, 3), (0, 3)), ((), ()), ((1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize(("shape", "target"), STRETCHED)
def test_stretched_axes(kernels, shape, target, dtype):
    x = np.asarray(spikes(np.random.default_rng(2), shape, 0.5)).astype(dtype)
    compare(kernels, "stretch", ("out",), x=x, out=np.empty(target, dtype))


#: shape, first place, step and size of the window
WINDOWS = [
    ((7,), (2,), (1,), (3,)), ((7,), (6,), (-1,), (7,)), ((7,), (6,), (-3,), (3,)),
    ((7,), (0,), (2,), (4,)), ((3, 4), (1, 0), (1, 1), (1, 4)), ((3, 4), (0, 2), (1, 1), (3, 1)),
    ((3, 4, 5), (0, 3, 1), (2, -1, 3), (2, 4, 2)), ((3, 4), (0, 0), (1, 1), (3, 4)),
    ((3, 4), (2, 3), (1, 1), (1, 1)), ((3, 4), (0, 4), (1, 1), (3, 0)),
    ((0, 3), (0, 1), (1, 1), (0, 2)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize(("shape", "first", "step", "size"), WINDOWS)
def test_windows(kernels, shape, first, step, size, dtype):
    generator = np.random.default_rng(3)
    x = spikes(generator, shape, 0.5) if dtype == np.uint8 else normal(generator, shape, dtype)
    part = np.empty(size, dtype)
    compare(kernels, "window", ("out",), x=x, first=first, step=step, out=part)
    if dtype == np.uint8:
        return
    dy = normal(generator, size, dtype)
    compare(kernels, "window_grad", ("dx",), dy=dy, first=first, step=step, dx=np.empty_like(x))


def test_a_window_is_what_numpy_takes(every_kernels):
    x = normal(np.random.default_rng(4), (5, 6))
    part = np.empty((2, 6), np.float32)
    every_kernels["window"](x, (4, 5), (-3, -1), part)
    np.testing.assert_array_equal(part, x[4::-3, ::-1])
    back = np.empty_like(x)
    every_kernels["window_grad"](part, (4, 5), (-3, -1), back)
    expected = np.zeros_like(x)
    expected[4::-3, ::-1] = part
    np.testing.assert_array_equal(back, expected)
