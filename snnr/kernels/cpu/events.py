"""Event lists: where the spikes are.

A list lives in a fixed slot as long as the dense row it describes, so that no prefix sum and no
second pass is needed; `count` says how much of the slot is filled.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.buffers import empty
from snnr.kernels.jit import jit

_COLUMNS = 64


def index_type(largest: int) -> type[np.unsignedinteger[Any]]:
    """Smallest of the two index types that the event walks are compiled for."""
    return np.uint16 if largest < 1 << 16 else np.uint32


@jit(parallel=True)
def _by_row(spikes: Any, index: Any, count: Any) -> None:
    for m in prange(spikes.shape[0]):
        n = 0
        for k in range(spikes.shape[1]):
            index[m, n] = k
            n += np.intp(spikes[m, k] != 0)
        count[m] = n


@jit(parallel=True)
def _by_column(spikes: Any, index: Any, count: Any) -> None:
    rows, columns = spikes.shape
    for block in prange((columns + _COLUMNS - 1) // _COLUMNS):
        k0 = block * _COLUMNS
        k1 = min(k0 + _COLUMNS, columns)
        for k in range(k0, k1):
            count[k] = 0
        for m in range(rows):
            for k in range(k0, k1):
                if spikes[m, k]:
                    index[k, count[k]] = m
                    count[k] += 1


@jit(parallel=True)
def _by_pixel(spikes: Any, code: Any, start: Any) -> None:
    """code[b, y, :] lists x*C + c of the active (x, c) in order; start[b, y, x] where x begins."""
    batch, height, width, channels = spikes.shape
    for row in prange(batch * height):
        b = row // height
        y = row % height
        n = 0
        for x in range(width):
            start[b, y, x] = n
            first = x * channels
            for c in range(channels):
                code[b, y, n] = first + c
                n += np.intp(spikes[b, y, x, c] != 0)
        start[b, y, width] = n


@jit(parallel=True)
def _by_channel(spikes: Any, pitch: int, index: Any, count: Any) -> None:
    """index[b, c, :] lists y*pitch + x of the pixels where channel c fired."""
    batch, height, width, channels = spikes.shape
    blocks = (channels + _COLUMNS - 1) // _COLUMNS
    for task in prange(batch * blocks):
        b = task // blocks
        c0 = (task % blocks) * _COLUMNS
        c1 = min(c0 + _COLUMNS, channels)
        for c in range(c0, c1):
            count[b, c] = 0
        for y in range(height):
            for x in range(width):
                for c in range(c0, c1):
                    if spikes[b, y, x, c]:
                        index[b, c, count[b, c]] = y * pitch + x
                        count[b, c] += 1


@jit(parallel=True)
def _count(spikes: Any, partial: Any) -> None:
    size = spikes.shape[0]
    parts = partial.shape[0]
    for p in prange(parts):
        total = np.int64(0)
        for i in range(size * p // parts, size * (p + 1) // parts):
            total += spikes[i] != 0
        partial[p] = total


def density(spikes: NDArray[np.uint8]) -> float:
    """Share of entries that are not zero."""
    partial = np.zeros(16, np.int64)
    _count(spikes.reshape(-1), partial)
    return float(partial.sum()) / max(spikes.size, 1)


def by_row(spikes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Per row m of spikes[M, K]: index[m, :count[m]] = the k that fired, ascending."""
    rows, columns = spikes.shape
    # one spare entry: the branch-free writer stores before it knows whether the spike counts
    index = empty((rows, columns + 1), index_type(columns))
    count = np.empty(rows, np.int64)
    _by_row(spikes, index, count)
    return index, count


def by_column(spikes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Per column k of spikes[M, K]: index[k, :count[k]] = the m that fired, ascending."""
    rows, columns = spikes.shape
    index = empty((columns, rows), index_type(rows))
    count = np.empty(columns, np.int64)
    _by_column(spikes, index, count)
    return index, count


def by_pixel(spikes: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Events of spikes[B, H, W, C] row by row; see `_by_pixel`."""
    batch, height, width, channels = spikes.shape
    code = empty((batch, height, width * channels + 1), index_type(width * channels))
    start = empty((batch, height, width + 1), np.int32)
    _by_pixel(spikes, code, start)
    return code, start


def by_channel(
    spikes: NDArray[np.uint8], pitch: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Events of spikes[B, H, W, C] channel by channel; see `_by_channel`."""
    batch, height, width, channels = spikes.shape
    index = empty((batch, channels, height * width), index_type(height * pitch))
    count = np.empty((batch, channels), np.int64)
    _by_channel(spikes, pitch, index, count)
    return index, count
