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
from snnr.kernels.cpu.vector import NARROW, WIDE, gather, gather_narrow, gather_scaled
from snnr.kernels.jit import jit

#: spike density above which the dense product is quicker
SPIKE_DENSITY = 0.35
#: connectivity below which walking the surviving weights is quicker
SURVIVORS = 0.12

Float = NDArray[np.floating[Any]]


def matmul(a: Float, b: Float, out: Float) -> None:
    """out[M, N] = a[M, K] @ b[K, N]."""
    np.dot(a, b, out=out)


def _width(columns: int) -> int:
    return WIDE if columns > 3 * NARROW else NARROW


@jit(parallel=True)
def _pack_columns(m: Any, panels: Any) -> None:
    """panels[p, r, j] = m[r, p*width + j], zero beyond the last column."""
    blocks, rows, width = panels.shape
    columns = m.shape[1]
    for r in prange(rows):
        for p in range(blocks):
            first = p * width
            stop = min(width, columns - first)
            for j in range(stop):
                panels[p, r, j] = m[r, first + j]
            for j in range(stop, width):
                panels[p, r, j] = 0


def panels_of(m: Float) -> Float:
    """m[R, O] cut into column panels [P, R, width] that the event walks read."""
    width = _width(m.shape[1])
    panels = empty((-(-m.shape[1] // width), m.shape[0], width), m.dtype)
    _pack_columns(m, panels)
    return panels


@jit(parallel=True, fastmath={"contract"})
def _walk(panels: Any, index: Any, count: Any, bias: Any, scale: float, acc: Any, out: Any) -> None:
    """out[m] = scale * (sum of the panel rows that index[m, :count[m]] names) + bias."""
    blocks, _, width = panels.shape
    rows, columns = out.shape
    slot = index.shape[1]
    size = panels.shape[1] * width
    tasks = blocks * rows
    # contiguous tasks share a panel, which then stays in cache
    chunks = acc.shape[0]
    for chunk in prange(chunks):
        mine = acc[chunk]
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            p = task // rows
            m = task % rows
            for j in range(width):
                mine[j] = 0
            start = m * slot
            if width == WIDE:
                gather(panels, p * size, width, index, start, start + count[m], mine, 0)
            else:
                gather_narrow(panels, p * size, width, index, start, start + count[m], mine, 0)
            first = p * width
            for j in range(min(width, columns - first)):
                out[m, first + j] = scale * mine[j] + bias[first + j]


def _walk_rows(
    panels: Float, index: NDArray[Any], count: NDArray[Any], bias: Float, scale: float, out: Float
) -> None:
    acc = np.empty((numba.get_num_threads() * 4, panels.shape[2]), out.dtype)
    _walk(panels, index, count, bias, out.dtype.type(scale), acc, out)


def linear(
    x: NDArray[Any], w: Float, bias: Float | None, out: Float, scale: float = 1.0
) -> None:
    """out[M, O] = scale * x[M, K] @ w[K, O] + bias; spikes (uint8) are walked when they are few."""
    if x.dtype == np.uint8:
        if events.density(x) <= SPIKE_DENSITY:
            index, count = events.by_row(x)
            offset = np.zeros(out.shape[1], out.dtype) if bias is None else bias
            _walk_rows(panels_of(w), index, count, offset, scale, out)
            return
        x = _as_float(x, out.dtype)
    matmul(x, w, out)
    if scale != 1.0:
        out *= out.dtype.type(scale)
    if bias is not None:
        out += bias


def _as_float(x: NDArray[Any], dtype: Any) -> Float:
    dense = empty(x.shape, dtype)
    np.copyto(dense, x)
    return dense


def linear_weight_grad(x: NDArray[Any], dy: Float, dw: Float, scale: float = 1.0) -> None:
    """dw[K, O] = scale * x[M, K].T @ dy[M, O]."""
    if x.dtype == np.uint8:
        if events.density(x) <= SPIKE_DENSITY:
            index, count = events.by_column(x)
            zero = np.zeros(dw.shape[1], dw.dtype)
            _walk_rows(panels_of(dy), index, count, zero, scale, dw)
            return
        x = _as_float(x, dw.dtype)
    matmul(x.T, dy, dw)
    if scale != 1.0:
        dw *= dw.dtype.type(scale)


@jit(parallel=True)
def _survivors(panels: Any, w: Any, scale: float, index: Any, value: Any, acc: Any, dx: Any) -> None:
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
                for j in range(width):
                    mine[j] = 0
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
    if connectivity <= SURVIVORS and dy.shape[0] >= NARROW:
        panels = empty((-(-dy.shape[0] // WIDE), dy.shape[1], WIDE), dy.dtype)
        _pack_columns(dy.T, panels)
        chunks = numba.get_num_threads() * 4
        index = empty((chunks, w.shape[1] + 1), np.uint32)
        value = empty((chunks, w.shape[1] + 1), w.dtype)
        acc = np.empty((chunks, WIDE), dx.dtype)
        _survivors(panels, w, dx.dtype.type(scale), index, value, acc, dx)
        return
    matmul(dy, w.T, dx)
    if scale != 1.0:
        dx *= dx.dtype.type(scale)


@jit(parallel=True)
def _column_sums(dy: Any, partial: Any) -> None:
    rows, columns = dy.shape
    parts = partial.shape[0]
    for p in prange(parts):
        for j in range(columns):
            partial[p, j] = 0
        for r in range(rows * p // parts, rows * (p + 1) // parts):
            for j in range(columns):
                partial[p, j] += dy[r, j]


def bias_grad(dy: Float, db: Float) -> None:
    """db[O] = column sums of dy[R, O], added up in an order that no scheduler changes."""
    partial = np.empty((16, dy.shape[1]), dy.dtype)
    _column_sums(dy, partial)
    np.sum(partial, axis=0, out=db)
