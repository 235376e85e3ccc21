"""A machine whose memory is the host's and whose kernels run as Python, one thread for all: what
the host's side does can be tried without the simulator."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import OutOfMemory
from snnr.kernels.cuda.geometry import SIMULATED


class Desk:
    """`launched` names the kernels in order; of `total` bytes there are no more."""

    limits = SIMULATED

    def __init__(self, total: int = 1 << 40) -> None:
        self.total = total
        self.given = 0
        self.launched: list[str] = []

    def allocate(self, nbytes: int) -> np.ndarray:
        if self.given + nbytes > self.total:
            raise OutOfMemory
        self.given += nbytes
        return np.full(nbytes, 0xAA, np.uint8)

    def room(self) -> tuple[int, int]:
        return self.total - self.given, self.total

    def carve(self, block: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return block[: int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)

    def reshape(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return array.reshape(shape)

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def read(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def write(self, values: np.ndarray, array: np.ndarray) -> None:
        assert values.dtype == array.dtype
        assert values.shape == array.shape
        array[...] = values

    def run(self, kernel: Any, grid: Any, block: Any, arguments: Any) -> None:
        self.launched.append(kernel.name)
        function = kernel.function
        alone = {
            "cuda": SimpleNamespace(grid=lambda _: 0, gridsize=lambda _: 1),
            "places": lambda size: (0, 1, size),
        }
        names = function.__globals__
        # a card does not warn either
        with (
            patch.dict(names, {k: alone[k] for k in alone if k in names}),
            np.errstate(all="ignore"),
        ):
            function(*arguments)

    def record(self, work: Any) -> Any:
        launches: list[Any] = []
        with device._recording(lambda *launched: launches.append(launched)):
            work()

        def replay() -> None:
            for launched in launches:
                self.run(*launched)

        return replay
