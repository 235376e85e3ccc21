"""Float inputs that mostly hold one value, as normalised images do: what differs from it."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.bits import MASK, differing, lowest
from snnr.kernels.cpu.parts.events import index_type
from snnr.kernels.jit import jit

Float = NDArray[np.floating[Any]]


@jit()
def _bits(x: Any, start: int, stop: int, background: Any) -> Any:
    """Bits of at most 64 entries that differ."""
    if start + MASK <= x.shape[0]:
        bits = differing(x, start, background)
        if stop - start < MASK:
            bits &= (np.uint64(1) << np.uint64(stop - start)) - np.uint64(1)
        return bits
    bits = np.uint64(0)
    for i in range(stop - start):
        if x[start + i] != background:
            bits |= np.uint64(1) << np.uint64(i)
    return bits


@jit()
def _scatter(bits: Any, x: Any, start: int, background: Any, m: int, first: int, slot: int,
             index: Any, value: Any, count: Any) -> None:  # fmt: skip
    while bits:
        i = lowest(bits)
        k = first + i
        n = k * slot + count[k]
        index[n] = m
        value[n] = x[start + i] - background
        count[k] += 1
        bits &= bits - np.uint64(1)


@jit(parallel=True)
def _by_column(x: Any, columns: int, background: Any, index: Any, value: Any,
               count: Any) -> None:  # fmt: skip
    rows = x.shape[0] // columns
    for block in prange((columns + MASK - 1) // MASK):
        k0 = block * MASK
        k1 = min(k0 + MASK, columns)
        for k in range(k0, k1):
            count[k] = 0
        for m in range(rows):
            start = m * columns + k0
            bits = _bits(x, start, m * columns + k1, background)
            _scatter(bits, x, start, background, m, k0, rows, index, value, count)


def by_column(x: Float, background: Any) -> tuple[NDArray[Any], Float, NDArray[np.int64]]:
    """Per column k of x[M, K]: the rows index[k, :count[k]] that differ, ascending, and by how
    much."""
    rows, columns = x.shape
    index = empty((columns, rows), index_type(rows))
    value = empty((columns, rows), x.dtype)
    count = np.empty(columns, np.int64)
    _by_column(
        x.reshape(-1), columns, x.dtype.type(background), index.reshape(-1), value.reshape(-1),
        count,
    )  # fmt: skip
    return index, value, count
