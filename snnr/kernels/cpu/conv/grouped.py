"""Convolution in groups of channels.

Where each channel is a group (depthwise), all channels of a pixel are one vector, and one walk over
the rows of the image serves any kernel, stride and padding. Otherwise the groups go one after the
other, copied out and in, by the ways of `choose`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.conv import choose
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.rows import add, copy, zero
from snnr.kernels.jit import jit
from snnr.kernels.operations import Pair

#: parts of the images, whose weight gradients are added up in an order that no scheduler changes
PARTS = 4

Float = NDArray[np.floating[Any]]


@jit()
def _met(tap: int, stride: int, padding: int, size: int, outputs: int) -> Any:
    """First output, and the one behind the last, whose window meets the image with this tap."""
    first = (padding - tap + stride - 1) // stride
    behind = (size - 1 + padding - tap) // stride + 1
    return max(first, 0), min(behind, outputs)


# Rows [W, C] of an image and [W', C] of a result; outputs first..behind meet input k*step + lead


@jit()
def _forward(x: Any, w: Any, met: Any, step: int, lead: int, out: Any) -> None:
    kind = out.dtype.type
    for k in range(met[0], met[1]):
        column = k * step + lead
        for c in range(out.shape[1]):
            out[k, c] += kind(x[column, c]) * w[c]


@jit()
def _backward(dy: Any, w: Any, met: Any, step: int, lead: int, dx: Any) -> None:
    for k in range(met[0], met[1]):
        column = k * step + lead
        for c in range(dx.shape[1]):
            dx[column, c] += dy[k, c] * w[c]


@jit()
def _weights(x: Any, dy: Any, met: Any, step: int, lead: int, total: Any) -> None:
    kind = total.dtype.type
    for k in range(met[0], met[1]):
        column = k * step + lead
        for c in range(total.shape[0]):
            total[c] += kind(x[column, c]) * dy[k, c]


@jit()
def _fill(row: Any, value: Any) -> None:
    for k in range(row.shape[0]):
        copy(value, row[k])


@jit(parallel=True)
def _conv(x: Any, w: Any, bias: Any, stride: Any, padding: Any, out: Any) -> None:
    rows = out.shape[1]
    for task in prange(out.shape[0] * rows):
        n, y = task // rows, task % rows
        _fill(out[n, y], bias)
        for i in range(w.shape[0]):
            line = y * stride[0] + i - padding[0]
            if 0 <= line < x.shape[1]:
                for j in range(w.shape[1]):
                    met = _met(j, stride[1], padding[1], x.shape[2], out.shape[2])
                    _forward(x[n, line], w[i, j, 0], met, stride[1], j - padding[1], out[n, y])


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
                    met = _met(j, stride[1], padding[1], dx.shape[2], dy.shape[2])
                    _backward(dy[n, y], w[i, j, 0], met, stride[1], j - padding[1], dx[n, line])


@jit(parallel=True)
def _weight_grad(x: Any, dy: Any, stride: Any, padding: Any, parts: Any) -> None:
    """parts[part, i, j, C] = the sums of that part of the images; a row is added up by itself."""
    count, kh, kw, channels = parts.shape
    for task in prange(count * kh * kw):
        part, tap = task // (kh * kw), task % (kh * kw)
        i, j = tap // kw, tap % kw
        row = np.zeros(channels, dy.dtype)
        total = np.zeros(channels, np.float64)
        met = _met(j, stride[1], padding[1], x.shape[2], dy.shape[2])
        for n in range(part * x.shape[0] // count, (part + 1) * x.shape[0] // count):
            for y in range(dy.shape[1]):
                line = y * stride[0] + i - padding[0]
                if 0 <= line < x.shape[1]:
                    zero(row)
                    _weights(x[n, line], dy[n, y], met, stride[1], j - padding[1], row)
                    add(row, total)
        copy(total, parts[part, i, j])


def _groups(w: Float, groups: int) -> Iterator[tuple[slice, slice]]:
    """Input and output channels of each group."""
    per, each = w.shape[2], w.shape[3] // groups
    for g in range(groups):
        yield slice(g * per, (g + 1) * per), slice(g * each, (g + 1) * each)


def _own(array: NDArray[Any], channels: slice) -> NDArray[Any]:
    """A contiguous copy of some channels."""
    made = empty((*array.shape[:-1], channels.stop - channels.start), array.dtype)
    np.copyto(made, array[..., channels])
    return made


def _is_depthwise(w: Float, groups: int) -> bool:
    return w.shape[2] == 1 and w.shape[3] == groups


def grouped_conv2d(
    x: NDArray[Any], w: Float, bias: Float | None, stride: Pair, padding: Pair, groups: int,
    out: Float,
) -> None:  # fmt: skip
    """out[N, H', W', O] = x[N, H, W, C] * w[kh, kw, C/groups, O] + bias[O], group by group."""
    if _is_depthwise(w, groups):
        offset = np.zeros(w.shape[3], w.dtype) if bias is None else bias
        _conv(x, w, offset, stride, padding, out)
        return
    for inside, outside in _groups(w, groups):
        part = empty((*out.shape[:3], outside.stop - outside.start), out.dtype)
        offset = None if bias is None else bias[outside]
        choose.conv2d(_own(x, inside), _own(w, outside), offset, stride, padding, part)
        out[..., outside] = part


def grouped_conv2d_input_grad(
    dy: Float, w: Float, stride: Pair, padding: Pair, groups: int, dx: Float
) -> None:
    """dx[N, H, W, C] from dy[N, H', W', O]."""
    if _is_depthwise(w, groups):
        _input_grad(dy, w, stride, padding, dx)
        return
    for inside, outside in _groups(w, groups):
        part = empty((*dx.shape[:3], w.shape[2]), dx.dtype)
        choose.conv2d_input_grad(_own(dy, outside), _own(w, outside), stride, padding, part)
        dx[..., inside] = part


def grouped_conv2d_weight_grad(
    x: NDArray[Any], dy: Float, stride: Pair, padding: Pair, groups: int, dw: Float
) -> None:
    """dw[kh, kw, C/groups, O] from x[N, H, W, C] and dy[N, H', W', O]."""
    if _is_depthwise(dw, groups):
        kh, kw, _, channels = dw.shape
        parts = empty((PARTS, kh, kw, channels), np.float64)
        _weight_grad(x, dy, stride, padding, parts)
        dw[:, :, 0] = parts.sum(axis=0)
        return
    for inside, outside in _groups(dw, groups):
        part = empty((*dw.shape[:3], outside.stop - outside.start), dw.dtype)
        choose.conv2d_weight_grad(_own(x, inside), _own(dy, outside), stride, padding, part)
        dw[..., outside] = part
