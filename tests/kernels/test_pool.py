"""Pooling against the reference."""

import numpy as np
import pytest

from .harness import compare, normal, sized, spikes

# (batch, height, width, channels), size, stride
SHAPES = sized(
    [
        ((1, 1, 1, 1), 1, 1),
        ((1, 2, 2, 3), 2, 2),
        ((2, 5, 7, 17), 2, 2),
        ((1, 7, 6, 33), 3, 2),
        ((2, 6, 6, 64), 3, 1),
        ((1, 9, 8, 5), 2, 3),
        ((3, 4, 4, 130), 2, 2),
    ],
    [((1, 1, 1, 1), 1, 1), ((1, 3, 5, 3), 2, 2), ((1, 5, 4, 2), 3, 1), ((2, 6, 5, 1), 2, 3)],
)
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_is_the_largest_value(every_kernels, kernels, dtype):
    """In any place of a window, beside numbers, infinity and other NaN."""
    x = np.zeros((6, 2, 2, 17), dtype)
    x[0, 0, 0] = x[1, 0, 1] = x[2, 1, 1] = x[3, 1, 0] = x[3, 1, 1] = np.nan
    x[2, 0, 0] = x[4, 1, 0] = np.inf
    x[5] = -np.inf
    out, index = np.empty((6, 1, 1, 17), dtype), np.empty((6, 1, 1, 17), np.uint8)
    compare(kernels, "max_pool", ("out", "index"), x=x, size=2, stride=2, out=out, index=index)
    every_kernels["max_pool"](x, 2, 2, out, index)
    assert np.isnan(out[:4]).all()
    assert np.isposinf(out[4]).all()
    assert np.isneginf(out[5]).all()
    assert index[:, 0, 0, 0].tolist() == [0, 1, 3, 2, 2, 0]


def test_average_with_nan(kernels):
    x = normal(np.random.default_rng(6), (1, 4, 4, 3))
    x[0, 1, 1, 0] = np.nan
    x[0, 2, 2, 1] = np.inf
    out = np.empty((1, 2, 2, 3), np.float32)
    compare(kernels, "avg_pool", ("out",), x=x, size=2, stride=2, out=out)


def test_no_images(kernels):
    none, index = np.empty((0, 2, 2, 3), np.float32), np.empty((0, 2, 2, 3), np.uint8)
    window = {"size": 2, "stride": 2}
    x = np.empty((0, 4, 4, 3), np.float32)
    compare(kernels, "max_pool", ("out", "index"), x=x, out=none, index=index, **window)
    compare(kernels, "max_pool_grad", ("dx",), dy=none, index=index, dx=x, **window)
    compare(kernels, "avg_pool", ("out",), x=x, out=none, **window)
    compare(kernels, "avg_pool_grad", ("dx",), dy=none, dx=x, **window)
