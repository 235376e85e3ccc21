"""A fourth backend: memory that refuses to become a NumPy array by itself, kernels from the oracle.

It shows that nothing above the kernels touches memory but through the backend. What is above may
read `shape`, `ndim`, `size`, `dtype`, `nbytes` and call `reshape`; all else raises.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from snnr import kernels
from snnr.errors import DeviceError
from snnr.kernels.backend import OPERATIONS, Backend, assemble

NAME = "opaque"


class Memory:
    """A NumPy array behind a wall."""

    __slots__ = ("_array",)

    def __init__(self, array: np.ndarray) -> None:
        assert array.flags.c_contiguous
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    def reshape(self, shape: tuple[int, ...]) -> "Memory":
        reshaped = self._array.reshape(shape)
        assert reshaped.size == 0 or np.shares_memory(reshaped, self._array)
        return Memory(reshaped)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("memory of a device was used as if it were host memory")

    __array__ = __getitem__ = __setitem__ = __iter__ = __len__ = __float__ = __int__ = _refuse
    __add__ = __radd__ = __iadd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __imul__ = _refuse
    __truediv__ = __neg__ = __bool__ = __lt__ = __gt__ = __array_ufunc__ = _refuse


def unwrapped(value: Any) -> Any:
    assert not isinstance(value, np.ndarray), "an array of the host reached a kernel"
    if isinstance(value, kernels.Hints):
        return replace(value, needed=unwrapped(value.needed))
    return value._array if isinstance(value, Memory) else value


def wall(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, for memory."""

    def call(*arguments: Any, **named: Any) -> Any:
        return function(
            *map(unwrapped, arguments), **{key: unwrapped(v) for key, v in named.items()}
        )

    return call


def load() -> Backend:
    oracle = kernels.backend("reference")
    functions = {name: wall(getattr(oracle, name)) for name in OPERATIONS}
    functions["empty"] = lambda shape, dtype=np.float32: Memory(np.empty(shape, dtype))
    functions["zeros"] = lambda shape, dtype=np.float32: Memory(np.zeros(shape, dtype))
    functions["copy_in"] = lambda array: Memory(np.array(array, order="C"))
    functions["copy_out"] = lambda memory: memory._array.copy()

    def write(array: np.ndarray, out: Memory) -> None:
        assert isinstance(array, np.ndarray)
        out._array[...] = array

    functions["write"] = write
    return assemble(NAME, False, functions)


def register() -> None:
    """Make the backend known, once."""
    try:
        kernels.register(NAME, load)
    except DeviceError:
        return
