"""Sums of columns, in one order: rows in parts, parts one after the other."""

from functools import cache
from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import ceil, parts
from snnr.kernels.cuda.memory import Memory, empty

#: rows that a thread adds up before the sum goes on in float64, and that a part has at least
RUN, LEAST = 16, 256
#: threads of a block that share a column
LANES = 8


@cache
def _column_sums(width: int) -> Kernel:
    """Kernel of part[p, c] = sum of the rows of part p of x[R, C]."""
    threads = width * LANES

    def column_sums(x: Any, part: Any, rows: Any, columns: Any, chunk: Any) -> None:
        held = cuda.shared.array(threads, np.float64)
        t = cuda.threadIdx.x
        column = cuda.blockIdx.x * width + t % width
        start = cuda.blockIdx.y * chunk
        stop = min(rows, start + chunk)
        total = np.float64(0)
        if column < columns:
            for first in range(start + t // width, stop, LANES * RUN):
                run = x[first * columns + column]
                for row in range(first + LANES, min(first + LANES * RUN, stop), LANES):
                    run += x[row * columns + column]
                total += run
        held[t] = total
        cuda.syncthreads()
        if t < width and column < columns:
            for lane in range(1, LANES):
                total += held[lane * width + t]
            part[cuda.blockIdx.y * columns + column] = total

    return kernel()(column_sums)


def column_sums(x: Memory, out: Memory) -> None:
    """out[C] = sums of the columns of x[R, C]."""
    rows, columns = x.shape
    limits = device.machine().limits
    width = min(limits.threads // LANES, 32)
    count = parts(rows, limits, LEAST)
    target = out if count == 1 else empty((count, columns), np.float64)
    made = _column_sums(width)
    launch(
        made, (ceil(columns, width), count, 1), width * LANES, x.flat, target.flat, np.int64(rows),
        np.int64(columns), np.int64(ceil(rows, count)),
    )  # fmt: skip
    if count > 1:
        launch(
            made, (ceil(columns, width), 1, 1), width * LANES, target.flat, out.flat,
            np.int64(count), np.int64(columns), np.int64(count),
        )  # fmt: skip
