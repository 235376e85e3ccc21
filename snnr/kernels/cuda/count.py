"""Questions whose answer is one or few integers: integers may be added in any order."""

from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.geometry import MOST_BLOCKS_YZ, Limits, ceil, strided
from snnr.kernels.cuda.memory import Memory, fill
from snnr.kernels.cuda.parts.reduce import THREADS, fold
from snnr.kernels.cuda.parts.walk import places

#: a byte holds the sum of so many spikes
_BYTE = 255
#: rows that one thread goes through at least, where there are as many
_LEAST_ROWS = 32


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _all_finite(x: Any, flag: Any) -> None:
    i, step, end = places(x.shape[0])
    while i < end:
        if x[i] - x[i] != 0:
            flag[0] = 0  # whoever else writes it writes the same
        i += step


def all_finite(x: Memory, flag: Memory) -> None:
    """flag[0] becomes 0 if x has a value that is not finite."""
    launch(_all_finite, *_elements(x.size), x.flat, flag.array)


@kernel()
def _count_correct(rate: Any, labels: Any, count: Any) -> None:
    scratch = cuda.shared.array((1, THREADS), np.int64)
    rows, classes = rate.shape
    mine = 0
    for r in range(cuda.grid(1), rows, cuda.gridsize(1)):
        top = rate[r, 0]
        place = 0
        for c in range(1, classes):
            # NaN counts as the largest, as in NumPy
            if top == top and not rate[r, c] <= top:
                top = rate[r, c]
                place = c
        if place == labels[r]:
            mine += 1
    scratch[0, cuda.threadIdx.x] = mine
    fold(scratch)
    if cuda.threadIdx.x == 0:
        cuda.atomic.add(count, 0, scratch[0, 0])


def count_correct(rate: Memory, labels: Memory, count: Memory) -> None:
    """count[0] += rows of rate[N, C] whose first maximum is at labels[N]."""
    launch(_count_correct, *_elements(rate.shape[0]), rate.array, labels.array, count.array)


@kernel()
def _count_spikes(spikes: Any, span: Any, count: Any) -> None:
    """A thread for each column and part of the rows."""
    rows, size = spikes.shape
    m = cuda.grid(1)
    if m < size:
        for first in range(cuda.blockIdx.y * span, rows, cuda.gridDim.y * span):
            mine = 0
            for r in range(first, min(first + span, rows)):
                mine += spikes[r, m]
            if mine:
                cuda.atomic.add(count, m, mine)


@kernel()
def _count_words(words: Any, span: Any, count: Any) -> None:
    """A thread for four columns, whose bytes it adds at once: `span` is at most 255."""
    rows, size = words.shape
    m = cuda.grid(1)
    if m < size:
        for first in range(cuda.blockIdx.y * span, rows, cuda.gridDim.y * span):
            four = np.uint32(0)
            for r in range(first, min(first + span, rows)):
                four = np.uint32(four + words[r, m])
            for k in range(4):
                mine = (four >> np.uint32(8 * k)) & np.uint32(_BYTE)
                if mine:
                    cuda.atomic.add(count, 4 * m + k, np.int64(mine))


def columns(rows: int, size: int, limits: Limits) -> tuple[tuple[int, int, int], int]:
    """Blocks for sums over the rows of so many columns, and rows of one thread."""
    across = ceil(size, limits.threads)
    wanted = max(1, limits.blocks // max(1, across))
    span = min(_BYTE, max(_LEAST_ROWS, ceil(rows, wanted)))
    return (across, min(MOST_BLOCKS_YZ, ceil(rows, span)), 1), span


def count_spikes(spikes: Memory, count: Memory) -> None:
    """count[M] += spikes[R, M] summed over R."""
    rows, size = spikes.shape
    limits = device.machine().limits
    if size % 4:
        grid, span = columns(rows, size, limits)
        launch(_count_spikes, grid, limits.threads, spikes.array, span, count.array)
        return
    grid, span = columns(rows, size // 4, limits)
    words = spikes.words(np.uint32, (rows, size // 4))
    launch(_count_words, grid, limits.threads, words, span, count.array)


@kernel()
def _count_present(x: Any, span: Any, count: Any, graded: Any) -> None:
    """A thread for each column and part of the rows of a step."""
    _steps, rows, size = x.shape
    m, t = cuda.grid(1), cuda.blockIdx.z
    if m < size:
        for first in range(cuda.blockIdx.y * span, rows, cuda.gridDim.y * span):
            mine, odd = 0, False
            for r in range(first, min(first + span, rows)):
                value = x[t, r, m]
                if value != 0:
                    mine += 1
                    odd = odd or value * value != 1
            if mine:
                cuda.atomic.add(count, (t, m), mine)
            if odd:
                graded[t] = 1  # whoever else writes it writes the same


def count_present(x: Memory, count: Memory, graded: Memory) -> None:
    """count[T, M] += entries of x[T, R, M] that are not 0; graded[T] becomes 1 where one is not
    +-1."""
    limits = device.machine().limits
    steps, rows, size = x.shape
    (across, down, _), span = columns(rows, size, limits)
    grid = across, down, steps
    launch(_count_present, grid, limits.threads, x.array, span, count.array, graded.array)


@kernel()
def _count_nonzero(x: Any, count: Any) -> None:
    scratch = cuda.shared.array((1, THREADS), np.int64)
    mine = 0
    i, step, end = places(x.shape[0])
    while i < end:
        if x[i] != 0:
            mine += 1
        i += step
    scratch[0, cuda.threadIdx.x] = mine
    fold(scratch)
    if cuda.threadIdx.x == 0:
        cuda.atomic.add(count, 0, scratch[0, 0])


def count_nonzero(x: Memory, count: Memory) -> None:
    """count[0] = entries of x that are not zero."""
    fill(count, 0)
    launch(_count_nonzero, *_elements(x.size), x.flat, count.array)
