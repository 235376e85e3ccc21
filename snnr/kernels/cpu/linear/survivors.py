"""Linear layers that walk lists of surviving weights, and those that walk spikes as well."""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts import events
from snnr.kernels.cpu.parts.events import append
from snnr.kernels.cpu.parts.gather import WIDE_PANEL, gather_scaled
from snnr.kernels.cpu.parts.panels import panels_of
from snnr.kernels.cpu.parts.rows import zero
from snnr.kernels.jit import jit

#: chunks of work per thread, where chunks differ in cost
CHUNKS = 4

Float = NDArray[np.floating[Any]]


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
                gather_scaled(panels, p * depth * width, width, lists, 0, n, values, mine, 0, True)
                first = p * width
                for j in range(min(width, rows - first)):
                    dx[first + j, k] = scale * mine[j]


def walk_survivors(dy: Float, w: Float, scale: float, dx: Float) -> None:
    """dx[M, K] = scale * dy[M, O] @ w[K, O].T over the w that are not zero."""
    panels = panels_of(dy.T, WIDE_PANEL)
    chunks = numba.get_num_threads() * CHUNKS
    index = empty((chunks, w.shape[1]), np.uint32)
    value = empty((chunks, w.shape[1]), w.dtype)
    acc = empty((chunks, WIDE_PANEL), dx.dtype)
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
