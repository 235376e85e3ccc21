"""Memory of the host, as NumPy hands it out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from snnr.kernels.operations import Packed
from snnr.kernels.reference.packed import unpacked
from snnr.kernels.reference.types import Array


def empty(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Array:
    """Uninitialised memory."""
    return np.empty(shape, dtype)


def zeros(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Array:
    """Memory of zeros."""
    return np.zeros(shape, dtype)


def copy_in(array: Array) -> Array:
    """The array itself if it is contiguous."""
    return np.ascontiguousarray(array).reshape(array.shape)


def copy_out(memory: Array) -> Array:
    """The memory itself."""
    return memory


def write(array: Array, out: Array) -> None:
    """out = array, converted."""
    out[...] = array


def copy(x: Array | Packed, out: Array) -> None:
    """out = x, converted; what is packed, as a whole."""
    out[...] = unpacked(x) if isinstance(x, Packed) else x


def fill(out: Array, value: float) -> None:
    """out = value everywhere."""
    out.fill(value)


def record(work: Callable[[], None]) -> Callable[[], None] | None:
    """None: nothing is gained."""
    return None


def reconsider(kept: dict[str, Any]) -> bool:
    """Nothing is counted for later: False."""
    return False
