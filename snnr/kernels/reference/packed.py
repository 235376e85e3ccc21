"""Gradients of the surviving weights alone, in NumPy; the pattern is their flat positions."""

import numpy as np

from snnr.kernels.operations import Hints, Packed
from snnr.kernels.reference.types import Array


def packed_gradient(w: Array, hints: Hints) -> Packed | None:
    """Room for an entry of each weight that is not zero."""
    pattern = np.flatnonzero(w)
    return Packed(np.empty(pattern.size, w.dtype), pattern, w.shape)


def keep_survivors(w: Array, x: Array) -> None:
    """x = 0 where w is 0."""
    x[w == 0] = 0


def unpacked(packed: Packed) -> Array:
    """All of a gradient, 0 where nothing is packed."""
    whole = np.zeros(packed.shape, packed.dtype)
    whole.reshape(-1)[packed.pattern] = packed.values
    return whole


def whole_room(dw: Array | Packed) -> Array:
    """Where a whole gradient is made first."""
    return np.empty(dw.shape, dw.dtype) if isinstance(dw, Packed) else dw


def pack(whole: Array, dw: Array | Packed) -> None:
    """Take what is packed from the whole gradient."""
    if isinstance(dw, Packed):
        dw.values[...] = whole.reshape(-1)[dw.pattern]
