"""Dense layers over few spikes: the weight rows of the active inputs, added up in their order."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import MOST_BLOCKS_YZ, Limits, ceil
from snnr.kernels.cuda.memory import Memory

#: inputs whose spikes one thread packs
BITS = 32


class Shape(NamedTuple):
    """Of a block: one row of the input for each group of `lanes` threads, and for each of these
    `columns` columns, `lanes` apart."""

    groups: int
    lanes: int
    columns: int


CARD, SIMULATED = Shape(4, 32, 8), Shape(2, 4, 2)


def shape(limits: Limits) -> Shape:
    """For the threads that a machine has."""
    return CARD if limits.threads >= CARD.groups * CARD.lanes else SIMULATED


def grid(rows: int, outputs: int, block: Shape) -> tuple[int, int, int]:
    """Blocks over rows and columns; the last direction where the second is full."""
    across = ceil(outputs, block.lanes * block.columns)
    return ceil(rows, block.groups), min(across, MOST_BLOCKS_YZ), ceil(across, MOST_BLOCKS_YZ)


@cache
def _walk(block: Shape, dtype: Any, biased: bool, counted: bool) -> Kernel:
    """Kernel: out[r, :] = scale * sum of w[k, :] over the spikes of x[r] + bias."""
    (groups, lanes, columns) = block
    listed = groups * lanes * BITS
    words = groups * lanes
    width = np.uint32(lanes)
    piece = np.uint32(lanes * BITS)
    bits = np.uint32(BITS)
    one = np.uint32(1)
    span = np.uint64(lanes * columns)

    def walk(x: Any, w: Any, bias: Any, count: Any, out: Any, rows: Any, inputs: Any, outputs: Any,
             scale: Any) -> None:  # fmt: skip
        index = cuda.shared.array(listed, np.uint32)
        held = cuda.shared.array(words, np.uint32)
        acc = cuda.local.array(columns, dtype)
        place = cuda.local.array(columns, np.uint64)
        t = np.uint32(cuda.threadIdx.x)
        group, lane = np.uint32(t // width), np.uint32(t % width)
        row = np.uint64(cuda.blockIdx.x) * np.uint64(groups) + np.uint64(group)
        column = np.uint64(cuda.blockIdx.z) * np.uint64(cuda.gridDim.y) + np.uint64(cuda.blockIdx.y)
        column = column * span + np.uint64(lane)
        here = row < rows
        for j in range(columns):
            acc[j] = dtype(0)
            place[j] = min(column + np.uint64(j) * np.uint64(width), outputs - np.uint64(1))
        found = np.uint32(0)
        mine = np.uint32(group * piece)
        first = np.uint64(0)
        while first < inputs:
            word = np.uint32(0)
            at = first + np.uint64(np.uint32(lane * bits))
            if here:
                for b in range(BITS):
                    if at + np.uint64(b) < inputs and x[row * inputs + at + np.uint64(b)] != 0:
                        word = np.uint32(word | np.uint32(one << np.uint32(b)))
            held[t] = np.uint32(cuda.popc(word))
            cuda.syncthreads()
            to, total = mine, np.uint32(0)
            for other in range(lanes):
                n = held[np.uint32(np.uint32(group * width) + np.uint32(other))]
                if np.uint32(other) < lane:
                    to = np.uint32(to + n)
                total = np.uint32(total + n)
            for b in range(BITS):
                if np.uint32(np.uint32(word >> np.uint32(b)) & one) == one:
                    index[to] = np.uint32(np.uint32(lane * bits) + np.uint32(b))
                    to = np.uint32(to + one)
            cuda.syncthreads()
            found = np.uint32(found + total)
            e, end = mine, np.uint32(mine + total)
            while e < end:
                base = (first + np.uint64(index[e])) * outputs
                for j in range(columns):
                    acc[j] += w[base + place[j]]
                e = np.uint32(e + one)
            cuda.syncthreads()
            first += np.uint64(piece)
        if counted and (lane == np.uint32(0)) & (column == np.uint64(0)) & here:
            cuda.atomic.add(count, 0, np.int64(found))
            cuda.atomic.add(count, 1, np.int64(inputs))
        for j in range(columns):
            where = column + np.uint64(j) * np.uint64(width)
            if here and where < outputs:
                value = scale * acc[j]
                if biased:
                    value = value + bias[where]
                out[row * outputs + where] = value

    walk.__name__ = f"walk_{np.dtype(dtype).name}" + "_biased" * biased + "_counted" * counted
    return kernel(launch_bounds=(groups * lanes, 8))(walk)


def walk(
    x: Memory, w: Memory, bias: Memory | None, out: Memory, scale: float, count: Memory | None
) -> None:
    """out[R, O] = scale * x[R, K] @ w[K, O] + bias; adds to `count` as `gemm.product` does."""
    (rows, inputs), outputs = x.shape, w.shape[1]
    block = shape(device.machine().limits)
    dtype: Any = out.dtype.type
    made = _walk(block, dtype, bias is not None, count is not None)
    launch(
        made, grid(rows, outputs, block), block.groups * block.lanes, x.flat, w.flat,
        out.flat if bias is None else bias.flat, out.flat if count is None else count.flat,
        out.flat, np.uint64(rows), np.uint64(inputs), np.uint64(outputs), dtype(scale),
    )  # fmt: skip
