"""Rows that share their columns: who works where, and sums down the columns.

A block is some neighbouring columns wide, so that a warp reads neighbouring values, and some rows
tall. A thread stays in its column. Sums are made in two launches: each block leaves one part per
column, then one block per column adds the parts. The order of every sum depends on sizes alone.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels.cuda import device, memory
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import CARD, Limits, ceil
from snnr.kernels.cuda.memory import Memory

#: blocks of a grid, together: enough for several waves on the largest card
BLOCKS = 2048
#: threads of one block, at most; the size of shared arrays
THREADS = CARD.threads


class Plan(NamedTuple):
    """grid and block as launched; the rows are cut into `parts`, one per block in direction y."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]

    @property
    def parts(self) -> int:
        return self.grid[1]


def _power(count: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(count - 1, 0).bit_length()


def plan(columns: int, rows: int, limits: Limits, run: int = 1) -> Plan:
    """For rows x columns, `run` rows at least for each thread where there are so many.

    A block is 32 columns wide (an eighth of its threads) and 8 rows tall; where there are fewer
    columns it is taller, where there are fewer rows wider.
    """
    threads = limits.threads
    lanes = min(_power(columns), threads // 8)
    down = min(_power(ceil(rows, run)), threads // lanes)
    lanes = min(_power(columns), threads // down)
    across = ceil(columns, lanes)
    most = max(1, min(BLOCKS // max(across, 1), 4 * limits.parts))
    parts = max(1, min(ceil(rows, down * run), most))
    return Plan((across, parts, 1), (lanes, down, 1))


def planned(columns: int, rows: int, run: int = 1) -> Plan:
    """The same for the machine that is in use."""
    return plan(columns, rows, device.machine().limits, run)


def workspace(plan: Plan, sums: int, columns: int) -> Memory:
    """[parts, sums, columns] float64, one axis: what blocks leave."""
    return memory.empty(plan.parts * sums * columns, np.float64)


def finishing(columns: int, parts: int) -> Plan:
    """One block per few columns, tall enough for the parts."""
    limits = device.machine().limits
    down = min(_power(parts), limits.threads // min(_power(columns), limits.threads // 8))
    lanes = min(_power(columns), limits.threads // down)
    return Plan((ceil(columns, lanes), 1, 1), (lanes, down, 1))


@lru_cache
def _finish(scaled: bool) -> Kernel:
    def finish_sums(
        partial: Any, parts: Any, columns: Any, factor: Any, first: Any, second: Any
    ) -> None:
        shared = cuda.shared.array(TWICE, np.float64)
        lane, lanes = cuda.threadIdx.x, cuda.blockDim.x
        down = cuda.blockDim.y
        column = cuda.blockIdx.x * lanes + lane
        a = np.float64(0)
        b = np.float64(0)
        if column < columns:
            for part in range(cuda.threadIdx.y, parts, down):
                a += partial[np.uint64((2 * part) * columns + column)]
                b += partial[np.uint64((2 * part + 1) * columns + column)]
        place = cuda.threadIdx.y * lanes + lane
        shared[place] = a
        shared[THREADS + place] = b
        cuda.syncthreads()
        if cuda.threadIdx.y == 0 and column < columns:
            a = np.float64(0)
            b = np.float64(0)
            for y in range(down):
                a += shared[y * lanes + lane]
                b += shared[THREADS + y * lanes + lane]
            if scaled:
                b *= np.float64(factor[0][np.uint64(column)])
            first[np.uint64(column)] = a
            second[np.uint64(column)] = b

    return kernel()(finish_sums)


TWICE = 2 * THREADS


def finish_sums(
    partial: Memory, parts: int, columns: int, first: Memory, second: Memory,
    factor: Memory | None = None,
) -> None:  # fmt: skip
    """first[C] and second[C] = sums over the parts of partial[parts, 2, C], the second times
    factor[C]."""
    plan = finishing(columns, parts)
    launch(
        _finish(factor is not None), plan.grid, plan.block, partial.array, parts, columns,
        () if factor is None else (factor.array,), first.array, second.array,
    )  # fmt: skip
