"""One mask for all time steps, and exchanged axes, on the CPU."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.parts import transpose
from snnr.kernels.jit import jit

swap_last = transpose.swap_last


@jit()
def _mask(row: Any, mask: Any, factor: Any, out: Any) -> None:
    for i in range(row.shape[0]):
        out[i] = row[i] * mask[i] * factor


@jit(parallel=True)
def _mask_time(x: Any, mask: Any, factor: Any, out: Any) -> None:
    for t in prange(x.shape[0]):
        _mask(x[t], mask, factor, out[t])


def mask_time(x: NDArray[Any], mask: NDArray[np.uint8], factor: float, out: NDArray[Any]) -> None:
    """out[T, M] = x*mask*factor; with uint8 out, x*mask."""
    _mask_time(x, mask, out.dtype.type(factor), out)
