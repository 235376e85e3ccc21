"""Event lists: where the spikes are.

A list lives in a fixed slot as long as the dense row it describes, so that no prefix sum and no
second pass is needed; `count` says how much of the slot is filled.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.bits import MASK, active, lowest
from snnr.kernels.jit import jit


def index_type(largest: int) -> type[np.unsignedinteger[Any]]:
    """Smallest of the two index types that the event walks are compiled for."""
    return np.uint16 if largest < 1 << 16 else np.uint32


@jit()
def bits_of(flags: Any, start: int, stop: int) -> np.uint64:
    """Bit i tells whether flags[start + i] is set, for at most 64 flags below `stop`."""
    if start + MASK <= flags.shape[0]:
        bits = active(flags, start)
        if stop - start < MASK:
            bits &= (np.uint64(1) << np.uint64(stop - start)) - np.uint64(1)
        return bits
    bits = np.uint64(0)
    for i in range(min(stop - start, MASK)):
        if flags[start + i]:
            bits |= np.uint64(1) << np.uint64(i)
    return bits


@jit()
def append(flags: Any, start: int, stop: int, first: int, index: Any, n: int) -> int:
    """Write first + i for every set flags[start + i] to index[n:]; returns the new n."""
    for block in range(start, stop, MASK):
        bits = bits_of(flags, block, stop)
        base = first + block - start
        while bits:
            index[n] = base + lowest(bits)
            n += 1
            bits &= bits - np.uint64(1)
    return n


@jit()
def _scatter(flags: Any, start: int, stop: int, name: int, index: Any, count: Any) -> None:
    """Append `name` to the list of every set flags[start + i]: index[i, count[i]++] = name."""
    for block in range(start, stop, MASK):
        bits = bits_of(flags, block, stop)
        base = block - start
        while bits:
            i = base + lowest(bits)
            index[i, count[i]] = name
            count[i] += 1
            bits &= bits - np.uint64(1)


@jit(parallel=True)
def _by_row(spikes: Any, columns: int, index: Any, count: Any) -> None:
    for m in prange(count.shape[0]):
        count[m] = append(spikes, m * columns, (m + 1) * columns, 0, index[m], 0)


@jit(parallel=True)
def _by_pixel(spikes: Any, channels: int, code: Any, start: Any) -> None:
    """code[b, y, :] lists x*C + c of the active (x, c) in order; start[b, y, x] where x begins."""
    batch, height, edge = start.shape
    width = edge - 1
    for row in prange(batch * height):
        b = row // height
        y = row % height
        n = 0
        for x in range(width):
            start[b, y, x] = n
            first = (row * width + x) * channels
            n = append(spikes, first, first + channels, x * channels, code[b, y], n)
        start[b, y, width] = n


@jit(parallel=True)
def _by_channel(spikes: Any, width: int, pitch: int, index: Any, count: Any) -> None:
    """index[b, c, :] lists y*pitch + x of the pixels where channel c fired."""
    batch, channels, size = index.shape
    for b in prange(batch):
        mine = count[b]
        mine[:] = 0
        for pixel in range(size):
            first = (b * size + pixel) * channels
            name = (pixel // width) * pitch + pixel % width
            _scatter(spikes, first, first + channels, name, index[b], mine)


@jit(parallel=True)
def _deviations(x: Any, background: float, index: Any, value: Any, count: Any) -> None:
    """Lists, per row, of the entries that differ from the background, and by how much."""
    for m in prange(x.shape[0]):
        n: Any = 0
        for k in range(x.shape[1]):
            index[m, n] = k
            value[m, n] = x[m, k] - background
            n += np.intp(x[m, k] != background)
        count[m] = n


@jit()
def _count_block(x: Any, background: Any) -> Any:
    total: Any = np.int32(0)
    for i in range(x.shape[0]):
        total = np.int32(total + np.int32(x[i] != background))
    return total


@jit(parallel=True)
def _count(x: Any, background: Any, partial: Any) -> None:
    size = x.shape[0]
    parts = partial.shape[0]
    for p in prange(parts):
        partial[p] = _count_block(x[size * p // parts : size * (p + 1) // parts], background)


def differing(x: NDArray[Any], background: Any) -> int:
    """Number of entries that are not the background."""
    partial = np.zeros(16, np.int64)
    _count(x.reshape(-1), x.dtype.type(background), partial)
    return int(partial.sum())


def density(spikes: NDArray[np.uint8]) -> float:
    """Share of entries that are not zero."""
    return differing(spikes, 0) / max(spikes.size, 1)


def by_row(spikes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Per row m of spikes[M, K]: index[m, :count[m]] = the k that fired, ascending."""
    rows, columns = spikes.shape
    index = empty((rows, columns), index_type(columns))
    count = np.empty(rows, np.int64)
    _by_row(spikes.reshape(-1), columns, index, count)
    return index, count


def by_pixel(spikes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Events of spikes[B, H, W, C] row by row; see `_by_pixel`."""
    batch, height, width, channels = spikes.shape
    code = empty((batch, height, width * channels), index_type(width * channels))
    start = empty((batch, height, width + 1), np.int32)
    _by_pixel(spikes.reshape(-1), channels, code, start)
    return code, start


def by_channel(spikes: NDArray[np.uint8], pitch: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Events of spikes[B, H, W, C] channel by channel; see `_by_channel`."""
    batch, height, width, channels = spikes.shape
    index = empty((batch, channels, height * width), index_type(height * pitch))
    count = np.empty((batch, channels), np.int64)
    _by_channel(spikes.reshape(-1), width, pitch, index, count)
    return index, count


def deviations(
    x: NDArray[Any], background: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Per row of x[M, K] the entries that are not the background: index, difference, count."""
    rows, columns = x.shape
    # one spare entry: the branch-free writer stores before it knows whether the entry counts
    index = empty((rows, columns + 1), index_type(columns))
    value = empty((rows, columns + 1), x.dtype)
    count = np.empty(rows, np.int64)
    _deviations(x, background, index, value, count)
    return index, value, count
