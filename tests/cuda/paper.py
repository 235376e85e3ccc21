"""A machine on paper: launches are checked and written down with the types that they have, and
nothing runs. What was written down is compiled for cards that are not here."""

from typing import Any, NamedTuple

import numpy as np
from numba.cuda import types
from numba.cuda.np.numpy_support import from_dtype
from numba.cuda.typing.typeof import Purpose, typeof

from snnr.kernels.cuda.device import Kernel
from snnr.kernels.cuda.geometry import CARD, MOST_BLOCKS_YZ

MOST_THREADS = 1024


class Sheet:
    """An array that has a shape and a dtype, and no values."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.ndim = len(shape)
        self.size = int(np.prod(shape))

    @property
    def _numba_type_(self) -> Any:
        return types.Array(from_dtype(self.dtype), self.ndim, "C")


class Launched(NamedTuple):
    kernel: Kernel
    types: tuple[Any, ...]
    threads: int


class Paper:
    """`launched` has each kernel once for every combination of types and threads."""

    limits = CARD
    simulated = False

    def __init__(self) -> None:
        self.launched: dict[Launched, None] = {}

    def allocate(self, nbytes: int) -> Sheet:
        return Sheet((nbytes,), np.uint8)

    def room(self) -> tuple[int, int]:
        return 1 << 36, 1 << 36

    def carve(self, block: Sheet, shape: tuple[int, ...], dtype: Any) -> Sheet:
        made = Sheet(shape, dtype)
        assert made.size * made.dtype.itemsize <= block.size
        return made

    def reshape(self, array: Sheet, shape: tuple[int, ...]) -> Sheet:
        made = Sheet(shape, array.dtype)
        assert made.size == array.size
        return made

    def read(self, array: Sheet) -> np.ndarray:
        return np.ones(array.shape, array.dtype)

    def write(self, values: np.ndarray, array: Sheet) -> None:
        assert values.shape == array.shape
        assert values.dtype == array.dtype

    def run(self, kernel: Kernel, grid: Any, block: Any, arguments: tuple[Any, ...]) -> None:
        threads = int(np.prod(block))
        assert len(grid) == len(block) == 3
        assert 0 < threads <= MOST_THREADS, f"{kernel}: {block} threads"
        assert 0 < grid[0] < 1 << 31, f"{kernel}: {grid} blocks"
        assert all(0 < n <= MOST_BLOCKS_YZ for n in grid[1:]), f"{kernel}: {grid} blocks"
        found = tuple(typeof(argument, Purpose.argument) for argument in arguments)
        self.launched[Launched(kernel, found, threads)] = None

    def record(self, work: Any) -> Any:
        work()
        return lambda: None
