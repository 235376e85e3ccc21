"""The walks behind the linear layers: over lists of rows, over surviving weights, over both."""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.buffers import empty
from snnr.kernels.cpu import events
from snnr.kernels.cpu.events import append
from snnr.kernels.cpu.panels import panel_width, panels_of
from snnr.kernels.cpu.rows import add, copy_padded, scaled_sum, zero
from snnr.kernels.cpu.vector import (
    NARROW,
    WIDE,
    gather,
    gather_narrow,
    gather_scaled,
    gather_scaled_narrow,
    scatter_narrow,
)
from snnr.kernels.jit import jit

#: chunks of work per thread, where chunks differ in cost
CHUNKS = 4
#: parts into which rows are split when every part has sums of its own
SCATTER_CHUNKS = 8

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _walk(matrix: Any, flat: Any, index: Any, slot: int, count: Any, value: Any, scale: Any,
          base: Any, panels: Any, acc: Any, out: Any) -> None:  # fmt: skip
    """out[m] = scale * (sum of the matrix rows that the list of m names, times value) + base.

    The list of m is index[m*slot : m*slot + count[m]]; an empty `value` stands for ones. A thread
    copies a panel of columns of the matrix into its own cache and serves all its m from there. With
    `flat`, the memory of the matrix, full panels are read in place.
    """
    chunks, depth, width = panels.shape
    packed = panels.reshape(-1)
    rows, columns = out.shape
    tasks = ((columns + width - 1) // width) * rows
    for chunk in prange(chunks):
        mine = acc[chunk]
        current = -1
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            p = task // rows
            m = task % rows
            first = p * width
            last = min(first + width, columns)
            in_place = flat.size > 0 and last - first == width
            if not in_place and p != current:
                for r in range(depth):
                    copy_padded(matrix[r, first:last], panels[chunk, r])
                current = p
            source = flat if in_place else packed
            origin = first if in_place else chunk * depth * width
            pitch = columns if in_place else width
            start = m * slot
            stop = start + count[m]
            zero(mine)
            if value.size > 0:
                if width == WIDE:
                    gather_scaled(source, origin, pitch, index, start, stop, value, mine, 0)
                else:
                    gather_scaled_narrow(source, origin, pitch, index, start, stop, value, mine, 0)
            elif width == WIDE:
                gather(source, origin, pitch, index, start, stop, mine, 0)
            else:
                gather_narrow(source, origin, pitch, index, start, stop, mine, 0)
            scaled_sum(mine, scale, base[first:last], out[m, first:last])


def walk_lists(
    matrix: Float,
    index: NDArray[Any],
    count: NDArray[Any],
    value: NDArray[Any] | None,
    scale: float,
    base: Float | None,
    out: Float,
) -> None:
    """out[m] = scale * (sum over the list of m of value * matrix row) + base; see `_walk`."""
    threads = numba.get_num_threads()
    panels = empty((threads, matrix.shape[0], panel_width(out.shape[1])), out.dtype)
    acc = empty((threads, panels.shape[2]), out.dtype)
    values = np.empty((0, 0), out.dtype) if value is None else value
    start = np.zeros(out.shape[1], out.dtype) if base is None else base
    factor = out.dtype.type(scale)
    # copying pays when rows are read more than once and their distance, a large power of two,
    # would put them all on the same few cache sets
    crowded = matrix.shape[1] % 256 == 0 and int(count.sum()) > matrix.shape[0]
    copied = crowded or not matrix.flags.c_contiguous
    flat = np.empty(0, matrix.dtype) if copied else matrix.reshape(-1)
    _walk(
        matrix, flat, index.reshape(-1), index.shape[1], count, values.reshape(-1), factor,
        start, panels, acc, out,
    )  # fmt: skip


@jit(parallel=True)
def _scatter(index: Any, slot: int, count: Any, rows: Any, partial: Any) -> None:
    """partial[chunk, k] = sum of the rows m, of a chunk of them, whose list has k."""
    chunks = partial.shape[0]
    total = count.shape[0]
    for chunk in prange(chunks):
        mine = partial[chunk].reshape(-1)
        zero(mine)
        for m in range(total * chunk // chunks, total * (chunk + 1) // chunks):
            scatter_narrow(rows, m * NARROW, index, m * slot, m * slot + count[m], mine, 0)


@jit(parallel=True)
def _gather_chunks(partial: Any, scale: Any, out: Any) -> None:
    """out[k] = scale * sum of partial[:, k]."""
    columns = out.shape[1]
    for k in prange(out.shape[0]):
        for chunk in range(1, partial.shape[0]):
            add(partial[chunk, k], partial[0, k])
        for j in range(columns):
            out[k, j] = scale * partial[0, k, j]


def scatter_lists(
    index: NDArray[Any], count: NDArray[Any], dy: Float, scale: float, out: Float
) -> None:
    """out[K, O] = scale * x.T @ dy from the lists of the rows of x, for O <= NARROW."""
    partial = empty((SCATTER_CHUNKS, out.shape[0], NARROW), out.dtype)
    rows = panels_of(dy, NARROW)
    _scatter(index.reshape(-1), index.shape[1], count, rows.reshape(-1), partial)
    _gather_chunks(partial, out.dtype.type(scale), out)


@jit(parallel=True)
def _survivors(panels: Any, w: Any, scale: Any, index: Any, value: Any, acc: Any, dx: Any) -> None:
    """dx[m, k] = scale * sum over surviving w[k, o] of w[k, o] * dy[m, o]; panels hold dy.T."""
    blocks, depth, width = panels.shape
    rows, columns = dx.shape
    chunks = acc.shape[0]
    for chunk in prange(chunks):
        mine = acc[chunk]
        lists = index[chunk]
        values = value[chunk]
        for k in range(columns * chunk // chunks, columns * (chunk + 1) // chunks):
            n = append(w, k * depth, (k + 1) * depth, 0, lists, 0)
            for e in range(n):
                values[e] = w[k * depth + np.intp(lists[e])]
            for p in range(blocks):
                zero(mine)
                gather_scaled(panels, p * depth * width, width, lists, 0, n, values, mine, 0)
                first = p * width
                for j in range(min(width, rows - first)):
                    dx[first + j, k] = scale * mine[j]


def walk_survivors(dy: Float, w: Float, scale: float, dx: Float) -> None:
    """dx[M, K] = scale * dy[M, O] @ w[K, O].T over the w that are not zero."""
    panels = panels_of(dy.T, WIDE)
    chunks = numba.get_num_threads() * CHUNKS
    index = empty((chunks, w.shape[1]), np.uint32)
    value = empty((chunks, w.shape[1]), w.dtype)
    acc = empty((chunks, WIDE), dx.dtype)
    _survivors(panels, w.reshape(-1), dx.dtype.type(scale), index, value, acc, dx)


@jit()
def _add_list(index: Any, value: Any, count: int, row: Any) -> None:
    for e in range(count):
        row[np.uint64(index[e])] += value[e]


@jit(parallel=True)
def _both(names: Any, count: Any, w: Any, columns: int, index: Any, value: Any,
          out: Any) -> None:  # fmt: skip
    """out[m, o] += w[k, o] for every spike (m, k) and every surviving w[k, o].

    A thread owns a range of columns: it lists the survivors of each row of w there once and adds
    them to the rows m that fired.
    """
    chunks, slot = index.shape
    for chunk in prange(chunks):
        lists = index[chunk]
        values = value[chunk]
        first = chunk * slot
        last = min(first + slot, columns)
        for m in range(out.shape[0]):
            zero(out[m, first:last])
        for k in range(names.shape[0]):
            if count[k] == 0 or first >= last:
                continue
            n = append(w, k * columns + first, k * columns + last, first, lists, 0)
            for e in range(n):
                values[e] = w[k * columns + np.intp(lists[e])]
            for i in range(count[k]):
                _add_list(lists, values, n, out[np.intp(names[k, i])])


def walk_both(x: NDArray[np.uint8], w: Float, out: Float) -> None:
    """out[M, O] = x[M, K] @ w[K, O] over the spikes of x and the w that are not zero."""
    names, count = events.by_column(x)
    columns = w.shape[1]
    chunks = numba.get_num_threads()
    slot = -(-columns // chunks)
    index = empty((chunks, slot), np.uint32)
    value = empty((chunks, slot), w.dtype)
    _both(names, count, w.reshape(-1), columns, index, value, out)
