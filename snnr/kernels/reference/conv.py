"""Convolution (cross-correlation, as in every deep-learning library), in NumPy.

Activations are [B,H,W,C], weights [kh,kw,Ci,Co], Ho = (H + 2*pad - kh)//stride + 1. One matrix
product per kernel position; sums are made in float64 and rounded once.
"""

import numpy as np

from snnr.kernels.operations import Hints, Packed, Pair
from snnr.kernels.reference.linear import product
from snnr.kernels.reference.packed import pack, whole_room
from snnr.kernels.reference.types import Array


def _pad(x: Array, padding: Pair) -> Array:
    """Zeros around the image, in float64."""
    (ph, pw) = padding
    return np.pad(x.astype(np.float64), ((0, 0), (ph, ph), (pw, pw), (0, 0)))


def _window(i: int, j: int, stride: Pair, size: Pair) -> tuple[slice, slice, slice]:
    """Input pixels that kernel position (i, j) meets, for `size` output pixels."""
    rows = slice(i, i + stride[0] * (size[0] - 1) + 1, stride[0])
    columns = slice(j, j + stride[1] * (size[1] - 1) + 1, stride[1])
    return slice(None), rows, columns


def conv2d(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    out: Array,
    hints: Hints | None = None,
) -> None:
    """out[B,Ho,Wo,Co] from x[B,H,W,Ci] float or uint8."""
    padded = _pad(x, padding)
    total = np.zeros(out.shape)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            seen = padded[_window(i, j, stride, out.shape[1:3])]
            total += product(seen, w[i, j], x.dtype == np.uint8)
    out[...] = total if bias is None else total + bias


def conv2d_input_grad(
    dy: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dx: Array,
    hints: Hints | None = None,
) -> None:
    """dx[B,H,W,Ci] from dy[B,Ho,Wo,Co]."""
    padded = _pad(np.zeros_like(dx), padding)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            window = _window(i, j, stride, dy.shape[1:3])
            padded[window] += dy.astype(np.float64) @ w[i, j].astype(np.float64).T
    (ph, pw) = padding
    dx[...] = padded[:, ph : ph + dx.shape[1], pw : pw + dx.shape[2]]


def conv2d_weight_grad(
    x: Array,
    dy: Array,
    stride: Pair,
    padding: Pair,
    dw: Array | Packed,
    hints: Hints | None = None,
) -> None:
    """dw[kh,kw,Ci,Co], or of it what is packed, from x[B,H,W,Ci] float or uint8 and
    dy[B,Ho,Wo,Co]."""
    padded = _pad(x, padding)
    whole = whole_room(dw)
    for i in range(whole.shape[0]):
        for j in range(whole.shape[1]):
            seen = padded[_window(i, j, stride, dy.shape[1:3])]
            whole[i, j] = np.einsum("bhwi,bhwo->io", seen, dy.astype(np.float64), optimize=True)
    pack(whole, dw)


def _groups(w: Array, groups: int) -> list[tuple[slice, slice]]:
    """Input and output channels of each group."""
    per, each = w.shape[2], w.shape[3] // groups
    return [(slice(g * per, (g + 1) * per), slice(g * each, (g + 1) * each)) for g in range(groups)]


def grouped_conv2d(
    x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair, groups: int, out: Array
) -> None:
    """out[B,Ho,Wo,Co] from x[B,H,W,Ci], each group by itself."""
    for inside, outside in _groups(w, groups):
        part = np.empty((*out.shape[:3], w[..., outside].shape[3]), out.dtype)
        own = None if bias is None else bias[outside]
        conv2d(x[..., inside], w[..., outside], own, stride, padding, part)
        out[..., outside] = part


def grouped_conv2d_input_grad(
    dy: Array, w: Array, stride: Pair, padding: Pair, groups: int, dx: Array
) -> None:
    """dx[B,H,W,Ci] from dy[B,Ho,Wo,Co], each group by itself."""
    for inside, outside in _groups(w, groups):
        part = np.empty((*dx.shape[:3], w.shape[2]), dx.dtype)
        conv2d_input_grad(dy[..., outside], w[..., outside], stride, padding, part)
        dx[..., inside] = part


def grouped_conv2d_weight_grad(
    x: Array, dy: Array, stride: Pair, padding: Pair, groups: int, dw: Array
) -> None:
    """dw[kh,kw,Ci/groups,Co] from x[B,H,W,Ci] and dy[B,Ho,Wo,Co], each group by itself."""
    for inside, outside in _groups(dw, groups):
        part = np.empty((*dw.shape[:3], dw[..., outside].shape[3]), dw.dtype)
        conv2d_weight_grad(x[..., inside], dy[..., outside], stride, padding, part)
        dw[..., outside] = part
