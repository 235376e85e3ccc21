"""Axes in another order, repeated, or taken in part, on the CPU."""

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


def stretch(x: Array, out: Array) -> None:
    """out = x, repeated along the axes that have length 1 in x."""
    np.copyto(out, x)


def _slices(
    first: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """The places of a window as NumPy names them."""
    made = []
    for f, s, n in zip(first, step, shape, strict=True):
        end = f + s * n
        made.append(slice(f, None if end < 0 else end, s))
    return tuple(made)


def window(x: Array, first: tuple[int, ...], step: tuple[int, ...], out: Array) -> None:
    """out[i, j, ...] = x[first[0] + i*step[0], first[1] + j*step[1], ...]."""
    if out.size:
        out[...] = x[_slices(first, step, out.shape)]


def window_grad(dy: Array, first: tuple[int, ...], step: tuple[int, ...], dx: Array) -> None:
    """dx = dy at the places of the window, 0 elsewhere."""
    dx.fill(0)
    if dy.size:
        dx[_slices(first, step, dy.shape)] = dy
