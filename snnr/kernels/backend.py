"""A backend: memory and operations under one name.

It is put together from plain functions, one for every method of `Backend`, with the same parameters
in the same order. Callers reach an operation as an attribute:
``backend(device).linear(x, w, bias, out)``. What the operations do is written in `operations` and
`updates`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from snnr.errors import DeviceError
from snnr.kernels.operations import Hints, Memory, Operations, Packed, Pair
from snnr.kernels.updates import Updates


class Backend(Operations, Updates, Protocol):
    """Memory verbs beside the operations. `host`: memory is a NumPy array."""

    name: str
    host: bool

    def empty(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Memory:
        """Uninitialised memory."""

    def zeros(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Memory:
        """Memory of zeros."""

    def copy_in(self, array: NDArray[Any]) -> Memory:
        """Memory with the values of a host array; on a host backend the array itself if it is
        contiguous."""

    def copy_out(self, memory: Memory) -> NDArray[Any]:
        """Host array with the values; on a host backend the memory itself."""

    def write(self, array: NDArray[Any], out: Memory) -> None:
        """out = the values of a host array of its shape, converted."""

    def copy(self, x: Memory, out: Memory) -> None:
        """out = x, converted to the dtype of out; of what is packed, the whole."""

    def fill(self, out: Memory, value: float) -> None:
        """out = value everywhere."""

    # A device gains from a step that is written down once and then run as a whole. What differs
    # from step to step then lies in memory.

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """Writes down what `work` launches without running it, and returns what runs it, again and
        again, on the same memory; None where nothing is gained (host backends; `work` was not
        called).

        Memory that `work` allocates stays reserved for as long as what is returned lives; memory
        that was there before, the caller keeps.

        Raises
        ------
        DeviceError : `work` copies to or from the host (`copy_in`, `copy_out`, `write`), or cannot
            be recorded for another reason. Nothing was run.
        """

    def reconsider(self, kept: dict[str, Any]) -> bool:
        """Between steps: read what was counted on the device for the weight that `kept` belongs to
        (`Hints.weight`) and choose anew how its products are made. True where the choice changed,
        so that what was recorded must be recorded anew; host backends choose in each call: False.
        """


def _functions(protocol: type) -> list[str]:
    found = vars(protocol).items()
    return [name for name, value in found if callable(value) and not name.startswith("_")]


#: every function that a backend has
OPERATIONS: tuple[str, ...] = (
    *_functions(Backend), *_functions(Operations), *_functions(Updates),
)  # fmt: skip


def philox_blocks(size: int) -> int:
    """By how much a counter moves on when `size` words have been drawn."""
    return -(-size // 4)


def digit(bins: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The digit of the entry of this rank, from 1, where bins[d] entries have digit d and small
    digits come first; and its rank among those that have it."""
    before = np.cumsum(bins) - bins
    found = int(np.searchsorted(before, rank) - 1)
    return found, rank - int(before[found])


class _Assembled:
    """Functions as attributes; a name that is none is refused."""

    def __init__(self, name: str, host: bool, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.name = name
        self.host = host
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise DeviceError(
            f"backend {self.__dict__.get('name')!r} has no operation {name!r}: expected one of "
            f"{', '.join(OPERATIONS)}"
        )

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


def assemble(name: str, host: bool, functions: Mapping[str, Callable[..., Any]]) -> Backend:
    """A backend from its functions by name.

    Raises
    ------
    DeviceError : one of `OPERATIONS` is missing, or there is one that is not among them.
    """
    missing = [operation for operation in OPERATIONS if operation not in functions]
    unknown = [operation for operation in functions if operation not in OPERATIONS]
    if missing or unknown:
        raise DeviceError(
            f"backend {name!r} lacks {', '.join(missing) or 'nothing'} and has "
            f"{', '.join(unknown) or 'nothing'} that no backend should have; the operations are "
            "those of snnr.kernels.backend.Backend"
        )
    return cast(Backend, _Assembled(name, host, functions))


__all__ = [
    "OPERATIONS",
    "Backend",
    "Hints",
    "Memory",
    "Operations",
    "Packed",
    "Pair",
    "assemble",
    "digit",
    "philox_blocks",
]
