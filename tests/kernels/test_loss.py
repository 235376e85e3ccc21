"""Losses against the reference."""

import numpy as np
import pytest

from .harness import compare, normal, sized

FLOATS = [np.float32, np.float64]
#: more rows than one block of the simulator adds up
SHAPES = sized([(1, 1), (5, 10), (129, 3), (20_011, 3)], [(1, 1), (5, 10), (1041, 1)])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_mean_squared_error(kernels, shape, dtype):
    x, target = normal(np.random.default_rng(0), (2, *shape), dtype)
    (out, grad), difference = np.empty((2, 1), dtype), np.empty(shape, dtype)
    done = compare(
        kernels, "mse", ("difference", "out"), x=x, target=target, difference=difference,
        out=out.reshape(()),
    )  # fmt: skip
    grad = np.full((), 0.7, dtype)
    compare(kernels, "mse_grad", ("dx",), difference=done["difference"], grad=grad, dx=difference)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy(kernels, shape, dtype):
    generator = np.random.default_rng(1)
    x, labels = 20 * normal(generator, shape, dtype), generator.integers(0, shape[1], shape[0])
    out, grad = np.empty((), dtype), np.full((), 0.7, dtype)
    done = compare(
        kernels, "cross_entropy", ("probability", "out"), x=x, labels=labels,
        probability=np.empty_like(x), out=out, floor=1.0,
    )  # fmt: skip
    np.testing.assert_allclose(done["probability"].sum(axis=1), 1, rtol=1e-6)
    compare(
        kernels, "cross_entropy_grad", ("dx",), probability=done["probability"], labels=labels,
        grad=grad, dx=np.empty_like(x), floor=1 / shape[0],
    )  # fmt: skip


def test_scores_of_any_size(every_kernels):
    """The exponential of a large score overflows; the softmax does not."""
    x = np.array([[1000.0, 0.0], [-1000.0, 0.0]], np.float32)
    probability, out = np.empty_like(x), np.empty((), np.float32)
    every_kernels["cross_entropy"](x, np.array([0, 0]), probability, out)
    np.testing.assert_array_equal(probability, [[1, 0], [0, 1]])
    assert out[()] == 500


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(0, 3), *SHAPES])
def test_one_hot(kernels, shape, dtype):
    labels = np.random.default_rng(2).integers(0, shape[1], shape[0])
    compare(kernels, "one_hot", ("out",), labels=labels, out=np.empty(shape, dtype))
