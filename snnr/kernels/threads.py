"""Threading layer and thread counts: settled here, once, before the first parallel kernel runs.

Order of preference: what the user put into `NUMBA_THREADING_LAYER`; TBB where its library can be
loaded (cheap to launch, safe when several Python threads launch at once); OpenMP with passive
waiting, because threads that spin between kernels take the cores away from BLAS. `workqueue` is
never chosen for the user: it ends the process when two threads launch together.
"""

import ctypes
import os
import sys
from pathlib import Path

import numba
from numba.core import config

from snnr.errors import ConfigError

_TBB_NAMES = ("libtbb.so.12", "libtbb.so.2", "libtbb.12.dylib", "tbb12.dll")
_settled = False


def _load_tbb() -> bool:
    """Load TBB from the loader's path or from where its wheel installs it."""
    places = ["", os.path.join(sys.prefix, "lib"), os.path.join(sys.prefix, "Library", "bin")]
    for place in places:
        for name in _TBB_NAMES:
            path = os.path.join(place, name)
            if place and not Path(path).exists():
                continue
            try:
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            return True
    return False


def settle() -> None:
    """Choose the threading layer (idempotent; does nothing to a choice the user made)."""
    global _settled
    if _settled:
        return
    _settled = True
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "NUMBA_THREADING_LAYER" in os.environ or config.THREADING_LAYER != "default":
        return
    config.THREADING_LAYER = "tbb" if _load_tbb() else "omp"


def available() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int | None) -> int:
    """Limit the kernels to `count` threads (None keeps what is set) and return the number in use.

    Raises
    ------
    ConfigError : `count` is not between 1 and the number Numba started with.
    """
    if count is not None:
        limit = config.NUMBA_NUM_THREADS
        if not 1 <= count <= limit:
            raise ConfigError(
                f"threads (={count}) must lie between 1 and {limit}; "
                "set NUMBA_NUM_THREADS before starting to raise the limit"
            )
        numba.set_num_threads(count)
    return int(numba.get_num_threads())


def layer() -> str:
    """Name of the threading layer that runs the kernels ("not started" before the first one)."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return "not started"
