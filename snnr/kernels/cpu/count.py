"""Questions whose answer is one or few integers, on the CPU."""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.parts import events
from snnr.kernels.cpu.parts.rows import add, zero
from snnr.kernels.jit import jit
from snnr.kernels.operations import Packed

#: elements per task
BLOCK = 65536
#: bytes hold the sum of so many spikes
_BYTE = 255

Array = NDArray[Any]


@jit()
def _block_is_finite(x: Any) -> Any:
    odd = np.int32(0)
    for i in range(x.shape[0]):
        odd = np.int32(odd | np.int32(x[i] - x[i] != 0))
    return odd == 0


@jit(parallel=True)
def _all_finite(x: Any, finite: Any) -> None:
    for block in prange(finite.shape[0]):
        finite[block] = _block_is_finite(x[block * BLOCK : (block + 1) * BLOCK])


def is_finite(x: Array) -> bool:
    """Whether all values of x are finite."""
    finite = np.empty(-(-x.size // BLOCK), np.bool_)
    _all_finite(x.reshape(-1), finite)
    return bool(finite.all())


def all_finite(x: Array | Packed, flag: NDArray[np.uint8]) -> None:
    """flag[0] becomes 0 where x has a value that is not finite."""
    flag[0] &= is_finite(x.values if isinstance(x, Packed) else x)


def count_correct(rate: Array, labels: Array, count: Array) -> None:
    """count[0] += rows of rate[N, C] whose first maximum is at labels[N]."""
    count[0] += np.count_nonzero(rate.argmax(axis=1) == labels)


@jit(parallel=True)
def _count_spikes(spikes: Any, few_sums: Any, partial: Any) -> None:
    """partial[part, M] = sums over one part of the rows of spikes[R, M]."""
    rows = spikes.shape[0]
    parts = partial.shape[0]
    for part in prange(parts):
        few = few_sums[part]
        mine = partial[part]
        zero(mine)
        last = rows * (part + 1) // parts
        for first in range(rows * part // parts, last, _BYTE):
            zero(few)
            for r in range(first, min(first + _BYTE, last)):
                add(spikes[r], few)
            add(few, mine)


def count_spikes(spikes: NDArray[np.uint8], count: Array) -> None:
    """count[M] += spikes[R, M] summed over R."""
    rows, size = spikes.shape
    parts = max(1, min(numba.get_num_threads(), rows // 16))
    partial = np.empty((parts, size), np.int64)
    _count_spikes(spikes, np.empty((parts, size), np.uint8), partial)
    count += partial.sum(axis=0)


@jit()
def _present_row(row: Any, count: Any) -> Any:
    odd = np.uint8(0)
    for m in range(row.shape[0]):
        here = row[m] != 0
        count[m] += np.int64(here)
        odd = np.uint8(odd | np.uint8(here & (row[m] * row[m] != 1)))
    return odd


@jit(parallel=True)
def _count_present(x: Any, partial: Any, odd: Any) -> None:
    """partial[part, M] and odd[part] of one part of the rows of x[R, M]."""
    rows = x.shape[0]
    parts = partial.shape[0]
    for part in prange(parts):
        mine = partial[part]
        zero(mine)
        for r in range(rows * part // parts, rows * (part + 1) // parts):
            odd[part] = np.uint8(odd[part] | _present_row(x[r], mine))


def count_present(x: Array, count: Array, graded: NDArray[np.uint8]) -> None:
    """count[T, M] += entries of x[T, R, M] that are not 0; graded[T] becomes 1 where one is not
    +-1."""
    steps, rows, size = x.shape
    parts = max(1, min(numba.get_num_threads(), rows // 16))
    partial = np.empty((parts, size), np.int64)
    for t in range(steps):
        odd = np.zeros(parts, np.uint8)
        _count_present(x[t], partial, odd)
        count[t] += partial.sum(axis=0)
        graded[t] |= odd.any()


def count_nonzero(x: Array, count: Array) -> None:
    """count[0] = entries of x that are not zero."""
    count[0] = events.differing(x, 0)
