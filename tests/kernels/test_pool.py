"""Pooling and the time-constant mask against the reference."""

import numpy as np
import pytest

from .harness import compare, normal, spikes

# (batch, height, width, channels), size, stride
SHAPES = [
    ((1, 1, 1, 1), 1, 1),
    ((1, 2, 2, 3), 2, 2),
    ((2, 5, 7, 17), 2, 2),
    ((1, 7, 6, 33), 3, 2),
    ((2, 6, 6, 64), 3, 1),
    ((1, 9, 8, 5), 2, 3),
    ((3, 4, 4, 130), 2, 2),
]
KINDS = ["float32", "zeros", "sparse", "dense", "full"]
DENSITY = {"zeros": 0.0, "sparse": 0.1, "dense": 0.6, "full": 1.0}


def make_input(generator, shape, kind):
    if kind == "float32":
        return normal(generator, shape)
    return spikes(generator, shape, DENSITY[kind])


def output_shape(shape, size, stride):
    (batch, height, width, channels) = shape
    return (batch, (height - size) // stride + 1, (width - size) // stride + 1, channels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "size", "stride"), SHAPES)
def test_max_pool(kernels, shape, size, stride, kind):
    generator = np.random.default_rng(0)
    x = make_input(generator, shape, kind)
    small = output_shape(shape, size, stride)
    window = {"size": size, "stride": stride}
    index = np.empty(small, np.uint8)
    out = np.empty(small, x.dtype)
    done = compare(kernels, "max_pool", ("out", "index"), x=x, out=out, index=index, **window)
    dy, dx = normal(generator, small), np.empty(shape, np.float32)
    compare(kernels, "max_pool_grad", ("dx",), dy=dy, index=done["index"], dx=dx, **window)


def test_max_pool_of_negative_values(kernels):
    """A pool that starts from 0 instead of the first pixel would return 0."""
    x = -1 - np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)
    out, index = np.empty((1, 2, 2, 2), np.float32), np.empty((1, 2, 2, 2), np.uint8)
    compare(kernels, "max_pool", ("out", "index"), x=x, size=2, stride=2, out=out, index=index)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "size", "stride"), SHAPES)
def test_avg_pool(kernels, shape, size, stride, kind):
    generator = np.random.default_rng(1)
    small = output_shape(shape, size, stride)
    window = {"size": size, "stride": stride}
    x, out = make_input(generator, shape, kind), np.empty(small, np.float32)
    compare(kernels, "avg_pool", ("out",), x=x, out=out, **window)
    dy, dx = normal(generator, small), np.empty(shape, np.float32)
    compare(kernels, "avg_pool_grad", ("dx",), dy=dy, dx=dx, **window)


def test_float64(kernels):
    generator = np.random.default_rng(2)
    shape, small, window = (2, 5, 7, 3), (2, 2, 3, 3), {"size": 2, "stride": 2}
    x, dy, dx = normal(generator, shape, float), normal(generator, small, float), np.empty(shape)
    index, out = np.empty(small, np.uint8), np.empty(small)
    done = compare(kernels, "max_pool", ("out", "index"), x=x, out=out, index=index, **window)
    compare(kernels, "max_pool_grad", ("dx",), dy=dy, index=done["index"], dx=dx, **window)
    compare(kernels, "avg_pool", ("out",), x=x, out=out, **window)
    compare(kernels, "avg_pool_grad", ("dx",), dy=dy, dx=dx, **window)


@pytest.mark.parametrize("shape", [(1, 1), (4, 17), (8, 130), (3, 1031)])
@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_mask_time(kernels, shape, kept):
    generator = np.random.default_rng(3)
    mask = spikes(generator, shape[1:], kept)
    x, s = normal(generator, shape), spikes(generator, shape, 0.3)
    out, spiking = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    compare(kernels, "mask_time", ("out",), x=x, mask=mask, factor=2.0, out=out)
    compare(kernels, "mask_time", ("out",), x=s, mask=mask, factor=1.25, out=out)
    compare(kernels, "mask_time", ("out",), x=s, mask=mask, factor=1.0, out=spiking)


def test_mask_time_in_place(kernels):
    """The backward pass of a masked layer masks its gradient where it lies."""
    generator = np.random.default_rng(4)
    x, mask = normal(generator, (3, 130)), spikes(generator, (130,), 0.5)
    expected = 2 * x * mask
    kernels["mask_time"](x, mask, 2.0, x)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 70), (3, 33, 5), (1, 64, 32)])
def test_swap_last(kernels, shape):
    (batch, rows, columns) = shape
    generator = np.random.default_rng(5)
    out = np.empty((batch, columns, rows), np.float32)
    compare(kernels, "swap_last", ("out",), x=normal(generator, shape), out=out)
    x = spikes(generator, shape, 0.3)
    compare(kernels, "swap_last", ("out",), x=x, out=np.empty((batch, columns, rows), np.uint8))
    compare(kernels, "swap_last", ("out",), x=normal(generator, shape)[::-1], out=out)
