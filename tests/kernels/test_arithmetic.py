"""Sums, products and means against the reference."""

import numpy as np
import pytest

from .harness import SIMULATED, compare, normal, sized, spikes

FLOATS = [np.float32, np.float64]
SHAPES = sized(
    [(), (0,), (1,), (3, 17), (2, 5, 33), (40_003,)], [(), (0,), (3, 17), (5003,)]
)  # fmt: skip
#: rows of many elements
WIDE = 67 if SIMULATED else 20_000


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_element_by_element(kernels, shape, dtype):
    generator = np.random.default_rng(0)
    a, b = normal(generator, (2, *shape), dtype)
    out = np.empty(shape, dtype)
    a, b = np.asarray(a).reshape(shape), np.asarray(b).reshape(shape)
    compare(kernels, "accumulate", (), updated=("total",), part=a, total=b)
    compare(kernels, "add", ("out",), a=a, b=b, out=out)
    compare(kernels, "multiply", ("out",), a=a, b=b, out=out)
    compare(kernels, "scale", ("out",), x=a, factor=-0.3, out=out)
    compare(kernels, "subtract", ("out",), a=a, b=b, out=out)
    compare(kernels, "divide", ("out",), a=a, b=np.sign(b) * (abs(b) + dtype(0.1)), out=out)
    compare(kernels, "total", ("out",), floor=10.0, x=a, out=np.empty((), dtype))
    compare(kernels, "spread", ("out",), value=np.full((), 0.7, dtype), out=out)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [2, 2.0, 3.0, -1.0, 0.5, -1.7, 0.0])
def test_power(kernels, exponent, dtype):
    x = abs(normal(np.random.default_rng(6), (3, 17), dtype)) + dtype(0.1)
    if exponent == int(exponent):
        x[1] *= -1
    compare(kernels, "power", ("out",), x=x, exponent=exponent, out=np.empty_like(x))


@pytest.mark.skipif(SIMULATED, reason="the simulator's numbers are NumPy's, which warn")
def test_what_is_no_number(kernels):
    a, b = np.array([[1, -1, 0, np.inf], [0, 0, 0, np.inf]], np.float32)
    out = np.empty_like(a)
    compare(kernels, "divide", ("out",), a=a, b=b, out=out)
    compare(kernels, "power", ("out",), x=np.float32([-1, 0, 4, 1e30]), exponent=-1.5, out=out)
    compare(kernels, "power", ("out",), x=np.float32([-1, 0, 4, 1e30]), exponent=2.5, out=out)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((3, 4, 5), (3, 1, 5)), ((3, 4, 5), (1, 4, 1)), ((3, 4, 5), (1, 1, 1)),
        ((3, 4, 5), (3, 4, 5)), ((2, 3, 1, 7), (1, 3, 1, 7)), ((4, 0, 3), (4, 1, 3)),
        ((0, 3), (0, 1)), ((0, 3), (1, 1)), ((), ()), ((7, 70), (7, 1)),
        ((2, 3, 4, 5), (2, 1, 1, 5)),
    ],
)  # fmt: skip
def test_sums_over_axes(kernels, shape, kept, dtype):
    generator = np.random.default_rng(7)
    x, out = np.asarray(normal(generator, shape, dtype)), np.empty(kept, dtype)
    compare(kernels, "sum_axes", ("out",), floor=3.0, x=x, out=out)
    ones = np.asarray(spikes(generator, shape, 0.4))
    compare(kernels, "sum_axes", ("out",), x=ones, out=out)


@pytest.mark.parametrize("dtype", FLOATS)
def test_spikes_become_floats(kernels, dtype):
    generator = np.random.default_rng(1)
    a, b = spikes(generator, (3, 70), 0.5), spikes(generator, (3, 70), 0.5)
    x, out = normal(generator, (3, 70), dtype), np.empty((3, 70), dtype)
    assert compare(kernels, "add", ("out",), a=a, b=b, out=out)["out"].max() == 2
    compare(kernels, "add", ("out",), a=a, b=x, out=out)
    compare(kernels, "multiply", ("out",), a=x, b=b, out=out)
    compare(kernels, "multiply", ("out",), a=a, b=b, out=np.empty((3, 70), np.uint8))
    compare(kernels, "scale", ("out",), x=a, factor=0.25, out=out)
    compare(kernels, "total", ("out",), x=a, out=np.empty((), dtype))


def test_bits_are_those_of_numpy(kernels):
    """Nothing is added up in another order than NumPy does, where the order shows."""
    generator = np.random.default_rng(2)
    a, b = normal(generator, (2, 9, WIDE))
    for name, expected in (("add", a + b), ("multiply", a * b)):
        out = np.empty_like(a)
        kernels[name](a, b, out)
        np.testing.assert_array_equal(out, expected)
    rate = np.empty(WIDE, np.float32)
    kernels["mean_time"](a, rate)
    np.testing.assert_array_equal(rate, a.sum(axis=0) / np.float32(9))
    kernels["scale"](a, 0.1, a)
    np.testing.assert_array_equal(a, a)


def test_in_place(every_kernels):
    x = normal(np.random.default_rng(3), (5, WIDE))
    expected = np.float32(0.1) * x
    every_kernels["scale"](x, 0.1, x)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", sized([(1, 1), (4, 0), (8, 17), (3, 40_003)], [(4, 0), (3, 103)]))
def test_mean_over_time(kernels, shape, dtype):
    generator = np.random.default_rng(4)
    x, out = normal(generator, shape, dtype), np.empty(shape[1:], dtype)
    compare(kernels, "mean_time", ("out",), x=x, out=out, floor=1.0)
    compare(kernels, "mean_time", ("out",), x=spikes(generator, shape, 0.3), out=out)
    dy = normal(generator, shape[1:], dtype)
    compare(kernels, "mean_time_grad", ("dx",), dy=dy, dx=np.empty(shape, dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "group"), [((1, 1), 1), ((0, 3), 4), ((5, 10), 10), ((3, 7), 3)])
def test_voting(kernels, shape, group, dtype):
    generator = np.random.default_rng(5)
    wide, out = (shape[0], shape[1] * group), np.empty(shape, dtype)
    x = normal(generator, wide, dtype)
    compare(kernels, "voting", ("out",), x=x, group=group, out=out, floor=1.0)
    compare(kernels, "voting", ("out",), x=spikes(generator, wide, 0.4), group=group, out=out)
    dy, dx = normal(generator, shape, dtype), np.empty(wide, dtype)
    compare(kernels, "voting_grad", ("dx",), dy=dy, group=group, dx=dx)
