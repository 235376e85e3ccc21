"""Convolution in groups of channels, depthwise among them: a thread for every value of the result,
a block for every weight's gradient, for any kernel, stride and padding."""

from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.reduce import THREADS, fold
from snnr.kernels.operations import Pair


@kernel()
def _conv(
    x: Any, w: Any, bias: Any, biased: Any, stride: Any, padding: Any, groups: Any, out: Any,
    size: Any,
) -> None:  # fmt: skip
    rows, columns, outputs = out.shape[1], out.shape[2], out.shape[3]
    per, each = w.shape[2], outputs // groups
    for place in range(cuda.grid(1), size, cuda.gridsize(1)):
        pixel, o = place // outputs, place % outputs
        line, k = pixel // columns, pixel % columns
        n, y = line // rows, line % rows
        first = o // each * per
        value = bias[o] if biased else w.dtype.type(0)
        for i in range(w.shape[0]):
            row = y * stride[0] + i - padding[0]
            if row >= 0 and row < x.shape[1]:
                for j in range(w.shape[1]):
                    column = k * stride[1] + j - padding[1]
                    if column >= 0 and column < x.shape[2]:
                        for c in range(per):
                            here = x[n, row, column, first + c]
                            if here != 0:
                                value += w.dtype.type(here) * w[i, j, c, o]
        out[n, y, k, o] = value


@kernel()
def _input_grad(
    dy: Any, w: Any, stride: Any, padding: Any, groups: Any, dx: Any, size: Any,
) -> None:  # fmt: skip
    rows, columns, channels = dx.shape[1], dx.shape[2], dx.shape[3]
    per, each = w.shape[2], w.shape[3] // groups
    for place in range(cuda.grid(1), size, cuda.gridsize(1)):
        pixel, c = place // channels, place % channels
        line, k = pixel // columns, pixel % columns
        n, y = line // rows, line % rows
        first = c // per * each
        value = w.dtype.type(0)
        for i in range(w.shape[0]):
            down = y + padding[0] - i
            row = down // stride[0]
            if down >= 0 and down == row * stride[0] and row < dy.shape[1]:
                for j in range(w.shape[1]):
                    across = k + padding[1] - j
                    column = across // stride[1]
                    if across >= 0 and across == column * stride[1] and column < dy.shape[2]:
                        for o in range(first, first + each):
                            value += dy[n, row, column, o] * w[i, j, c % per, o]
        dx[n, y, k, c] = value


@kernel()
def _weight_grad(
    x: Any, dy: Any, stride: Any, padding: Any, groups: Any, dw: Any, size: Any,
) -> None:  # fmt: skip
    scratch = cuda.shared.array((1, THREADS), np.float64)
    taps, per, outputs = dw.shape[1], dw.shape[2], dw.shape[3]
    rows, columns = dy.shape[1], dy.shape[2]
    pixels = dy.shape[0] * rows * columns
    for place in range(cuda.blockIdx.x, size, cuda.gridDim.x):
        above, o = place // outputs, place % outputs
        tap, c = above // per, above % per
        i, j = tap // taps, tap % taps
        channel = o // (outputs // groups) * per + c
        value = np.float64(0)
        for pixel in range(cuda.threadIdx.x, pixels, cuda.blockDim.x):
            line, k = pixel // columns, pixel % columns
            n, y = line // rows, line % rows
            row = y * stride[0] + i - padding[0]
            column = k * stride[1] + j - padding[1]
            if row >= 0 and row < x.shape[1] and column >= 0 and column < x.shape[2]:
                here = x[n, row, column, channel]
                if here != 0:
                    value += np.float64(here) * np.float64(dy[n, y, k, o])
        scratch[0, cuda.threadIdx.x] = value
        fold(scratch)
        if cuda.threadIdx.x == 0:
            dw[i, j, c, o] = scratch[0, 0]
        cuda.syncthreads()


def grouped_conv2d(
    x: Memory, w: Memory, bias: Memory | None, stride: Pair, padding: Pair, groups: int,
    out: Memory,
) -> None:  # fmt: skip
    """out[N, H', W', O] = x[N, H, W, C] * w[kh, kw, C/groups, O] + bias[O], group by group."""
    offset = w.flat if bias is None else bias.array
    launch(
        _conv, *strided(out.size, device.machine().limits), x.array, w.array, offset,
        bias is not None, stride, padding, groups, out.array, out.size,
    )  # fmt: skip


def grouped_conv2d_input_grad(
    dy: Memory, w: Memory, stride: Pair, padding: Pair, groups: int, dx: Memory
) -> None:
    """dx[N, H, W, C] from dy[N, H', W', O]."""
    launch(
        _input_grad, *strided(dx.size, device.machine().limits), dy.array, w.array, stride,
        padding, groups, dx.array, dx.size,
    )  # fmt: skip


def grouped_conv2d_weight_grad(
    x: Memory, dy: Memory, stride: Pair, padding: Pair, groups: int, dw: Memory
) -> None:
    """dw[kh, kw, C/groups, O] from x[N, H, W, C] and dy[N, H', W', O]; sums in float64."""
    limits = device.machine().limits
    launch(
        _weight_grad, min(dw.size, limits.blocks), limits.threads, x.array, dy.array, stride,
        padding, groups, dw.array, dw.size,
    )  # fmt: skip
