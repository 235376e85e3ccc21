"""Axes in another order, repeated, or taken in part.

Most orders exchange two runs of neighbouring axes behind a third (an image and its channels): tiles
of these go through shared memory, so that both sides are touched row by row. Others are gathered
element by element.
"""

from math import prod
from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.geometry import Limits, ceil, strided
from snnr.kernels.cuda.memory import Memory, Shape, copy, fill

#: the longest edge of a tile
EDGE = 32
#: one column more, so that a column of a tile lies in all banks of shared memory
_PITCH = EDGE + 1
#: values of a tile that one thread moves
_EACH = 4
_ONE = np.uint64(1)
#: with fewer rows or columns most of a tile would stay empty
_LEAST = 8


def runs(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The new axes in runs that keep their neighbours; axes of length one lie anywhere."""
    found: list[tuple[int, ...]] = []
    kept = [axis for axis in axes if shape[axis] != 1]
    order = sorted(kept)
    for axis in kept:
        if found and order.index(axis) == order.index(found[-1][-1]) + 1:
            found[-1] = (*found[-1], axis)
        else:
            found.append((axis,))
    return found


# Places are unsigned, as in `parts.walk`: every number that meets them is.


@kernel()
def _swap_last(x: Any, batch: Any, rows: Any, columns: Any, out: Any) -> None:
    """out[B, C, R] = x[B, R, C], both flat, a tile per block; a thread moves `_EACH` values of it,
    all of which are on their way at once."""
    tile = cuda.shared.array((EDGE, _PITCH), x.dtype)
    edge, step = np.uint64(cuda.blockDim.x), np.uint64(cuda.blockDim.y)
    here, first = np.uint64(cuda.threadIdx.x), np.uint64(cuda.threadIdx.y)
    across, down = (columns + edge - _ONE) // edge, (rows + edge - _ONE) // edge
    task, tasks = np.uint64(cuda.blockIdx.x), batch * down * across
    while task < tasks:
        above = task // across
        left = (task - above * across) * edge
        b = above // down
        top = (above - b * down) * edge
        if left + here < columns:
            start = (b * rows + top) * columns + left + here
            for k in range(_EACH):
                r = first + np.uint64(k) * step
                if top + r < rows:
                    tile[r, here] = x[start + r * columns]
        cuda.syncthreads()
        if top + here < rows:
            start = (b * columns + left) * rows + top + here
            for k in range(_EACH):
                c = first + np.uint64(k) * step
                if left + c < columns:
                    out[start + c * rows] = tile[here, c]
        cuda.syncthreads()
        task += np.uint64(cuda.gridDim.x)


@kernel()
def _gather(x: Any, start: Any, sizes: Any, steps: Any, out: Any) -> None:
    """out[i] = x where i lies in axes of these sizes, the last one first, and steps through x from
    its place `start`."""
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        rest = i
        place = start
        for k in range(len(sizes)):
            further = rest // sizes[k]
            place += (rest - further * sizes[k]) * steps[k]
            rest = further
        out[i] = x[place]


@kernel()
def _scatter(x: Any, start: Any, sizes: Any, steps: Any, out: Any) -> None:
    """The same the other way: out there = x[i]."""
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        rest = i
        place = start
        for k in range(len(sizes)):
            further = rest // sizes[k]
            place += (rest - further * sizes[k]) * steps[k]
            rest = further
        out[place] = x[i]


def tiles(batch: int, rows: int, columns: int, limits: Limits) -> tuple[int, tuple[int, int, int]]:
    """Blocks and threads for tiles of [B, R, C]."""
    edge = min(EDGE, limits.threads // _EACH)
    count = batch * ceil(rows, edge) * ceil(columns, edge)
    return min(count, 4 * limits.blocks), (edge, edge // _EACH, 1)


def reorder(x: Memory, axes: tuple[int, ...], out: Memory) -> None:
    """out = x with its axes in another order."""
    if x.size == 0:
        return
    found = runs(x.shape, axes)
    if found == sorted(found):
        copy(x, out)
        return
    limits = device.machine().limits
    lengths = [prod(x.shape[axis] for axis in run) for run in found]
    columns, rows = lengths[-2:]
    swaps = len(found) == 2 or (len(found) == 3 and found[0] < found[2] < found[1])
    if swaps and min(columns, rows) >= _LEAST:
        batch = x.size // (rows * columns)
        launch(
            _swap_last, *tiles(batch, rows, columns, limits), x.flat, np.uint64(batch),
            np.uint64(rows), np.uint64(columns), out.flat,
        )  # fmt: skip
        return
    # how far apart neighbours of the last axis of each run lie in x
    steps = tuple(prod(x.shape[run[-1] + 1 :]) for run in reversed(found))
    sizes = tuple(reversed(lengths))
    launch(_gather, *strided(x.size, limits), x.flat, 0, sizes, steps, out.flat)


def stretch(x: Memory, out: Memory) -> None:
    """out = x, repeated along the axes that have length 1 in x."""
    limits = device.machine().limits
    axes = [axis for axis in reversed(range(out.ndim)) if out.shape[axis] != 1]
    if not axes:
        copy(x, out)
        return
    sizes = tuple(out.shape[axis] for axis in axes)
    steps = tuple(prod(x.shape[axis + 1 :]) * (x.shape[axis] != 1) for axis in axes)
    launch(_gather, *strided(out.size, limits), x.flat, 0, sizes, steps, out.flat)


def _walk(whole: Shape, part: Shape, first: Shape, step: Shape) -> tuple[int, Shape, Shape]:
    """First place of a window in the whole, its sizes and its steps there, the last axis first."""
    apart = [prod(whole[axis + 1 :]) for axis in range(len(whole))]
    start = sum(f * a for f, a in zip(first, apart, strict=True))
    axes = [axis for axis in reversed(range(len(part))) if part[axis] != 1] or [0]
    return start, tuple(part[i] for i in axes), tuple(step[i] * apart[i] for i in axes)


def window(x: Memory, first: Shape, step: Shape, out: Memory) -> None:
    """out[i, j, ...] = x[first[0] + i*step[0], first[1] + j*step[1], ...]."""
    limits = device.machine().limits
    walk = _walk(x.shape, out.shape, first, step)
    launch(_gather, *strided(out.size, limits), x.flat, *walk, out.flat)


def window_grad(dy: Memory, first: Shape, step: Shape, dx: Memory) -> None:
    """dx = dy at the places of the window, 0 elsewhere."""
    fill(dx, 0)
    limits = device.machine().limits
    walk = _walk(dx.shape, dy.shape, first, step)
    launch(_scatter, *strided(dy.size, limits), dy.flat, *walk, dx.flat)
