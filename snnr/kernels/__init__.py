"""The backend table: operation -> kernel, per device.

Every backend offers the same names with the same arguments; an unknown device or operation is an
error and never a silent fallback.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from snnr.errors import DeviceError

DEVICES = ("cpu", "reference")


@cache
def table(device: str) -> Mapping[str, Callable[..., Any]]:
    """Kernels of `device` ("cpu", or "reference", the NumPy oracle) by operation name.

    Raises
    ------
    DeviceError : there is no such device, or this build has no kernels for it.
    """
    if device == "cpu":
        from snnr.kernels import threads
        from snnr.kernels.cpu import OPERATIONS

        functions = dict(threads.in_turn(OPERATIONS))
        threads.refuse_after_fork(functions, OPERATIONS)
        return MappingProxyType(functions)
    if device == "reference":
        from snnr.kernels.reference import OPERATIONS
    elif device == "cuda":
        raise DeviceError(
            "device 'cuda' is not available: this version of snnr has no CUDA kernels; "
            "use device='cpu' (or 'auto')"
        )
    else:
        raise DeviceError(f"unknown device {device!r}: expected one of {', '.join(DEVICES)}, auto")
    return MappingProxyType(OPERATIONS)


def resolve(device: str) -> str:
    """Turn "auto" into the best device there is; check any other name."""
    chosen = "cpu" if device == "auto" else device
    table(chosen)
    return chosen
