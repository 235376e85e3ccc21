"""What an optimizer keeps for a parameter, declared so that a file can be held to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.errors import DeviceError
from snnr.kernels import Memory
from snnr.tensor import Parameter


@dataclass(frozen=True)
class Kept:
    """One array of the state, of the parameter's shape and layout.

    dtype : None is that of the parameter.
    least : no value is below this (None: no bound).
    values : every value is one of these (empty: no such rule).
    """

    dtype: Any = None
    least: float | None = None
    values: tuple[int, ...] = ()


class State:
    """The arrays of one parameter: attributes are NumPy views of the public shape on host backends;
    elsewhere use `numpy` and `assign`.

    steps : updates that this parameter got (Adam's bias correction counts them).
    """

    def __init__(self, parameter: Parameter, kept: Mapping[str, Kept]) -> None:
        self.parameter = parameter
        self.kept = dict(kept)
        self.steps = 0
        self.device = parameter.device
        self.memory: dict[str, Memory] = {
            name: parameter.backend.zeros(parameter.memory.shape, one.dtype or parameter.dtype)
            for name, one in self.kept.items()
        }

    def follow(self) -> None:
        """Move to where the parameter went."""
        if self.device == self.parameter.device:
            return
        from_there, to_here = self.numpy_memory(), self.parameter.backend
        self.memory = {name: to_here.copy_in(array) for name, array in from_there.items()}
        self.device = self.parameter.device

    def numpy_memory(self) -> dict[str, NDArray[Any]]:
        """Host arrays in memory order."""
        here = kernels.backend(self.device)
        return {name: here.copy_out(memory) for name, memory in self.memory.items()}

    def numpy(self, name: str) -> NDArray[Any]:
        """Host array of the public shape: a view on a host backend, else a copy."""
        return self.parameter.layout.to_public(self.numpy_memory()[name])

    def assign(self, name: str, values: NDArray[Any]) -> None:
        """Put values of the public shape in, converted."""
        self.follow()
        layout = self.parameter.layout
        self.parameter.backend.write(layout.to_memory(np.asarray(values)), self.memory[name])

    def __getattr__(self, name: str) -> NDArray[Any]:
        memory = self.__dict__.get("memory", {})
        if name not in memory:
            raise AttributeError(
                f"the state of {self.__dict__.get('parameter')!r} has no {name}, only "
                f"{', '.join(memory)}"
            )
        if not self.parameter.backend.host:
            raise DeviceError(
                f".{name} on {self.device} would copy it in silence; use .numpy({name!r}) and "
                f".assign({name!r}, array)"
            )
        self.follow()
        return self.parameter.layout.to_public(memory[name])

    def __repr__(self) -> str:
        return f"State({self.parameter.name!r}, {', '.join(self.memory)}, steps={self.steps})"
