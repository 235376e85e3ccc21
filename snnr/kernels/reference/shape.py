"""Axes in another order, repeated, or taken in part, in NumPy."""

import itertools

from snnr.kernels.reference.types import Array


def reorder(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """out = x with its axes in another order."""
    out[...] = x.transpose(axes)


def stretch(x: Array, out: Array) -> None:
    """out = x, repeated along the axes that have length 1 in x."""
    out[...] = x


def _places(
    first: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each place of a window, in the window and in what it is taken from."""
    inside = itertools.product(*map(range, shape))
    return [
        (place, tuple(f + i * s for f, i, s in zip(first, place, step, strict=True)))
        for place in inside
    ]


def window(x: Array, first: tuple[int, ...], step: tuple[int, ...], out: Array) -> None:
    """out[i, j, ...] = x[first[0] + i*step[0], first[1] + j*step[1], ...]."""
    for inside, outside in _places(first, step, out.shape):
        out[inside] = x[outside]


def window_grad(dy: Array, first: tuple[int, ...], step: tuple[int, ...], dx: Array) -> None:
    """dx = dy at the places of the window, 0 elsewhere."""
    dx[...] = 0
    for inside, outside in _places(first, step, dy.shape):
        dx[outside] = dy[inside]
