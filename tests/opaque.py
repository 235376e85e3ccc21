"""A fourth backend: memory that refuses to become a NumPy array by itself, kernels from the oracle.

It shows that nothing above the kernels touches memory but through the backend. What is above may
read `shape`, `ndim`, `size`, `dtype`, `nbytes` and call `reshape`; all else raises.

It records, too: calls are written down, and repeated with the very same arguments on the very same
memory. Memory that nobody holds any more is poisoned, that of a recording before each replay, so
that a recording that uses what it should not shows; and products are made from a copy of the weight
that is kept with it for as long as its version says, as a device may keep it in another form.
"""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from snnr import kernels
from snnr.errors import DeviceError
from snnr.kernels.backend import OPERATIONS, Backend, assemble

NAME = "opaque"


def poison(array: np.ndarray) -> None:
    """Values that no step should meet."""
    if array.dtype.kind == "f":
        array.fill(np.nan)
    else:
        array.reshape(-1).view(np.uint8).fill(0xAA)


class Tape:
    """Calls written down, and the memory that was allocated meanwhile."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.reserved: list[tuple[weakref.ref[Any], np.ndarray]] = []

    def replay(self) -> None:
        for owner, array in self.reserved:
            if owner() is None:
                poison(array)
        for call in self.calls:
            call()


class Allocation:
    """Lives as long as somebody holds the memory or a part of it."""

    __slots__ = ("__weakref__",)


class Memory:
    """A NumPy array behind a wall."""

    __slots__ = ("_allocation", "_array")

    def __init__(self, array: np.ndarray, allocation: Allocation | None = None) -> None:
        assert array.flags.c_contiguous
        self._array = array
        self._allocation = Allocation() if allocation is None else allocation
        if allocation is None and tape is None:
            weakref.finalize(self._allocation, poison, array).atexit = False
        elif allocation is None:
            tape.reserved.append((weakref.ref(self._allocation), array))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    def reshape(self, shape: tuple[int, ...]) -> "Memory":
        reshaped = self._array.reshape(shape)
        assert reshaped.size == 0 or np.shares_memory(reshaped, self._array)
        return Memory(reshaped, self._allocation)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("memory of a device was used as if it were host memory")

    __array__ = __getitem__ = __setitem__ = __iter__ = __len__ = __float__ = __int__ = _refuse
    __add__ = __radd__ = __iadd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __imul__ = _refuse
    __truediv__ = __neg__ = __bool__ = __lt__ = __gt__ = __array_ufunc__ = _refuse


#: where calls are written down, while they are
tape: Tape | None = None
#: how many recordings were made, and how often `reconsider` was asked; `choices` are its next
#: answers
recordings, asked, choices = 0, 0, []  # type: tuple[int, int, list[bool]]


def unwrapped(value: Any) -> Any:
    assert not isinstance(value, np.ndarray), "an array of the host reached a kernel"
    if isinstance(value, kernels.Hints):
        return replace(value, needed=unwrapped(value.needed))
    return value._array if isinstance(value, Memory) else value


def wall(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, for memory; written down while there is a tape."""

    def call(*arguments: Any, **named: Any) -> Any:
        plain = [unwrapped(value) for value in arguments]
        by_name = {key: unwrapped(value) for key, value in named.items()}
        if tape is None:
            return function(*plain, **by_name)
        tape.calls.append(lambda: function(*plain, **by_name))
        return None

    return call


def transfer(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which a recording cannot hold."""

    def call(*arguments: Any) -> Any:
        if tape is not None:
            raise DeviceError(f"{function.__name__} cannot be recorded: it needs the host")
        return function(*arguments)

    return call


def empty(shape: Any, dtype: Any = np.float32) -> Memory:
    array = np.empty(shape, dtype)
    poison(array)
    return Memory(array)


@transfer
def copy_in(array: np.ndarray) -> Memory:
    return Memory(np.array(array, order="C"))


@transfer
def copy_out(memory: Memory) -> np.ndarray:
    return memory._array.copy()


@transfer
def write(array: np.ndarray, out: Memory) -> None:
    assert isinstance(array, np.ndarray)
    out._array[...] = array


def record(work: Callable[[], None]) -> Callable[[], None]:
    global tape, recordings
    assert tape is None
    tape = written = Tape()
    try:
        work()
    finally:
        tape = None
    recordings += 1
    return written.replay


def reconsider(kept: dict[str, Any]) -> bool:
    global asked
    assert isinstance(kept, dict)
    asked += 1
    return choices.pop(0) if choices else False


def load() -> Backend:
    oracle = kernels.backend("reference")
    functions = {name: wall(getattr(oracle, name)) for name in OPERATIONS}

    def zeros(shape: Any, dtype: Any = np.float32) -> Memory:
        memory = empty(shape, dtype)
        functions["fill"](memory, 0)
        return memory

    def of_kept_weight(name: str, place: int) -> Callable[..., None]:
        """The product, from the copy that is kept with the weight."""
        product = functions[name]

        def call(*arguments: Any) -> None:
            hints = next((one for one in arguments if isinstance(one, kernels.Hints)), None)
            if hints is not None and hints.weight is not None:
                weight, kept = arguments[place], hints.weight
                if kept.get("version") != hints.version:
                    kept["copy"] = empty(weight.shape, weight.dtype)
                    kept["version"] = hints.version
                    functions["copy"](weight, kept["copy"])
                arguments = (*arguments[:place], kept["copy"], *arguments[place + 1 :])
            product(*arguments)

        return call

    functions |= {
        "empty": empty, "zeros": zeros, "copy_in": copy_in, "copy_out": copy_out, "write": write,
        "record": record, "reconsider": reconsider, "packed_gradient": lambda w, hints: None,
    }  # fmt: skip
    for name in ("linear", "linear_input_grad", "conv2d", "conv2d_input_grad"):
        functions[name] = of_kept_weight(name, 1)
    return assemble(NAME, False, functions)


def register() -> None:
    """Make the backend known, once."""
    try:
        kernels.register(NAME, load)
    except DeviceError:
        return
