"""Convolution against the reference."""

import numpy as np
import pytest

from snnr.kernels.operations import Hints

from .harness import compare, normal, pruned, sized, spikes

# batch, (height, width), channels in, channels out, kernel, stride, padding
SHAPES = sized(
    [
        (1, (1, 1), 1, 1, (1, 1), (1, 1), (0, 0)),
        (1, (1, 1), 3, 5, (3, 3), (1, 1), (1, 1)),
        (2, (5, 7), 3, 17, (3, 3), (1, 1), (1, 1)),
        (1, (6, 6), 17, 33, (3, 3), (2, 2), (1, 1)),
        (2, (7, 5), 33, 3, (2, 3), (2, 1), (0, 1)),
        (1, (4, 4), 64, 130, (1, 1), (1, 1), (0, 0)),
        (3, (9, 4), 1, 64, (3, 3), (1, 1), (1, 1)),
        (1, (6, 5), 130, 17, (5, 5), (1, 1), (2, 2)),
        (2, (9, 9), 3, 4, (1, 1), (3, 3), (0, 0)),
        (1, (8, 6), 5, 16, (3, 3), (2, 2), (0, 0)),  # the last row and column meet no window
        (2, (16, 16), 32, 32, (3, 3), (1, 1), (1, 1)),
        (2, (7, 9), 33, 40, (3, 3), (1, 1), (1, 1)),  # an odd number of rows and columns
        (1, (3, 3), 64, 64, (3, 3), (1, 1), (0, 0)),
        (3, (14, 14), 2, 5, (3, 3), (1, 1), (1, 1)),
    ],
    [
        (1, (1, 1), 3, 5, (3, 3), (1, 1), (1, 1)),
        (2, (4, 3), 3, 2, (2, 3), (2, 1), (0, 1)),
        (1, (5, 5), 1, 9, (3, 3), (2, 2), (0, 0)),  # the last row and column meet no window
        (1, (3, 4), 2, 3, (1, 1), (3, 2), (0, 0)),
        (2, (2, 3), 9, 1, (3, 3), (1, 1), (1, 1)),
    ],
)
KINDS = sized(
    [("float32", 1.0), ("uint8", 0.0), ("uint8", 0.05), ("uint8", 0.4), ("uint8", 1.0)],
    [("float32", 1.0), ("uint8", 0.4)],
)


def output_shape(case):
    (batch, size, _, co, kernel, stride, padding) = case
    return (
        batch,
        *((size[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1)),
        co,
    )


def make_input(generator, shape, kind):
    (dtype, density) = kind
    return spikes(generator, shape, density) if dtype == "uint8" else normal(generator, shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", SHAPES)
def test_conv2d(kernels, case, kind):
    (batch, size, ci, co, kernel, stride, padding) = case
    generator = np.random.default_rng(0)
    x = make_input(generator, (batch, *size, ci), kind)
    out = np.empty(output_shape(case), np.float32)
    biased = 0.03, normal(generator, (co,))
    for connectivity, bias in sized([(1.0, None), biased], [biased]):
        compare(
            kernels,
            "conv2d",
            ("out",),
            x=x,
            w=pruned(generator, (*kernel, ci, co), connectivity, np.float32),
            bias=bias,
            stride=stride,
            padding=padding,
            out=out,
            hints=Hints(connectivity=connectivity),
        )


@pytest.mark.parametrize("connectivity", sized([1.0, 0.03, 0.0], [1.0]))
@pytest.mark.parametrize("case", SHAPES)
def test_conv2d_input_grad(kernels, case, connectivity):
    (batch, size, ci, co, kernel, stride, padding) = case
    generator = np.random.default_rng(1)
    for hint in sized(
        [connectivity, 1.0, 0.02], [0.02]
    ):  # a wrong hint may cost time, never correctness
        compare(
            kernels,
            "conv2d_input_grad",
            ("dx",),
            dy=normal(generator, output_shape(case)),
            w=pruned(generator, (*kernel, ci, co), connectivity, np.float32),
            stride=stride,
            padding=padding,
            dx=np.empty((batch, *size, ci), np.float32),
            hints=Hints(connectivity=hint),
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", SHAPES)
def test_conv2d_weight_grad(kernels, case, kind):
    (batch, size, ci, co, kernel, stride, padding) = case
    generator = np.random.default_rng(2)
    compare(
        kernels,
        "conv2d_weight_grad",
        ("dw",),
        x=make_input(generator, (batch, *size, ci), kind),
        dy=normal(generator, output_shape(case)),
        stride=stride,
        padding=padding,
        dw=np.empty((*kernel, ci, co), np.float32),
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_float64(kernels, dtype):
    generator = np.random.default_rng(3)
    case = sized(SHAPES[2:3], SHAPES[1:2])[0]
    (batch, size, ci, co, kernel, stride, padding) = case
    x = make_input(generator, (batch, *size, ci), (dtype, 0.3)).astype(dtype)
    w = normal(generator, (*kernel, ci, co), np.float64)
    dy = normal(generator, output_shape(case), np.float64)
    common = {"stride": stride, "padding": padding}
    compare(kernels, "conv2d", ("out",), x=x, w=w, bias=None, out=np.empty_like(dy), **common)
    compare(kernels, "conv2d_weight_grad", ("dw",), x=x, dy=dy, dw=np.empty_like(w), **common)
    dx = np.empty(x.shape)
    compare(kernels, "conv2d_input_grad", ("dx",), dy=dy, w=w, dx=dx, **common)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_no_images(kernels, dtype):
    x, w = np.empty((0, 5, 5, 3), dtype), normal(np.random.default_rng(4), (3, 3, 3, 4))
    dy, common = np.empty((0, 5, 5, 4), np.float32), {"stride": (1, 1), "padding": (1, 1)}
    compare(kernels, "conv2d", ("out",), x=x, w=w, bias=None, out=dy, **common)
    compare(kernels, "conv2d_weight_grad", ("dw",), x=x, dy=dy, dw=np.empty_like(w), **common)
    dx = np.empty(x.shape, np.float32)
    compare(kernels, "conv2d_input_grad", ("dx",), dy=dy, w=w, dx=dx, **common)


# batch, (height, width), channels in, channels out, groups, kernel, stride, padding
GROUPED = sized(
    [
        (2, (5, 7), 6, 6, 6, (3, 3), (1, 1), (1, 1)),
        (1, (6, 5), 6, 12, 6, (3, 2), (2, 1), (0, 1)),
        (2, (4, 6), 12, 8, 4, (3, 3), (1, 2), (1, 2)),
        (1, (3, 4), 4, 6, 2, (1, 1), (2, 3), (0, 0)),
        (1, (2, 9), 70, 70, 70, (1, 5), (1, 1), (0, 2)),
        (3, (5, 5), 9, 3, 3, (5, 5), (3, 3), (3, 3)),
        (2, (4, 4), 3, 5, 1, (3, 3), (1, 1), (1, 1)),
        (1, (5, 1), 35, 70, 7, (2, 1), (2, 1), (1, 0)),
    ],
    [
        (1, (3, 4), 3, 3, 3, (3, 3), (1, 1), (1, 1)),
        (2, (3, 3), 4, 6, 2, (2, 3), (2, 1), (1, 0)),
        (1, (2, 3), 3, 6, 3, (1, 2), (1, 2), (0, 1)),
    ],
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", GROUPED)
def test_grouped(kernels, case, dtype):
    (batch, size, ci, co, groups, kernel, stride, padding) = case
    generator = np.random.default_rng(5)
    shape = output_shape((batch, size, ci, co, kernel, stride, padding))
    w, bias = normal(generator, (*kernel, ci // groups, co), dtype), normal(generator, (co,), dtype)
    dy = normal(generator, shape, dtype)
    same = {"stride": stride, "padding": padding, "groups": groups}
    inputs = (
        normal(generator, (batch, *size, ci), dtype),
        spikes(generator, (batch, *size, ci), 0.4),
    )
    for x, offset in zip(inputs, (None, bias), strict=True):
        out, dw = np.empty(shape, dtype), np.empty_like(w)
        compare(kernels, "grouped_conv2d", ("out",), x=x, w=w, bias=offset, out=out, **same)
        compare(
            kernels, "grouped_conv2d_weight_grad", ("dw",), x=x, dy=dy, dw=dw, floor=1.0, **same
        )
    dx = np.empty((batch, *size, ci), dtype)
    compare(kernels, "grouped_conv2d_input_grad", ("dx",), dy=dy, w=w, dx=dx, floor=1.0, **same)


def test_one_group_is_no_group(every_kernels):
    """And as many groups as channels are convolutions of one channel each."""
    generator = np.random.default_rng(6)
    x, w = normal(generator, (2, 3, 4, 3)), normal(generator, (3, 3, 3, 5))
    found, expected = np.empty((2, 3, 4, 5), np.float32), np.empty((2, 3, 4, 5), np.float32)
    every_kernels["grouped_conv2d"](x, w, None, (1, 1), (1, 1), 1, found)
    every_kernels["conv2d"](x, w, None, (1, 1), (1, 1), expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    w, out, one = normal(generator, (3, 3, 1, 3)), np.empty_like(x), np.empty_like(x[..., :1])
    every_kernels["grouped_conv2d"](x, w, None, (1, 1), (1, 1), 3, out)
    for c in range(3):
        part, taps = (
            np.ascontiguousarray(x[..., c : c + 1]),
            np.ascontiguousarray(w[..., c : c + 1]),
        )
        every_kernels["conv2d"](part, taps, None, (1, 1), (1, 1), one)
        np.testing.assert_allclose(out[..., c], one[..., 0], rtol=1e-5, atol=1e-5)
