"""Spikes of a batch as bits, 64 rows to a word: a sixty-fourth of the floats, and already turned.

`words[p, k]` holds in bit i whether row 64*p + i fired at input k.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.bits import MASK, lowest, population
from snnr.kernels.cpu.parts.events import bits_of, index_type
from snnr.kernels.cpu.parts.gather import NARROW_PANEL, gather_narrow, scatter_narrow
from snnr.kernels.cpu.parts.panels import panels_of
from snnr.kernels.cpu.parts.rows import zero
from snnr.kernels.cpu.parts.square import turn_bits
from snnr.kernels.jit import jit

#: parts of the inputs
CHUNKS = 16

Float = NDArray[np.floating[Any]]
Words = NDArray[np.uint64]


@jit(parallel=True)
def _pack(x: Any, columns: int, scratch: Any, words: Any, count: Any) -> None:
    """x flat; count[task] = spikes of a square of 64 rows and 64 columns."""
    blocks = words.shape[0]
    rows = x.shape[0] // max(columns, 1)
    across = (columns + MASK - 1) // MASK
    for task in prange(blocks * across):
        square = scratch[numba.get_thread_id()]
        p = task // across
        k0 = (task % across) * MASK
        k1 = min(k0 + MASK, columns)
        n: Any = 0
        for i in range(MASK):
            r = p * MASK + i
            square[i] = bits_of(x, r * columns + k0, r * columns + k1) if r < rows else np.uint64(0)
            n += population(square[i])
        count[task] = n
        turn_bits(square, 0)
        for k in range(k0, k1):
            words[p, k] = square[k - k0]


def pack(x: NDArray[np.uint8]) -> tuple[Words, int]:
    """Words of the spikes x[M, K], and how many spikes there are."""
    rows, columns = x.shape
    words = empty((-(-rows // MASK), columns), np.uint64)
    count = np.empty(words.shape[0] * -(-columns // MASK), np.int64)
    _pack(x.reshape(-1), columns, empty((numba.get_num_threads(), MASK), np.uint64), words, count)
    return words, int(count.sum())


@jit()
def _append(bits: Any, first: int, index: Any, n: int) -> int:
    while bits:
        index[n] = first + lowest(bits)
        n += 1
        bits &= bits - np.uint64(1)
    return n


@jit(parallel=True)
def _by_input(words: Any, index: Any, count: Any) -> None:
    chunks = CHUNKS
    columns = count.shape[0]
    for chunk in prange(chunks):
        for k in range(columns * chunk // chunks, columns * (chunk + 1) // chunks):
            n = 0
            for p in range(words.shape[0]):
                n = _append(words[p, k], p * MASK, index[k], n)
            count[k] = n


def by_input(words: Words) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Per input k: index[k, :count[k]] = the rows that fired, ascending."""
    blocks, columns = words.shape
    index = empty((columns, blocks * MASK), index_type(blocks * MASK))
    count = np.empty(columns, np.int64)
    _by_input(words, index, count)
    return index, count


@jit(parallel=True)
def _narrow(words: Any, panel: Any, factor: Any, bias: Any, lists: Any, sums: Any,
            out: Any) -> None:  # fmt: skip
    rows, columns = out.shape
    for p in prange(words.shape[0]):
        thread = numba.get_thread_id()
        acc = sums[thread]
        index = lists[thread]
        zero(acc)
        for k in range(words.shape[1]):
            if words[p, k]:
                n = _append(words[p, k], 0, index, 0)
                scatter_narrow(panel, k * NARROW_PANEL, index, 0, n, acc, 0)
        for i in range(min(MASK, rows - p * MASK)):
            for o in range(columns):
                shift = bias[o] if bias.shape[0] else out.dtype.type(0)
                out[p * MASK + i, o] = factor * acc[i * NARROW_PANEL + o] + shift


def narrow(words: Words, w: Float, factor: float, bias: Float | None, out: Float) -> None:
    """out[M, O] = factor * x @ w[K, O] + bias for O <= NARROW_PANEL."""
    threads = numba.get_num_threads()
    _narrow(
        words, panels_of(w, NARROW_PANEL).reshape(-1), out.dtype.type(factor),
        np.empty(0, out.dtype) if bias is None else bias, empty((threads, MASK), np.uint32),
        empty((threads, MASK * NARROW_PANEL), out.dtype), out,
    )  # fmt: skip


@jit(parallel=True)
def _narrow_grad(words: Any, panel: Any, factor: Any, lists: Any, sums: Any, dw: Any) -> None:
    rows, columns = dw.shape
    for chunk in prange(CHUNKS):
        thread = numba.get_thread_id()
        total = sums[thread]
        index = lists[thread]
        for k in range(rows * chunk // CHUNKS, rows * (chunk + 1) // CHUNKS):
            n = 0
            for p in range(words.shape[0]):
                n = _append(words[p, k], p * MASK, index, n)
            gather_narrow(panel, 0, NARROW_PANEL, index, 0, n, total, 0, True)
            for o in range(columns):
                dw[k, o] = factor * total[o]


def narrow_grad(words: Words, dy: Float, factor: float, dw: Float) -> None:
    """dw[K, O] = factor * x.T @ dy[M, O] for O <= NARROW_PANEL."""
    threads = numba.get_num_threads()
    _narrow_grad(
        words, panels_of(dy, NARROW_PANEL).reshape(-1), dw.dtype.type(factor),
        empty((threads, words.shape[0] * MASK), np.uint32),
        empty((threads, NARROW_PANEL), dw.dtype), dw,
    )  # fmt: skip
