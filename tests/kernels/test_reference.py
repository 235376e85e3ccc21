"""The reference itself, where something independent of it exists to check against."""

import itertools

import numpy as np
import pytest
from scipy.signal import correlate

from snnr.kernels import rules
from snnr.kernels.reference import OPERATIONS

from .neurons import SMOOTH

CONVS = [
    ((2, 5, 7, 3), (3, 3), 4, (1, 1), (0, 0)),
    ((1, 6, 6, 2), (3, 2), 5, (2, 3), (1, 0)),
    ((3, 4, 4, 1), (1, 1), 2, (1, 1), (0, 0)),
    ((1, 7, 6, 2), (5, 5), 3, (2, 2), (2, 2)),
]


def conv_arrays(case):
    (shape, kernel, co, stride, padding) = case
    generator = np.random.default_rng(0)
    x = generator.standard_normal(shape)
    w = generator.standard_normal((*kernel, shape[3], co))
    size = [(shape[i + 1] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1)]
    return x, w, generator.standard_normal(co), np.empty((shape[0], *size, co))


@pytest.mark.parametrize("case", CONVS)
def test_conv2d_is_scipys_correlation(case):
    (_, _, _, stride, padding) = case
    x, w, bias, out = conv_arrays(case)
    OPERATIONS["conv2d"](x, w, bias, stride, padding, out)
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    for b, o in itertools.product(range(out.shape[0]), range(out.shape[3])):
        full = correlate(padded[b], w[..., o], mode="valid")[..., 0]
        expected = full[:: stride[0], :: stride[1]] + bias[o]
        np.testing.assert_allclose(out[b, ..., o], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CONVS)
def test_conv2d_gradients_are_adjoint(case):
    """<conv(x, w), dy> = <x, input_grad(dy)> = <w, weight_grad(x, dy)>, for every dy."""
    (_, _, _, stride, padding) = case
    x, w, _, out = conv_arrays(case)
    OPERATIONS["conv2d"](x, w, None, stride, padding, out)
    dy = np.random.default_rng(1).standard_normal(out.shape)
    dx, dw = np.empty_like(x), np.empty_like(w)
    OPERATIONS["conv2d_input_grad"](dy, w, stride, padding, dx)
    OPERATIONS["conv2d_weight_grad"](x, dy, stride, padding, dw)
    expected = np.sum(out * dy)
    np.testing.assert_allclose([np.sum(x * dx), np.sum(w * dw)], expected, rtol=1e-12)


def test_linear_is_a_matrix_product():
    generator = np.random.default_rng(2)
    x, w, dy = (generator.standard_normal(s) for s in ((4, 3), (3, 2), (4, 2)))
    out, dx, dw, db = np.empty((4, 2)), np.empty((4, 3)), np.empty((3, 2)), np.empty(2)
    OPERATIONS["linear"](x, w, np.array([1.0, 2.0]), out, 0.5)
    OPERATIONS["linear_input_grad"](dy, w, dx, 0.5)
    OPERATIONS["linear_weight_grad"](x, dy, dw, 0.5)
    OPERATIONS["bias_grad"](dy, db)
    np.testing.assert_allclose(out, 0.5 * np.einsum("mk,ko->mo", x, w) + [1, 2])
    np.testing.assert_allclose(dx, 0.5 * np.einsum("mo,ko->mk", dy, w))
    np.testing.assert_allclose(dw, 0.5 * np.einsum("mk,mo->ko", x, dy))
    np.testing.assert_allclose(db, np.einsum("mo->o", dy))


def difference(function, x, dy, step=1e-5):
    """Central differences of <function(x), dy> by every entry of x."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        moved = x.copy()
        moved[i] = x[i] + step
        above = function(moved)
        moved[i] = x[i] - step
        gradient[i] = np.sum(dy * (above - function(moved))) / (2 * step)
    return gradient


def test_batch_norm_gradients():
    generator = np.random.default_rng(3)
    x, dy = generator.standard_normal((2, 7, 3))
    (scale, shift) = generator.standard_normal((2, 3))
    eps = 1e-5

    def forward(x, scale=scale, shift=shift):
        (mean, var), out = np.empty((2, 3)), np.empty_like(x)
        OPERATIONS["batch_norm_stats"](x, mean, var)
        gain = scale / np.sqrt(var + eps)
        OPERATIONS["batch_norm"](x, gain, shift - mean * gain, out)
        return out

    np.testing.assert_allclose(forward(x).mean(axis=0), shift, atol=1e-12)
    mean, inv_std = x.mean(axis=0), (x.var(axis=0) + eps) ** -0.5
    (dscale, dshift), dx = np.empty((2, 3)), np.empty_like(x)
    OPERATIONS["batch_norm_grad"](x, dy, mean, inv_std, scale, dscale, dshift, dx)
    close = {"rtol": 1e-7, "atol": 1e-8}
    np.testing.assert_allclose(dx, difference(forward, x, dy), **close)
    np.testing.assert_allclose(dscale, difference(lambda s: forward(x, s), scale, dy), **close)
    np.testing.assert_allclose(dshift, difference(lambda s: forward(x, scale, s), shift, dy))
    fused, (dscale2, dshift2) = dy.copy(), np.empty((2, 3))
    OPERATIONS["norm_lif_input_grad"](
        x, fused, mean, inv_std, scale, dy.sum(0), (dy * x).sum(0), dscale2, dshift2
    )
    np.testing.assert_allclose(fused, dx, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose([dscale2, dshift2], [dscale, dshift], rtol=1e-12)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("kind", SMOOTH)
def test_smooth_lif_gradient(kind, static):
    neuron = SMOOTH[kind]
    if neuron.surrogate == rules.RECTANGULAR:
        neuron = neuron._replace(alpha=0.05)  # wide enough to meet none of its kinks
    (steps, rows, channels) = shape = (5, 2, 3)
    generator = np.random.default_rng(4)
    x = generator.standard_normal((1 if static else steps, rows, channels))
    (gain, offset), dout = generator.standard_normal((2, 3)), generator.standard_normal(shape)
    held = None
    if neuron.detach:  # the reset keeps the spikes of the point where the gradient is taken
        held = np.empty(shape)
        OPERATIONS["lif"](x, gain, offset, neuron, None, held)

    def forward(z):
        out = np.empty(shape)
        OPERATIONS["lif"](z, np.ones(3), np.zeros(3), neuron, held, out)
        return out

    dz, (sum_dz, sum_dzx) = np.empty_like(x), np.empty((2, 3))
    OPERATIONS["lif_grad"](x, gain, offset, neuron, held, dout, dz, sum_dz, sum_dzx)
    expected = difference(forward, gain * x + offset, dout)
    np.testing.assert_allclose(dz, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(sum_dz, dz.sum(axis=(0, 1)))
    np.testing.assert_allclose(sum_dzx, (dz * x).sum(axis=(0, 1)))
    # holding the very spikes changes nothing about the detached gradient
    again = np.empty_like(x)
    OPERATIONS["lif_grad"](x, gain, offset, neuron, None, dout, again, sum_dz, sum_dzx)
    np.testing.assert_allclose(again, dz, rtol=1e-12)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 3), (3, 1)])
def test_pooling_window_by_window(size, stride):
    generator = np.random.default_rng(5)
    x = generator.integers(0, 4, (2, 7, 6, 3)).astype(float)  # with ties
    small = (2, (7 - size) // stride + 1, (6 - size) // stride + 1, 3)
    out, mean, index = np.empty(small), np.empty(small), np.empty(small, np.uint8)
    dy = generator.standard_normal(small)
    dx, dmean = np.empty_like(x), np.empty_like(x)
    OPERATIONS["max_pool"](x, size, stride, out, index)
    OPERATIONS["avg_pool"](x, size, stride, mean)
    OPERATIONS["max_pool_grad"](dy, index, size, stride, dx)
    OPERATIONS["avg_pool_grad"](dy, size, stride, dmean)
    expected_dx, expected_dmean = np.zeros_like(x), np.zeros_like(x)
    for b, i, j, c in np.ndindex(small):
        (top, left) = (i * stride, j * stride)
        window = x[b, top : top + size, left : left + size, c]
        first = int(np.argmax(window))
        assert out[b, i, j, c] == window.flat[first]
        assert index[b, i, j, c] == first
        assert mean[b, i, j, c] == pytest.approx(window.mean())
        expected_dx[b, top + first // size, left + first % size, c] += dy[b, i, j, c]
        spread = dy[b, i, j, c] / size**2
        expected_dmean[b, top : top + size, left : left + size, c] += spread
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dmean, expected_dmean, rtol=1e-12, atol=1e-14)


def test_lif_pool_is_lif_then_pool():
    generator = np.random.default_rng(6)
    (steps, shape, small) = 3, (3, 2, 5, 4, 2), (3, 2, 2, 2, 2)
    x, neuron = 1 + generator.standard_normal(shape), rules.lif_neuron()
    gain, offset = generator.standard_normal((2, 2))
    out, index = np.empty((2, *small), np.uint8)
    OPERATIONS["lif_pool"](x, gain, offset, neuron, out, index)
    spikes = np.empty((steps, 40, 2), np.uint8)
    OPERATIONS["lif"](x.reshape(steps, 40, 2), gain, offset, neuron, None, spikes)
    pooled, where = np.empty((2, 6, 2, 2, 2), np.uint8)
    OPERATIONS["max_pool"](spikes.reshape(6, 5, 4, 2), 2, 2, pooled, where)
    np.testing.assert_array_equal(out, pooled.reshape(small))
    np.testing.assert_array_equal(index, where.reshape(small))
    dout, dz, (one, two) = generator.standard_normal(small), np.empty(shape), np.empty((2, 2))
    OPERATIONS["lif_pool_grad"](x, gain, offset, neuron, index, dout, dz, one, two)
    spread, expected = np.empty((6, 5, 4, 2)), np.empty((steps, 40, 2))
    OPERATIONS["max_pool_grad"](dout.reshape(pooled.shape), where, 2, 2, spread)
    OPERATIONS["lif_grad"](
        x.reshape(steps, 40, 2), gain, offset, neuron, None, spread.reshape(steps, 40, 2),
        expected, one, two,
    )  # fmt: skip
    np.testing.assert_array_equal(dz.reshape(expected.shape), expected)


def test_adam_by_hand():
    (w, g, m, v) = (np.array([a]) for a in (1.0, 0.5, 0.2, 0.04))
    OPERATIONS["adam_step"](w, g, m, v, np.array([[0.1, 2.0, 0, 0]]), 0, 0.9, 0.99, 1e-8)
    assert m[0] == pytest.approx(0.9 * 0.2 + 0.1 * 0.5)
    assert v[0] == pytest.approx(0.99 * 0.04 + 0.01 * 0.25)
    assert w[0] == pytest.approx(1 - 0.1 * 0.23 / (2 * np.sqrt(0.0421) + 1e-8))
