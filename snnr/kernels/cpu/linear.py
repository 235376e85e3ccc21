"""Linear layers on the CPU: dense GEMM, or a walk over spikes or over surviving weights.

Which one runs is decided by measured density; the thresholds are where the two paths cost the
same on the shapes of the paper's networks (benchmarks/sparsity.py draws the curves).
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.buffers import empty
from snnr.kernels.cpu import events
from snnr.kernels.cpu.gemm import matmul
from snnr.kernels.cpu.panels import panel_width, panels_of
from snnr.kernels.cpu.rows import add, copy_padded, scaled_sum, zero
from snnr.kernels.cpu.vector import (
    NARROW,
    WIDE,
    gather,
    gather_narrow,
    gather_scaled,
    gather_scaled_narrow,
)
from snnr.kernels.jit import jit

#: spike density above which the dense product is quicker
SPIKE_DENSITY = 0.35
#: the same for float inputs, by the share of entries unlike the background
FLOAT_DENSITY = 0.25
#: connectivity below which walking the surviving weights is quicker
SURVIVORS = 0.12
#: output widths up to which the input gradient is a handful of scaled rows, not a GEMM
FEW = 32
#: chunks of work per thread
CHUNKS = 4

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _walk(matrix: Any, index: Any, slot: int, count: Any, value: Any, scale: Any, base: Any,
          panels: Any, acc: Any, out: Any) -> None:  # fmt: skip
    """out[m] = scale * (sum of the matrix rows that the list of m names, times value) + base.

    The list of m is index[m*slot : m*slot + count[m]]; an empty `value` stands for ones. A thread
    copies a panel of columns of the matrix into its own cache and serves all its m from there.
    """
    chunks, depth, width = panels.shape
    rows, columns = out.shape
    tasks = ((columns + width - 1) // width) * rows
    for chunk in prange(chunks):
        mine = acc[chunk]
        panel = panels[chunk]
        packed = -1
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            p = task // rows
            m = task % rows
            first = p * width
            last = min(first + width, columns)
            if p != packed:
                for r in range(depth):
                    copy_padded(matrix[r, first:last], panel[r])
                packed = p
            start = m * slot
            stop = start + count[m]
            zero(mine)
            if value.size > 0:
                if width == WIDE:
                    gather_scaled(panel, 0, width, index, start, stop, value, mine, 0)
                else:
                    gather_scaled_narrow(panel, 0, width, index, start, stop, value, mine, 0)
            elif width == WIDE:
                gather(panel, 0, width, index, start, stop, mine, 0)
            else:
                gather_narrow(panel, 0, width, index, start, stop, mine, 0)
            scaled_sum(mine, scale, base[first:last], out[m, first:last])


def _walk_lists(
    matrix: Float,
    index: NDArray[Any],
    count: NDArray[Any],
    value: NDArray[Any] | None,
    scale: float,
    base: Float | None,
    out: Float,
) -> None:
    threads = numba.get_num_threads()
    panels = empty((threads, matrix.shape[0], panel_width(out.shape[1])), out.dtype)
    acc = empty((threads, panels.shape[2]), out.dtype)
    values = np.empty((0, 0), out.dtype) if value is None else value
    start = np.zeros(out.shape[1], out.dtype) if base is None else base
    factor = out.dtype.type(scale)
    _walk(
        matrix, index.reshape(-1), index.shape[1], count, values.reshape(-1), factor, start,
        panels, acc, out,
    )  # fmt: skip


def linear(
    x: NDArray[Any], w: Float, bias: Float | None, out: Float, scale: float = 1.0
) -> None:
    """out[M, O] = scale * x[M, K] @ w[K, O] + bias.

    Spikes (uint8) are walked when they are few. So are floats that mostly hold one value, as
    normalised images do: x = (x - b) + b, and b times the column sums of w is a constant.
    """
    if x.dtype == np.uint8:
        if events.density(x) <= SPIKE_DENSITY:
            index, count = events.by_row(x)
            _walk_lists(w, index, count, None, scale, bias, out)
            return
        x = _as_float(x, out.dtype)
    elif x.size and events.density(x, x[0, 0]) <= FLOAT_DENSITY:
        index, value, count = events.unlike(x, x[0, 0])
        base = _background(x[0, 0], w, scale)
        if bias is not None:
            base += bias
        _walk_lists(w, index, count, value, scale, base, out)
        return
    matmul(x, w, out)
    if scale != 1.0:
        out *= out.dtype.type(scale)
    if bias is not None:
        out += bias


def _background(value: Any, m: Float, scale: float) -> Float:
    """scale * value * column sums of m."""
    sums = np.empty(m.shape[1], m.dtype)
    bias_grad(m, sums)
    sums *= m.dtype.type(value * scale)
    return sums


def _as_float(x: NDArray[Any], dtype: Any) -> Float:
    dense = empty(x.shape, dtype)
    np.copyto(dense, x)
    return dense


def linear_weight_grad(x: NDArray[Any], dy: Float, dw: Float, scale: float = 1.0) -> None:
    """dw[K, O] = scale * x[M, K].T @ dy[M, O]; walks x as `linear` does."""
    if x.dtype == np.uint8:
        if events.density(x) <= SPIKE_DENSITY:
            index, count = events.by_column(x)
            _walk_lists(dy, index, count, None, scale, None, dw)
            return
        x = _as_float(x, dw.dtype)
    elif x.size and events.density(x, x[0, 0]) <= FLOAT_DENSITY:
        index, value, count = events.unlike(np.ascontiguousarray(x.T), x[0, 0])
        base = _background(x[0, 0], dy, scale)
        _walk_lists(dy, index, count, value, scale, base, dw)
        return
    matmul(x.T, dy, dw)
    if scale != 1.0:
        dw *= dw.dtype.type(scale)


@jit(parallel=True)
def _survivors(panels: Any, w: Any, scale: Any, index: Any, value: Any, acc: Any, dx: Any) -> None:
    """dx[m, k] = scale * sum over surviving w[k, o] of w[k, o] * dy[m, o]; panels hold dy.T."""
    blocks, depth, width = panels.shape
    rows, columns = dx.shape
    chunks = acc.shape[0]
    for chunk in prange(chunks):
        mine = acc[chunk]
        for k in range(columns * chunk // chunks, columns * (chunk + 1) // chunks):
            n = 0
            for o in range(depth):
                index[chunk, n] = o
                value[chunk, n] = w[k, o]
                n += np.intp(w[k, o] != 0)
            start = chunk * (depth + 1)
            for p in range(blocks):
                zero(mine)
                gather_scaled(
                    panels, p * depth * width, width, index, start, start + n, value, mine, 0
                )
                first = p * width
                for j in range(min(width, rows - first)):
                    dx[first + j, k] = scale * mine[j]


def linear_input_grad(
    dy: Float, w: Float, dx: Float, scale: float = 1.0, connectivity: float = 1.0
) -> None:
    """dx[M, K] = scale * dy[M, O] @ w[K, O].T; walks the surviving weights when they are few."""
    rows, width = dy.shape
    if width <= FEW:
        lists = np.tile(np.arange(width, dtype=np.uint16), (rows, 1))
        count = np.full(rows, width, np.int64)
        _walk_lists(w.T, lists, count, dy, scale, None, dx)
    elif connectivity <= SURVIVORS and rows >= NARROW:
        panels = panels_of(dy.T, WIDE)
        chunks = numba.get_num_threads() * CHUNKS
        index = empty((chunks, width + 1), np.uint32)
        value = empty((chunks, width + 1), w.dtype)
        acc = empty((chunks, WIDE), dx.dtype)
        _survivors(panels, w, dx.dtype.type(scale), index, value, acc, dx)
    else:
        matmul(dy, w.T, dx)
        if scale != 1.0:
            dx *= dx.dtype.type(scale)


@jit(parallel=True)
def _column_sums(dy: Any, partial: Any) -> None:
    rows = dy.shape[0]
    parts = partial.shape[0]
    for p in prange(parts):
        mine = partial[p]
        zero(mine)
        for r in range(rows * p // parts, rows * (p + 1) // parts):
            add(dy[r], mine)


def bias_grad(dy: Float, db: Float) -> None:
    """db[O] = column sums of dy[R, O], added up in an order that no scheduler changes."""
    partial = np.empty((16, dy.shape[1]), dy.dtype)
    _column_sums(dy, partial)
    np.sum(partial, axis=0, out=db)
