"""Exchanged axes on the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.kernels.cpu.parts.transpose import swap_last

Array = NDArray[Any]


def _runs(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The new axes in runs that keep their neighbours; axes of length one lie anywhere."""
    runs: list[tuple[int, ...]] = []
    kept = [axis for axis in axes if shape[axis] != 1]
    order = sorted(kept)
    for axis in kept:
        if runs and order.index(axis) == order.index(runs[-1][-1]) + 1:
            runs[-1] = (*runs[-1], axis)
        else:
            runs.append((axis,))
    return runs


def reorder(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """out = x with its axes in another order.

    Most orders only exchange two runs of neighbouring axes behind a third (an image and its
    channels): these go block by block on all cores.
    """
    if x.size == 0:
        return
    runs = _runs(x.shape, axes)
    if runs == sorted(runs):
        out.reshape(-1)[...] = x.reshape(-1)
    elif len(runs) == 2 or (len(runs) == 3 and runs[0] < runs[2] < runs[1]):
        columns, rows = (int(np.prod([x.shape[axis] for axis in run])) for run in runs[-2:])
        swap_last(x.reshape(-1, rows, columns), out.reshape(-1, columns, rows))
    else:
        out[...] = x.transpose(axes)
