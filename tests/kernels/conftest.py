"""Every kernel test runs over every backend named here.

With ``NUMBA_ENABLE_CUDASIM=1`` these are the CUDA kernels in Numba's simulator, alone: it is so
slow that shapes come from `harness.sized`. Otherwise those that need a card are marked `gpu`.
"""

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnr.kernels.operations import Hints

from .harness import SIMULATED

BACKENDS = ["cuda"] if SIMULATED else ["cpu"]
_PARAMETERS: list[Any] = list(BACKENDS)
if not SIMULATED:
    _PARAMETERS.append(pytest.param("cuda", marks=pytest.mark.gpu))


def operations(backend):
    """Operation name -> function of the backend's memory."""
    return importlib.import_module(f"snnr.kernels.{backend}").OPERATIONS


class OnDevice(dict):
    """Operation name -> function of host arrays: copied in, and copied back afterwards."""

    def __init__(self, functions):
        super().__init__({name: self._around(name, functions) for name in functions})

    @staticmethod
    def _around(name, functions):
        def call(*arguments, **named):
            held: dict[int, tuple[np.ndarray, Any]] = {}

            def inside(value):
                if isinstance(value, Hints):
                    return replace(value, needed=inside(value.needed))
                if not isinstance(value, np.ndarray):
                    return value
                # one array that is given twice is one memory
                if id(value) not in held:
                    held[id(value)] = value, functions["copy_in"](value)
                return held[id(value)][1]

            returned = functions[name](
                *map(inside, arguments), **{key: inside(value) for key, value in named.items()}
            )
            for array, memory in held.values():
                if array.flags.writeable:
                    array[...] = functions["copy_out"](memory)
            return returned

        return call


def host_operations(backend):
    """Operation name -> function of host arrays."""
    functions = operations(backend)
    return OnDevice(functions) if backend == "cuda" else functions


@pytest.fixture(autouse=True, scope="session")
def quickly():
    """In the simulator, without its waiting."""
    if not SIMULATED:
        yield
        return
    from .quickly import quick_simulator

    with quick_simulator():
        yield


@pytest.fixture(params=_PARAMETERS)
def kernels(request):
    """A backend's operations, to compare with the reference."""
    return host_operations(request.param)


@pytest.fixture(params=["reference", *_PARAMETERS])
def every_kernels(request):
    """The same for tests with a yardstick of their own, which the reference has to pass too."""
    return host_operations(request.param)
