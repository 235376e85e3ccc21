"""Weight gradient of a linear layer from the lists of its active inputs.

Every row of the result is written once, whole cache lines at a time: for a block of columns, the
gradients of all rows of the batch lie together in the second-level cache while the lists name them.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.gather import WIDE_PANEL, gather, gather_scaled, gather_stream
from snnr.kernels.cpu.parts.rows import copy
from snnr.kernels.cpu.parts.vector import REGISTER
from snnr.kernels.jit import jit

#: bytes of the block of gradients: half of a second-level cache
CACHE = 1 << 18
#: parts of the rows of the result
CHUNKS = 16
#: results larger than this do not stay in any cache: they are written past them
LARGE = 1 << 24

Float = NDArray[np.floating[Any]]


@jit()
def _scaled(factor: Any, row: Any, out: Any) -> None:
    for j in range(row.shape[0]):
        out[j] = factor * row[j]
    for j in range(row.shape[0], out.shape[0]):
        out[j] = 0


@jit()
def _row(packed: Any, pitch: int, first: int, last: int, index: Any, start: int, stop: int,
         value: Any, base: Any, stream: bool, spare: Any, out: Any, o0: int) -> None:  # fmt: skip
    """Columns first to last of one row of the result, which lies at out[o0]."""
    based = base.shape[0] > 0
    for c in range(first, last, WIDE_PANEL):
        whole = last - c >= WIDE_PANEL
        target = out if whole else spare
        at = o0 + c if whole else 0
        until = min(c + WIDE_PANEL, last)
        if based:
            copy(base[c:until], target[at : at + until - c])
        if value.shape[0] > 0:
            gather_scaled(
                packed, c - first, pitch, index, start, stop, value, target, at, not based
            )
        elif stream and whole:
            gather_stream(packed, c - first, pitch, index, start, stop, target, at, True)
        else:
            gather(packed, c - first, pitch, index, start, stop, target, at, not based)
        if not whole:
            copy(spare[: until - c], out[o0 + c : o0 + until])


@jit(parallel=True)
def _outer(dy: Any, factor: Any, index: Any, slot: int, count: Any, value: Any, base: Any,
           width: int, stream: bool, packed: Any, spares: Any, out: Any,
           columns: int) -> None:  # fmt: skip
    """out[k] = sum over the list of k of value * factor * dy[index] + base."""
    rows = count.shape[0]
    depth = dy.shape[0]
    blocks = (columns + width - 1) // width
    for task in prange(blocks * depth):
        p = task // depth
        m = task % depth
        first = p * width
        _scaled(
            factor, dy[m, first : min(first + width, columns)],
            packed[(p * depth + m) * width : (p * depth + m + 1) * width],
        )  # fmt: skip
    for task in prange(blocks * CHUNKS):
        spare = spares[numba.get_thread_id()]
        p = task // CHUNKS
        chunk = task % CHUNKS
        first = p * width
        last = min(first + width, columns)
        block = packed[p * depth * width : (p + 1) * depth * width]
        for k in range(rows * chunk // CHUNKS, rows * (chunk + 1) // CHUNKS):
            start = k * slot
            _row(
                block, width, first, last, index, start, start + count[k], value, base, stream,
                spare, out, k * columns,
            )  # fmt: skip


def outer(
    dy: Float,
    index: NDArray[Any],
    count: NDArray[Any],
    value: Float | None,
    factor: float,
    base: Float | None,
    out: Float,
) -> None:
    """out[K, O] = factor * x.T @ dy[M, O] + base[O]; index[k, :count[k]] are the rows m of the
    batch that have x[m, k], which is `value[k]`, or 1."""
    depth, columns = dy.shape
    fits = max(CACHE // max(depth * out.itemsize, 1) // WIDE_PANEL, 1) * WIDE_PANEL
    blocks = max(-(-columns // fits), 1)
    width = -(-columns // (blocks * WIDE_PANEL)) * WIDE_PANEL
    line = REGISTER // out.itemsize
    aligned = columns % line == 0 and out.ctypes.data % REGISTER == 0
    _outer(
        dy, out.dtype.type(factor), index.reshape(-1), index.shape[1], count,
        np.empty(0, out.dtype) if value is None else value.reshape(-1),
        np.empty(0, out.dtype) if base is None else base,
        width, aligned and base is None and out.nbytes > LARGE,
        empty((max(blocks * depth * width, 1),), out.dtype),
        empty((numba.get_num_threads(), WIDE_PANEL), out.dtype), out.reshape(-1), columns,
    )  # fmt: skip
