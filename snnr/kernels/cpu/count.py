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


def count_nonzero(x: Array, count: Array) -> None:
    """count[0] = entries of x that are not zero."""
    count[0] = events.differing(x, 0)
