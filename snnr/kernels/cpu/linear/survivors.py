"""Linear layers that walk lists of surviving weights.

The rows of the batch are the lanes. Forward, an input of 64 rows is added to the sums of the
outputs it is still connected to; backward, the sums of an input stay in registers while its
outputs are read. Floats lie in panels of 64 rows, turned; spikes as bits, 64 rows to a word.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.linear.bits import Words
from snnr.kernels.cpu.linear.lists import Survivors
from snnr.kernels.cpu.linear.scatter import scatter_bits, scatter_floats
from snnr.kernels.cpu.linear.spikes import position
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.gather import WIDE_PANEL, gather_scaled
from snnr.kernels.cpu.parts.rows import scale, zero
from snnr.kernels.cpu.parts.square import turn_square
from snnr.kernels.cpu.parts.vector import REGISTER
from snnr.kernels.jit import jit

#: columns of the result that a task sums up before it turns and stores them
GROUP = 16
#: outputs whose sums, of WIDE_PANEL rows each, stay in the second-level cache
BLOCK = 1024

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _panels(x: Any, columns: int, panels: Any) -> None:
    """panels[p, k, i] = x[p*width + i, k], zero past the end; x flat."""
    blocks, depth, width = panels.shape
    rows = x.shape[0] // max(columns, 1)
    flat = panels.reshape(-1)
    lanes = REGISTER // panels.itemsize
    whole = columns - columns % GROUP
    across = (columns + GROUP - 1) // GROUP
    for task in prange(blocks * across):
        p = task // across
        k0 = (task % across) * GROUP
        height = min(width, rows - p * width)
        full = height - height % lanes if k0 < whole else 0
        for i in range(0, full, lanes):
            for k in range(k0, k0 + GROUP, lanes):
                turn_square(
                    x, (p * width + i) * columns + k, columns,
                    flat, (p * depth + k) * width + i, width,
                )  # fmt: skip
        for k in range(k0, min(k0 + GROUP, columns)):
            for i in range(full, height):
                panels[p, k, i] = x[(p * width + i) * columns + k]
            for i in range(height, width):
                panels[p, k, i] = 0


@jit()
def _finish(factor: Any, shift: Any, row: Any) -> None:
    """row = factor * row + shift."""
    for i in range(row.shape[0]):
        row[i] = factor * row[i] + shift


@jit()
def _keep(needed: Any, row: Any) -> None:
    """row = 0 where `needed` is 0."""
    none = row.dtype.type(0)
    for j in range(row.shape[0]):
        row[j] = row[j] if needed[j] else none


@jit()
def _store(acc: Any, a0: int, width: int, m0: int, j0: int, j1: int, out: Any, flat: Any) -> None:
    """out[m0 + i, j] = acc[a0 + (j - j0)*width + i] for i < width, as far as out goes."""
    rows, columns = out.shape
    lanes = REGISTER // out.itemsize
    height = min(width, rows - m0)
    full = height - height % lanes if j1 - j0 == GROUP else 0
    for i in range(0, full, lanes):
        for j in range(0, GROUP, lanes):
            turn_square(
                acc, a0 + j * width + i, width, flat, (m0 + i) * columns + j0 + j, columns
            )
    for i in range(full, height):
        for j in range(j0, j1):
            out[m0 + i, j] = acc[a0 + (j - j0) * width + i]


@jit(parallel=True)
def _forward(words: Any, panels: Any, block: int, start: Any, count: Any, index: Any, value: Any,
             factor: Any, bias: Any, scratch: Any, out: Any, flat: Any) -> None:  # fmt: skip
    """out[m, o] = factor * sum over the survivors (k, o) of value * x[m, k] + bias[o].

    x lies in `words` (spikes) or in `panels`, whichever is not empty.
    """
    bits = words.size > 0
    depth = start.shape[0]
    rows, columns = out.shape
    across = (columns + block - 1) // block
    floats = panels.reshape(-1)
    for task in prange((rows + WIDE_PANEL - 1) // WIDE_PANEL * across):
        acc = scratch[numba.get_thread_id()]
        p = task // across
        o0 = (task % across) * block
        o1 = min(o0 + block, columns)
        zero(acc)
        origin = -o0 * WIDE_PANEL
        for k in range(depth):
            first = start[k]
            last = first + count[k]
            if o0 > 0:
                first = position(index, first, last, o0)
            if o1 < columns:
                last = position(index, first, last, o1)
            if first < last:
                if bits:
                    if words[p, k]:
                        scatter_bits(words[p, k], index, first, last, value, acc, origin)
                else:
                    scatter_floats(
                        floats, (p * depth + k) * WIDE_PANEL, index, first, last, value, acc,
                        origin,
                    )
        for j0 in range(o0, o1, GROUP):
            j1 = min(j0 + GROUP, o1)
            for j in range(j0, j1):
                at = (j - o0) * WIDE_PANEL
                shift = bias[j] if bias.shape[0] else out.dtype.type(0)
                _finish(factor, shift, acc[at : at + WIDE_PANEL])
            _store(acc, (j0 - o0) * WIDE_PANEL, WIDE_PANEL, p * WIDE_PANEL, j0, j1, out, flat)


@jit(parallel=True)
def _backward(panels: Any, start: Any, count: Any, index: Any, value: Any, factor: Any,
              needed: Any, scratch: Any, out: Any, flat: Any) -> None:  # fmt: skip
    """out[m, k] = factor * sum over the survivors (k, o) of value * dy[m, o], where needed."""
    blocks, depth, width = panels.shape
    source = panels.reshape(-1)
    rows, columns = out.shape
    groups = (columns + GROUP - 1) // GROUP
    period = needed.shape[0]
    for task in prange(blocks * groups):
        acc = scratch[numba.get_thread_id()]
        p = task // groups
        j0 = (task % groups) * GROUP
        j1 = min(j0 + GROUP, columns)
        for j in range(j0, j1):
            at = (j - j0) * width
            first = start[j]
            last = first + count[j]
            gather_scaled(
                source, p * depth * width, width, index, first, last, value, acc, at, True
            )
            scale(factor, acc[at : at + width])
        _store(acc, 0, width, p * width, j0, j1, out, flat)
        if period > 0:
            for m in range(p * width, min((p + 1) * width, rows)):
                _keep(needed[m % period, j0:j1], out[m, j0:j1])


def turned(x: NDArray[Any]) -> Float:
    """x[M, K] as panels[p, k, i] of WIDE_PANEL rows each, zero past the last row."""
    rows, columns = x.shape
    panels = empty((-(-rows // WIDE_PANEL), columns, WIDE_PANEL), x.dtype)
    _panels(x.reshape(-1), columns, panels)
    return panels


def forward(
    x: Float | Words, lists: Survivors, factor: float, bias: Float | None, out: Float
) -> None:
    """out[M, O] = factor * x[M, K] @ w + bias over the survivors of w; x the words of spikes, or
    floats as `turned` makes them."""
    blocks = -(-out.shape[0] // WIDE_PANEL)
    threads = numba.get_num_threads()
    words, panels = np.empty((0, 0), np.uint64), np.empty((0, 0, 0), out.dtype)
    if x.dtype == np.uint64:
        words = x
    else:
        panels = x
    # whole groups of outputs, few enough for the cache and enough tasks for all threads
    pieces = max(-(-out.shape[1] // BLOCK), -(-threads // max(blocks, 1)))
    block = -(-out.shape[1] // (pieces * GROUP)) * GROUP
    _forward(
        words, panels, block, lists.start, lists.count, lists.index, lists.value,
        out.dtype.type(factor), np.empty(0, out.dtype) if bias is None else bias,
        empty((threads, block * WIDE_PANEL), out.dtype), out, out.reshape(-1),
    )  # fmt: skip


def backward(
    dy: Float, lists: Survivors, factor: float, needed: NDArray[np.uint8] | None, dx: Float
) -> None:
    """dx[M, K] = factor * dy[M, O] @ w.T over the survivors of w; zero where needed[m % N] is."""
    _backward(
        turned(dy), lists.start, lists.count, lists.index, lists.value, dx.dtype.type(factor),
        np.empty((0, 0), np.uint8) if needed is None else needed,
        empty((numba.get_num_threads(), GROUP * WIDE_PANEL), dx.dtype), dx, dx.reshape(-1),
    )  # fmt: skip
