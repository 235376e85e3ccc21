"""Gradients of the surviving weights alone; the pattern is the lists of the weight."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.linear.lists import survivors_for, values_at
from snnr.kernels.cpu.memory import empty
from snnr.kernels.jit import jit
from snnr.kernels.operations import Hints, Packed

#: connectivity above which lists cost more than they spare: of a few places in every cache line
#: all lines are read
PACKED = 0.15
#: elements per task
BLOCK = 65536

Float = NDArray[np.floating[Any]]


def packed_gradient(w: Float, hints: Hints) -> Packed | None:
    """Room in the order of the lists, between which it is zero; None where too much survives."""
    if hints.connectivity > PACKED:
        return None
    lists = survivors_for(w, hints)
    values = empty(lists.index.shape, w.dtype)
    values.fill(0)
    return Packed(values, lists, w.shape)


def pack(whole: Float, packed: Packed) -> None:
    """Take the entries of the survivors from a whole gradient."""
    values_at(whole, packed.pattern, packed.values)


@jit()
def _keep(w: Any, x: Any) -> None:
    for i in range(w.shape[0]):
        x[i] = x[i] if w[i] != 0 else x.dtype.type(0)


@jit(parallel=True)
def _keep_survivors(w: Any, x: Any) -> None:
    size = w.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _keep(w[i:j], x[i:j])


def keep_survivors(w: Float, x: Float) -> None:
    """x = 0 where w is 0."""
    _keep_survivors(w.reshape(-1), x.reshape(-1))
