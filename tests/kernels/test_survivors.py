"""The CPU's walks over surviving weights and over packed spikes, each on its own."""

import numpy as np
import pytest

from snnr.kernels.cpu.conv import survivors as conv
from snnr.kernels.cpu.linear import bits, deviations, needed, outer, survivors
from snnr.kernels.cpu.linear.lists import survivors_for, survivors_of
from snnr.kernels.operations import Hints
from snnr.kernels.reference import OPERATIONS

from .harness import compare, normal, poisoned, pruned, same, sized, spikes

#: rows, inputs, outputs: less and more than a word, a register, a block of outputs; nothing at all
SHAPES = [
    (1, 1, 1),
    (64, 16, 32),
    (70, 130, 33),
    (130, 33, 17),
    (65, 20, 2100),
    (0, 5, 20),
    (3, 0, 20),
    (3, 5, 0),
]
DTYPES = [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)]


def expected(operation, outputs, **arguments):
    """What the reference says."""
    results = {name: np.empty_like(arguments[name]) for name in outputs}
    OPERATIONS[operation](**arguments | results)
    return results[outputs[0]]


@pytest.mark.parametrize("hint", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("connectivity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (70, 130), (5, 64), (0, 3), (3, 0), (90, 300)])
def test_lists_hold_every_survivor_whatever_the_hint(shape, connectivity, hint):
    w = pruned(np.random.default_rng(0), shape, connectivity, np.float32)
    lists = survivors_of(w, hint)
    again = np.zeros_like(w)
    for k, (start, count) in enumerate(zip(lists.start, lists.count, strict=True)):
        index = lists.index[start : start + count]
        assert np.all(np.diff(index.astype(np.int64)) > 0)
        again[k, index] = lists.value[start : start + count]
    np.testing.assert_array_equal(again, w)


def test_lists_are_kept_for_one_version_of_the_weights():
    w = pruned(np.random.default_rng(0), (7, 9), 0.5, np.float32)
    kept = {}
    hints = Hints(connectivity=0.5, weight=kept, version=3)
    first = survivors_for(w, hints)
    assert survivors_for(w, hints) is first
    assert survivors_for(w, Hints(connectivity=0.5, weight=kept, version=3)) is first
    assert survivors_for(w, Hints(connectivity=0.5, weight=kept, version=4)) is not first
    # nothing may be kept with the weight: the forward pass still hands over to the backward pass
    alone = Hints(connectivity=0.5, version=4)
    second = survivors_for(w, alone)
    assert second is not first
    assert survivors_for(w, alone) is second
    assert survivors_for(w, Hints(connectivity=0.5, version=4)) is not second


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("connectivity", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_forward(shape, connectivity, dtype):
    (m, k, o) = shape
    generator = np.random.default_rng(1)
    w = pruned(generator, (k, o), connectivity, dtype)
    lists = survivors_of(w, connectivity)
    for bias in (None, normal(generator, (o,), dtype)):
        for x in (normal(generator, (m, k), dtype), spikes(generator, (m, k), 0.2)):
            out = poisoned(np.empty((m, o), dtype))
            given = bits.pack(x)[0] if x.dtype == np.uint8 else survivors.turned(x)
            survivors.forward(given, lists, 2.0, bias, out)
            want = expected("linear", ("out",), x=x, w=w, bias=bias, out=out, scale=2.0)
            same("linear", out, want, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("connectivity", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_backward(shape, connectivity, dtype):
    (m, k, o) = shape
    generator = np.random.default_rng(2)
    w = pruned(generator, (k, o), connectivity, dtype)
    lists = survivors_of(w, connectivity)
    dy = normal(generator, (m, o), dtype)
    for images in {m, m // 2 if m % 2 == 0 else m}:
        needed = spikes(generator, (images, k), 0.5) if images and k else None
        for mask in (None, needed):
            dx = poisoned(np.empty((m, k), dtype))
            survivors.backward(dy, lists, 0.5, mask, dx)
            hints = Hints(needed=mask)
            want = expected(
                "linear_input_grad", ("dx",), dy=dy, w=w, dx=dx, scale=0.5, hints=hints
            )
            same("linear_input_grad", dx, want, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("image", "taps", "padding"),
    [
        ((3, 14, 14, 32, 48), (3, 3), (1, 1)),
        ((2, 5, 7, 3, 19), (3, 3), (1, 1)),
        ((1, 1, 1, 1, 1), (1, 1), (0, 0)),
        ((2, 9, 4, 17, 33), (3, 1), (0, 0)),
        ((1, 12, 30, 16, 16), (5, 5), (2, 2)),
        ((0, 4, 4, 2, 2), (3, 3), (1, 1)),
    ],
)
def test_conv(image, taps, padding, dtype):
    (n, high, wide, ci, co) = image
    size = (high + 2 * padding[0] - taps[0] + 1, wide + 2 * padding[1] - taps[1] + 1)
    generator = np.random.default_rng(3)
    for connectivity in (0.0, 0.1, 1.0):
        w = pruned(generator, (*taps, ci, co), connectivity, dtype)
        lists = survivors_of(w.reshape(-1, co), connectivity)
        given = {"w": w, "stride": (1, 1), "padding": padding}
        for x in (
            normal(generator, (n, high, wide, ci), dtype),
            spikes(generator, (n, high, wide, ci), 0.2),
        ):
            out = poisoned(np.empty((n, *size, co), dtype))
            conv.conv(x, lists, taps, padding, out)
            same("conv2d", out, expected("conv2d", ("out",), x=x, bias=None, out=out, **given), 1.0)
        dy = normal(generator, (n, *size, co), dtype)
        dx = poisoned(np.empty((n, high, wide, ci), dtype))
        conv.input_grad(dy, lists, taps, padding, dx)
        same("dx", dx, expected("conv2d_input_grad", ("dx",), dy=dy, dx=dx, **given), 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_packed_spikes(shape, density, dtype):
    (m, k, o) = shape
    generator = np.random.default_rng(4)
    x = spikes(generator, (m, k), density)
    words, count = bits.pack(x)
    assert count == x.sum()
    index, counts = bits.by_input(words)
    for column in range(k):
        listed = index[column, : counts[column]]
        np.testing.assert_array_equal(listed, np.flatnonzero(x[:, column]))
    o = min(o, 16)
    w, bias = normal(generator, (k, o), dtype), normal(generator, (o,), dtype)
    for shift in (None, bias):
        out = poisoned(np.empty((m, o), dtype))
        bits.narrow(words, w, 2.0, shift, out)
        want = expected("linear", ("out",), x=x, w=w, bias=shift, out=out, scale=2.0)
        same("narrow", out, want, 1.0)
    dy, dw = normal(generator, (m, o), dtype), poisoned(np.empty((k, o), dtype))
    bits.narrow_grad(words, dy, 0.5, dw)
    want = expected("linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw, scale=0.5)
    same("narrow_grad", dw, want, 1.0)


@pytest.mark.parametrize("large", [outer.LARGE, -1])
@pytest.mark.parametrize("cache", [outer.CACHE, 1 << 12])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_gradient_from_lists(monkeypatch, shape, dtype, cache, large):
    """Blocks of many and of few columns; written through the caches and past them."""
    monkeypatch.setattr(outer, "CACHE", cache)
    monkeypatch.setattr(outer, "LARGE", large)
    (m, k, o) = shape
    generator = np.random.default_rng(5)
    x, dy = spikes(generator, (m, k), 0.3), normal(generator, (m, o), dtype)
    index, count = bits.by_input(bits.pack(x)[0])
    dw = poisoned(np.empty((k, o), dtype))
    outer.outer(dy, index, count, None, 0.5, None, dw)
    same("dw", dw, expected("linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw, scale=0.5), 1.0)
    value = normal(generator, index.shape, dtype)
    base = normal(generator, (o,), dtype)
    scaled = np.zeros((m, k), dtype)
    for column in range(k):
        scaled[index[column, : count[column]], column] = value[column, : count[column]]
    want = expected("linear_weight_grad", ("dw",), x=scaled, dy=dy, dw=dw, scale=0.5) + base
    outer.outer(dy, index, count, value, 0.5, base, dw)
    same("dw", dw, want, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (70, 130), (3, 64), (128, 65), (5, 200)])
def test_columns_of_an_image_that_differ_from_its_background(shape, dtype):
    generator = np.random.default_rng(6)
    background = dtype(-0.42)
    x = np.where(generator.random(shape) < 0.3, normal(generator, shape, dtype), background)
    x[0, 0] = np.nan  # unlike everything
    index, value, count = deviations.by_column(x, background)
    for column in range(shape[1]):
        listed = index[column, : count[column]]
        np.testing.assert_array_equal(listed, np.flatnonzero(x[:, column] != background))
        np.testing.assert_array_equal(
            value[column, : count[column]], x[listed, column] - background
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "shape", [(4, 3, 70, 64), (8, 2, 33, 16), (4, 1, 1, 16), (4, 5, 100, 2080), (8, 0, 3, 16)]
)
def test_only_what_is_needed(shape, density, dtype):
    (steps, n, k, o) = shape
    generator = np.random.default_rng(7)
    mask = spikes(generator, (n, k), density)
    w, dy = normal(generator, (k, o), dtype), normal(generator, (steps * n, o), dtype)
    assert needed.fits(steps * n, w, mask)
    assert not needed.fits(steps * n + 1, w, mask)
    assert not needed.fits(steps * n, w[:, 1:], mask)
    dx = poisoned(np.empty((steps * n, k), dtype))
    needed.input_grad(dy, w, mask, 0.5, dx)
    want = np.where(np.tile(mask, (steps, 1)), 0.5 * (dy.astype("f8") @ w.T.astype("f8")), 0)
    same("linear_input_grad", dx, want.astype(dtype), 1.0)


@pytest.mark.parametrize("connectivity", [1.0, 0.02])
def test_layers_large_enough_to_be_walked(kernels, connectivity):
    """Through the choice, with hints from forward to backward, at the costs of real layers."""
    generator = np.random.default_rng(8)
    ((steps, n, k, o),) = sized([(4, 40, 90, 64)], [(4, 2, 9, 5)])
    w = pruned(generator, (k, o), connectivity, np.float32)
    mask = spikes(generator, (n, k), 0.5)
    x = spikes(generator, (steps * n, k), 0.2) * np.tile(mask, (steps, 1))
    image = np.where(generator.random((n * steps, k)) < 0.2, 1.0, -0.42).astype(np.float32)
    dy = normal(generator, (steps * n, o))
    dy[7, 3] = np.nan
    for given in (x, image):
        hints = Hints(connectivity=connectivity, needed=mask)
        out, dw, dx = np.empty_like(dy), np.empty_like(w), np.empty((steps * n, k), np.float32)
        bias = normal(generator, (o,))
        common = {"scale": 2.0, "hints": hints, "floor": 1.0}
        compare(kernels, "linear", ("out",), x=given, w=w, bias=bias, out=out, **common)
        finite = np.where(np.isnan(dy), np.float32(0), dy)
        compare(kernels, "linear_weight_grad", ("dw",), x=given, dy=finite, dw=dw, **common)
        w[:, 3] = 1  # a NaN in a gradient meets a weight
        fresh = Hints(connectivity=connectivity, needed=mask)
        common["hints"] = fresh
        compare(kernels, "linear_input_grad", ("dx",), dy=dy, w=w, dx=dx, **common)
