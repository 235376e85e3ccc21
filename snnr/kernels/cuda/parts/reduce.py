"""Sums over the threads of a block, in one order, so that they repeat bit for bit.

A sum over a whole array has two stages: a value for each block, then one block over these. How many
there are depends on sizes alone, not on the card.
"""

from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, function, kernel, launch
from snnr.kernels.cuda.geometry import Limits, ceil
from snnr.kernels.cuda.memory import Memory, empty
from snnr.kernels.cuda.parts.walk import places

#: the most threads of a block that is summed over
THREADS = 256
#: elements of one thread that are added up in their own type, before float64 takes over
_RUN = 16
#: elements that one block adds up alone sooner than two launches would
_ALONE = 8192


@function
def fold(scratch: Any) -> None:
    """scratch[k, 0] = sum of scratch[k, t] over the threads t of the block, a power of two of them.

    Called by all of them; whoever wrote its column may not touch it again afterwards.
    """
    t = cuda.threadIdx.x
    reach = cuda.blockDim.x // 2
    cuda.syncthreads()
    while reach > 0:
        if t < reach:
            for k in range(scratch.shape[0]):
                scratch[k, t] += scratch[k, t + reach]
        cuda.syncthreads()
        reach //= 2


@kernel()
def _sum(x: Any, divisor: Any, out: Any) -> None:
    """out[block] = sum of its share of x, divided."""
    scratch = cuda.shared.array((1, THREADS), np.float64)
    i, step, end = places(x.shape[0])
    mine = np.float64(0)
    while i < end:
        # float64 is slow on most cards
        run = x[i]
        for k in range(1, _RUN):
            there = i + np.uint64(k) * step
            if there < end:
                run += x[there]
        mine += run
        i += np.uint64(_RUN) * step
    scratch[0, cuda.threadIdx.x] = mine
    fold(scratch)
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = scratch[0, 0] / divisor


def blocks(size: int, limits: Limits) -> int:
    """Values of the first stage of a sum over so many elements; 1: there is no second stage."""
    if size <= limits.threads * (_ALONE // THREADS):
        return 1
    return min(ceil(size, limits.threads * _RUN), limits.parts)


def partial(blocks: int) -> Memory:
    """Memory for the values of the first stage."""
    return empty(blocks, np.float64)


def finish(partial: Memory, divisor: float, out: Memory) -> None:
    """out[0] = sum of the values of the first stage, divided."""
    threads = device.machine().limits.threads
    launch(_sum, 1, threads, partial.flat, np.float64(divisor), out.flat)


def total(x: Memory, out: Memory) -> None:
    """out[0] = sum of all elements."""
    limits = device.machine().limits
    count = blocks(x.size, limits)
    if count == 1:
        finish(x, 1, out)
        return
    parts = partial(count)
    launch(_sum, count, limits.threads, x.flat, np.float64(1), parts.array)
    finish(parts, 1, out)
