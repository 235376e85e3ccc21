"""Exchanged axes, in NumPy."""

from snnr.kernels.reference.types import Array


def reorder(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """out = x with its axes in another order."""
    out[...] = x.transpose(axes)
