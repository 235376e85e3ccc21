"""Backends by device: "cpu" and "cuda" (Numba), "reference" (NumPy, the oracle of every kernel).

Every backend offers the operations of `backend.Backend`; an unknown device or operation is an error
and never a silent fallback.
"""

import importlib.util
import os
from collections.abc import Callable

from snnr.errors import DeviceError
from snnr.kernels.backend import (
    OPERATIONS,
    Backend,
    Hints,
    Memory,
    Packed,
    Pair,
    assemble,
    philox_blocks,
)

#: makes a backend when it is first asked for
Loader = Callable[[], Backend]


def _cpu() -> Backend:
    from snnr.kernels import cpu, threads

    made = assemble("cpu", True, threads.guarded(cpu.OPERATIONS))
    verbs = vars(Backend)  # which launch nothing
    threads.refuse_after_fork(vars(made), [name for name in OPERATIONS if name not in verbs])
    return made


def _reference() -> Backend:
    from snnr.kernels import reference

    return assemble("reference", True, reference.OPERATIONS)


def _cuda() -> Backend:
    if importlib.util.find_spec("numba_cuda") is None:
        raise DeviceError(
            "device 'cuda' needs the package numba-cuda, which is not installed: pip install "
            "'snnr[cuda]', or use device='cpu' (or 'auto')"
        )
    from snnr.kernels import cuda
    from snnr.kernels.cuda import device

    device.machine()
    return assemble("cuda", False, cuda.OPERATIONS)


_loaders: dict[str, Loader] = {"cpu": _cpu, "reference": _reference, "cuda": _cuda}
_loaded: dict[str, Backend] = {}


def register(device: str, loader: Loader) -> None:
    """Offer a backend of one's own under a new device name.

    Raises
    ------
    DeviceError : there is a device of that name.
    """
    if device in _loaders or device == "auto":
        raise DeviceError(f"device {device!r} is there already: choose another name")
    _loaders[device] = loader


def backend(device: str) -> Backend:
    """The backend of a device, loaded at the first call.

    Raises
    ------
    DeviceError : there is no such device, or this build or machine has no kernels for it.
    """
    found = _loaded.get(device)
    if found is None:
        if device not in _loaders:
            raise DeviceError(
                f"unknown device {device!r}: expected one of {', '.join(_loaders)}, auto"
            )
        # two threads may both load: the backends are alike, and the first one stays
        found = _loaded.setdefault(device, _loaders[device]())
    return found


def choose(device: str) -> tuple[str, str | None]:
    """Turn "auto" into the best device there is, and say why it is no better one (None: nothing to
    say); check any other name.

    The simulator is a CUDA device only for those who ask for "cuda".

    Raises
    ------
    DeviceError : there is no such device here.
    """
    if device != "auto":
        backend(device)
        return device, None
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") in ("", "0"):
        try:
            backend("cuda")
            return "cuda", None
        except DeviceError as error:
            reason = str(error).removeprefix("device 'cuda' ").split(":")[0].split(" (")[0]
    else:
        reason = "is simulated"
    backend("cpu")
    return "cpu", f"CUDA {reason}"


def resolve(device: str) -> str:
    """As `choose`, without the reason.

    Raises
    ------
    DeviceError : there is no such device here.
    """
    return choose(device)[0]


__all__ = [
    "OPERATIONS",
    "Backend",
    "Hints",
    "Loader",
    "Memory",
    "Packed",
    "Pair",
    "assemble",
    "backend",
    "choose",
    "philox_blocks",
    "register",
    "resolve",
]
