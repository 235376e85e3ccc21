"""Dense layers and matrix products against the reference."""

import numpy as np
import pytest

from snnr.kernels.operations import Hints

from .harness import SIMULATED, compare, normal, pruned, sized, spikes

SHAPES = sized(
    [(1, 1, 1), (3, 17, 1), (1, 130, 33), (33, 64, 130), (130, 33, 17), (64, 3, 65)],
    [(1, 1, 1), (9, 3, 2), (3, 17, 9)],
)
KINDS = sized(
    [("float32", 1.0), ("uint8", 0.0), ("uint8", 0.03), ("uint8", 0.3), ("uint8", 1.0)],
    [("float32", 1.0), ("uint8", 0.3)],
)
#: rows, inputs, outputs where one shape serves
ONE = (2, 7, 9) if SIMULATED else (20, 40, 33)
#: the row or column that is unlike the others
ODD = 1 if SIMULATED else 7


def make_input(generator, shape, kind):
    (dtype, density) = kind
    return spikes(generator, shape, density) if dtype == "uint8" else normal(generator, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_matmul(kernels, shape):
    (m, k, n) = shape
    generator = np.random.default_rng(0)
    a, b = normal(generator, (m, k)), normal(generator, (k, n))
    out = np.empty((m, n), np.float32)
    compare(kernels, "matmul", ("out",), a=a, b=b, out=out)
    if SIMULATED:
        return  # what is copied to a device is contiguous there
    # transposed, and every second element of a larger array
    compare(kernels, "matmul", ("out",), a=np.asfortranarray(a), b=b, out=out)
    compare(kernels, "matmul", ("out",), a=a, b=np.asfortranarray(b), out=out)
    wide = normal(generator, (m, 2 * k))
    compare(kernels, "matmul", ("out",), a=wide[:, ::2], b=b[::-1], out=out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_linear(kernels, shape, kind):
    (m, k, o) = shape
    generator = np.random.default_rng(1)
    x, w, bias = make_input(generator, (m, k), kind), normal(generator, (k, o)), None
    out = np.empty((m, o), np.float32)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=bias, out=out)
    bias = normal(generator, (o,))
    compare(kernels, "linear", ("out",), x=x, w=w, bias=bias, out=out, scale=0.25)


def test_matmul_deeper_than_a_block(kernels):
    generator = np.random.default_rng(7)
    ((m, k, n),) = sized([(15, 2100, 33)], [(5, 90, 3)])
    a, b = normal(generator, (m, k)), normal(generator, (k, n))
    compare(kernels, "matmul", ("out",), a=a, b=b, out=np.empty((m, n), np.float32))
    a, b = normal(generator, (k, m + 1)).T, normal(generator, (k, 3))
    compare(kernels, "matmul", ("out",), a=a, b=b, out=np.empty((m + 1, 3), np.float32))


@pytest.mark.parametrize("connectivity", sized([0.1, 0.02, 0.0], [0.1]))
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_over_spikes_and_survivors(kernels, shape, connectivity):
    (m, k, o) = shape
    generator = np.random.default_rng(8)
    w = pruned(generator, (k, o), connectivity, np.float32)
    for density in sized([0.0, 0.2, 1.0], [0.2]):
        compare(
            kernels,
            "linear",
            ("out",),
            x=spikes(generator, (m, k), density),
            w=w,
            bias=normal(generator, (o,)),
            out=np.empty((m, o), np.float32),
            scale=2.0,
            hints=Hints(connectivity=connectivity),
        )


@pytest.mark.parametrize("share", sized([0.0, 0.1, 0.6], [0.1]))
@pytest.mark.parametrize("shape", SHAPES)
def test_floats_on_a_background(kernels, shape, share):
    (m, k, o) = shape
    generator = np.random.default_rng(9)
    x = np.where(generator.random((m, k)) < share, normal(generator, (m, k)), np.float32(-0.42))
    w, dy, bias = normal(generator, (k, o)), normal(generator, (m, o)), normal(generator, (o,))
    out, dw = np.empty((m, o), np.float32), np.empty((k, o), np.float32)
    compare(kernels, "linear", ("out",), floor=1.0, x=x, w=w, bias=bias, out=out, scale=0.5)
    compare(kernels, "linear_weight_grad", ("dw",), floor=1.0, x=x, dy=dy, dw=dw, scale=0.5)


@pytest.mark.parametrize("connectivity", sized([1.0, 0.3, 0.03, 0.0], [0.3]))
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_input_grad(kernels, shape, connectivity):
    (m, k, o) = shape
    generator = np.random.default_rng(2)
    dy, w = normal(generator, (m, o)), pruned(generator, (k, o), connectivity, np.float32)
    dx = np.empty((m, k), np.float32)
    for hint in sized(
        [connectivity, 1.0, 0.02], [0.02]
    ):  # a wrong hint may cost time, never correctness
        compare(
            kernels,
            "linear_input_grad",
            ("dx",),
            dy=dy,
            w=w,
            dx=dx,
            scale=0.5,
            hints=Hints(connectivity=hint),
        )
    compare(kernels, "linear_input_grad", ("dx",), dy=dy, w=w, dx=dx)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_weight_grad(kernels, shape, kind):
    (m, k, o) = shape
    generator = np.random.default_rng(3)
    x, dy = make_input(generator, (m, k), kind), normal(generator, (m, o))
    dw = np.empty((k, o), np.float32)
    compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw)
    compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw, scale=0.125)


@pytest.mark.parametrize(
    "shape", sized([(1, 1), (7, 3), (300, 17), (65, 130)], [(1, 1), (7, 3), (700, 5)])
)
def test_bias_grad(kernels, shape):
    dy = normal(np.random.default_rng(4), shape)
    compare(kernels, "bias_grad", ("db",), floor=1.0, dy=dy, db=np.empty(shape[1], np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_float64(kernels, dtype):
    generator = np.random.default_rng(5)
    ((m, k, o),) = sized([(7, 33, 17)], [(3, 9, 5)])
    x = make_input(generator, (m, k), (dtype, 0.2)).astype(dtype)
    w, bias = normal(generator, (k, o), np.float64), normal(generator, (o,), np.float64)
    dy = normal(generator, (m, o), np.float64)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=bias, out=np.empty((m, o)))
    compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=np.empty((k, o)))
    compare(kernels, "linear_input_grad", ("dx",), dy=dy, w=w, dx=np.empty((m, k)))
    compare(kernels, "matmul", ("out",), a=dy.T, b=dy, out=np.empty((o, o)))
    compare(kernels, "bias_grad", ("db",), dy=dy, db=np.empty(o))


def test_panels_deeper_than_a_block(kernels):
    generator = np.random.default_rng(10)
    ((m, k, o),) = sized([(5, 4500, 70)], [(3, 90, 9)])
    x, w = spikes(generator, (m, k), 0.3), normal(generator, (k, o))
    out = np.empty((m, o), np.float32)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=normal(generator, (o,)), out=out)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_nothing_times_anything(kernels, dtype):
    """scale = 0 leaves the bias; no background, list or quotient makes a NaN of it."""
    generator = np.random.default_rng(11)
    (m, k, o) = ONE
    kind = np.float64 if dtype == "float64" else np.float32
    x = np.full((m, k), -0.4, kind)
    if dtype == "uint8":
        x = spikes(generator, (m, k), 0.1)
    w, dy = normal(generator, (k, o), kind), normal(generator, (m, o), kind)
    out, dx, dw = np.empty((m, o), kind), np.empty((m, k), kind), np.empty((k, o), kind)
    bias = normal(generator, (o,), kind)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=bias, out=out, scale=0.0)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=None, out=out, scale=0.0)
    compare(kernels, "linear_input_grad", ("dx",), dy=dy, w=w, dx=dx, scale=0.0)
    compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw, scale=0.0)


@pytest.mark.parametrize("background", [1e4, np.inf, np.nan])
def test_a_row_far_from_a_large_background(kernels, background):
    """One sample or one feature is small where most of the rest is one large number."""
    generator = np.random.default_rng(12)
    ((m, k, o),) = sized([(33, 64, 40)], [ONE])
    for row in (True, False):
        x = np.full((m, k), background, np.float32)
        if row:
            x[ODD] = normal(generator, (k,))
        else:
            x[:, ODD] = normal(generator, (m,))
        w, dy = normal(generator, (k, o)), normal(generator, (m, o))
        out, dw = np.empty((m, o), np.float32), np.empty((k, o), np.float32)
        with np.errstate(invalid="ignore"):
            done = compare(kernels, "linear", ("out",), x=x, w=w, bias=None, out=out)
            compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw)
        kernels["linear"](x, w, None, out)
        kernels["linear_weight_grad"](x, dy, dw)
        if row:
            np.testing.assert_allclose(out[ODD], done["out"][ODD], rtol=0, atol=1e-5)
        else:
            exact = x[:, ODD].astype(np.float64) @ dy
            np.testing.assert_allclose(dw[ODD], exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("connectivity", [1.0, 0.02])
def test_only_needed_gradients(kernels, connectivity):
    """What is not needed is zero, whatever its gradient is, at every time step."""
    generator = np.random.default_rng(13)
    ((steps, n, k, o),) = sized([(3, 20, 70, 65)], [(3, 2, 5, 9)])
    w = pruned(generator, (k, o), connectivity, np.float32)
    dy = normal(generator, (steps * n, o))
    dy[5, 3] = np.nan
    hints = Hints(connectivity=connectivity, needed=spikes(generator, (n, k), 0.5))
    dx = np.empty((steps * n, k), np.float32)
    w[:, 3] = 1
    compare(kernels, "linear_input_grad", ("dx",), dy=dy, w=w, dx=dx, scale=2.0, hints=hints)


def test_lists_of_the_forward_pass_serve_the_backward_pass(kernels):
    generator = np.random.default_rng(14)
    ((m, k, o),) = sized([(60, 40, 10)], [(6, 5, 3)])
    x, w, dy = spikes(generator, (m, k), 0.2), normal(generator, (k, o)), normal(generator, (m, o))
    hints = Hints()
    out, dw, again = np.empty((m, o), np.float32), *np.empty((2, k, o), np.float32)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=None, out=out, hints=hints)
    compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw, hints=hints)
    kernels["linear_weight_grad"](x, dy, dw, hints=hints)
    kernels["linear_weight_grad"](x, dy, again)
    np.testing.assert_array_equal(dw, again)


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3)])
def test_empty(kernels, shape):
    (m, k, o) = shape
    w, dy = np.ones((k, o), np.float32), np.ones((m, o), np.float32)
    for x in (np.ones((m, k), np.float32), np.ones((m, k), np.uint8)):
        out, dw = np.empty((m, o), np.float32), np.empty((k, o), np.float32)
        compare(kernels, "linear", ("out",), x=x, w=w, bias=np.ones(o, np.float32), out=out)
        compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw)
    dx = np.empty((m, k), np.float32)
    compare(kernels, "linear_input_grad", ("dx",), dy=dy, w=w, dx=dx)
    compare(kernels, "matmul", ("out",), a=dy.T, b=dy, out=np.empty((o, o), np.float32))
    compare(kernels, "bias_grad", ("db",), dy=dy, db=np.empty(o, np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinity_and_nan_of_an_input_reach_the_output(kernels, dtype):
    generator = np.random.default_rng(15)
    ((m, k, o),) = sized([(20, 33, 40)], [(7, 9, 2)])
    x, w = normal(generator, (m, k), dtype), normal(generator, (k, o), dtype)
    x[2, 3], x[5, 7] = np.nan, np.inf
    out = np.empty((m, o), dtype)
    for background in (None, -0.4):
        if background:
            x[np.isfinite(x)] = background
        compare(kernels, "linear", ("out",), x=x, w=w, bias=None, out=out)
