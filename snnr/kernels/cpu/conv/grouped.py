"""Convolution in groups of channels, depthwise among them: one walk over the pixels for any kernel,
stride and padding.

Where each channel is a group, all channels of a pixel are one vector. Otherwise an input that is 0,
an absent spike, is passed over, and the outputs of its group are the vector: many groups of few
channels leave vectors short.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.parts.rows import add, copy, zero
from snnr.kernels.jit import jit
from snnr.kernels.operations import Pair

#: parts of the channels whose weight gradients are made side by side, for each tap of the kernel
PARTS = 4

Float = NDArray[np.floating[Any]]


@jit()
def _add_products(a: Any, b: Any, out: Any) -> None:
    """out += a * b, spikes among them."""
    kind = out.dtype.type
    for c in range(out.shape[0]):
        out[c] += kind(a[c]) * b[c]


@jit()
def _add_times(value: Any, row: Any, out: Any) -> None:
    """out += value * row."""
    for o in range(out.shape[0]):
        out[o] += value * row[o]


@jit()
def _dot(a: Any, b: Any) -> Any:
    """Sum of a * b."""
    total = a[0] * b[0]
    for o in range(1, a.shape[0]):
        total += a[o] * b[o]
    return total


@jit()
def _forward(x: Any, w: Any, out: Any) -> None:
    """out[O] += what one pixel x[C] gives under one tap w[C/groups, O]."""
    per = w.shape[0]
    groups = x.shape[0] // per
    each = out.shape[0] // groups
    if per == 1 and each == 1:
        _add_products(x, w[0], out)
        return
    for c in range(x.shape[0]):
        if x[c] != 0:
            o = c // per * each
            _add_times(out.dtype.type(x[c]), w[c % per, o : o + each], out[o : o + each])


@jit()
def _backward(dy: Any, w: Any, dx: Any) -> None:
    """dx[C] += what one gradient dy[O] gives under one tap."""
    per = w.shape[0]
    groups = dx.shape[0] // per
    each = dy.shape[0] // groups
    if per == 1 and each == 1:
        _add_products(dy, w[0], dx)
        return
    for c in range(dx.shape[0]):
        o = c // per * each
        dx[c] += _dot(dy[o : o + each], w[c % per, o : o + each])


@jit()
def _weights(x: Any, dy: Any, dw: Any) -> None:
    """dw[C/groups, O] += what one pixel x[C] and one gradient dy[O] give."""
    per = dw.shape[0]
    groups = x.shape[0] // per
    each = dy.shape[0] // groups
    if per == 1 and each == 1:
        _add_products(x, dy, dw[0])
        return
    for c in range(x.shape[0]):
        if x[c] != 0:
            o = c // per * each
            _add_times(dw.dtype.type(x[c]), dy[o : o + each], dw[c % per, o : o + each])


@jit()
def _met(tap: int, stride: int, padding: int, size: int, outputs: int) -> Any:
    """First output, and the one behind the last, whose window meets the image with this tap."""
    first = (padding - tap + stride - 1) // stride
    behind = (size - 1 + padding - tap) // stride + 1
    return max(first, 0), min(behind, outputs)


@jit(parallel=True)
def _conv(x: Any, w: Any, bias: Any, stride: Any, padding: Any, out: Any) -> None:
    rows = out.shape[1]
    for task in prange(out.shape[0] * rows):
        n, y = task // rows, task % rows
        for k in range(out.shape[2]):
            copy(bias, out[n, y, k])
        for i in range(w.shape[0]):
            line = y * stride[0] + i - padding[0]
            if 0 <= line < x.shape[1]:
                for j in range(w.shape[1]):
                    first, behind = _met(j, stride[1], padding[1], x.shape[2], out.shape[2])
                    for k in range(first, behind):
                        column = k * stride[1] + j - padding[1]
                        _forward(x[n, line, column], w[i, j], out[n, y, k])


@jit(parallel=True)
def _input_grad(dy: Any, w: Any, stride: Any, padding: Any, dx: Any) -> None:
    rows = dx.shape[1]
    for task in prange(dx.shape[0] * rows):
        n, line = task // rows, task % rows
        zero(dx[n, line].reshape(-1))
        for i in range(w.shape[0]):
            place = line + padding[0] - i
            y = place // stride[0]
            if place % stride[0] == 0 and 0 <= y < dy.shape[1]:
                for j in range(w.shape[1]):
                    first, behind = _met(j, stride[1], padding[1], dx.shape[2], dy.shape[2])
                    for k in range(first, behind):
                        column = k * stride[1] + j - padding[1]
                        _backward(dy[n, y, k], w[i, j], dx[n, line, column])


@jit(parallel=True)
def _weight_grad(x: Any, dy: Any, stride: Any, padding: Any, groups: int, dw: Any) -> None:
    """A task for each tap and part of the groups; a row of pixels is added up by itself."""
    kw, per = dw.shape[1], dw.shape[2]
    each = dw.shape[3] // groups
    parts = min(groups, PARTS)
    for task in prange(dw.shape[0] * kw * parts):
        part, tap = task % parts, task // parts
        i, j = tap // kw, tap % kw
        g, end = part * groups // parts, (part + 1) * groups // parts
        total = np.zeros((per, (end - g) * each), np.float64)
        row = np.zeros((per, (end - g) * each), dw.dtype)
        first, behind = _met(j, stride[1], padding[1], x.shape[2], dy.shape[2])
        for n in range(x.shape[0]):
            for y in range(dy.shape[1]):
                line = y * stride[0] + i - padding[0]
                if 0 <= line < x.shape[1]:
                    zero(row.reshape(-1))
                    for k in range(first, behind):
                        column = k * stride[1] + j - padding[1]
                        _weights(
                            x[n, line, column, g * per : end * per],
                            dy[n, y, k, g * each : end * each], row,
                        )  # fmt: skip
                    add(row.reshape(-1), total.reshape(-1))
        for c in range(per):
            copy(total[c], dw[i, j, c, g * each : end * each])


def grouped_conv2d(
    x: NDArray[Any], w: Float, bias: Float | None, stride: Pair, padding: Pair, groups: int,
    out: Float,
) -> None:  # fmt: skip
    """out[N, H', W', O] = x[N, H, W, C] * w[kh, kw, C/groups, O] + bias[O], group by group."""
    offset = np.zeros(w.shape[3], w.dtype) if bias is None else bias
    _conv(x, w, offset, stride, padding, out)


def grouped_conv2d_input_grad(
    dy: Float, w: Float, stride: Pair, padding: Pair, groups: int, dx: Float
) -> None:
    """dx[N, H, W, C] from dy[N, H', W', O]."""
    _input_grad(dy, w, stride, padding, dx)


def grouped_conv2d_weight_grad(
    x: NDArray[Any], dy: Float, stride: Pair, padding: Pair, groups: int, dw: Float
) -> None:
    """dw[kh, kw, C/groups, O] from x[N, H, W, C] and dy[N, H', W', O]."""
    _weight_grad(x, dy, stride, padding, groups, dw)
