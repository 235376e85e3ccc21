"""Gradients of the surviving weights alone. On a card products make all of them: what a recorded
step launches does not follow the connections."""

from typing import Any

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.walk import places
from snnr.kernels.operations import Hints, Packed


def packed_gradient(w: Memory, hints: Hints) -> Packed | None:
    """None: all of it is made."""
    return None


@kernel()
def _keep_survivors(w: Any, x: Any) -> None:
    i, step, end = places(x.shape[0])
    while i < end:
        if w[i] == 0:
            x[i] = 0
        i += step


def keep_survivors(w: Memory, x: Memory) -> None:
    """x = 0 where w is 0."""
    launch(_keep_survivors, *strided(x.size, device.machine().limits), w.flat, x.flat)
