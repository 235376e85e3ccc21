"""Element by element, and sums and means."""

from typing import Any

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _accumulate(part: Any, total: Any) -> None:
    for i in range(cuda.grid(1), total.shape[0], cuda.gridsize(1)):
        total[i] += part[i]


def accumulate(part: Memory, total: Memory) -> None:
    """total += part."""
    launch(_accumulate, *_elements(total.size), part.flat, total.flat)


@kernel()
def _scale(x: Any, factor: Any, out: Any) -> None:
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        out[i] = factor * x[i]


def scale(x: Memory, factor: float, out: Memory) -> None:
    """out = factor * x."""
    launch(_scale, *_elements(out.size), x.flat, out.dtype.type(factor), out.flat)
