"""Memory of the device: blocks from a pool, in a shape; copies only when they are asked for."""

import threading
import weakref
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from snnr.errors import DeviceError
from snnr.kernels.cuda import device, ways
from snnr.kernels.cuda.allocator import Block, Pool, pool_in_use, private
from snnr.kernels.cuda.device import kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.parts.walk import places

Shape = tuple[int, ...]


class Memory:
    """An array of the device, C-contiguous. `array` is what kernels take."""

    __slots__ = ("__weakref__", "_block", "array", "dtype", "ndim", "shape", "size")

    def __init__(self, block: Block, array: Any, shape: Shape, dtype: np.dtype[Any]) -> None:
        self._block = block
        self.array = array
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self.size = prod(shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.size * self.dtype.itemsize

    def reshape(self, shape: int | Sequence[int]) -> "Memory":
        """The same bytes in another shape; one entry may be -1."""
        dims = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
        wanted = _whole(dims, self.size)
        return Memory(self._block, self.as_array(wanted), wanted, self.dtype)

    def as_array(self, shape: Shape) -> Any:
        """What kernels take, in another shape."""
        if shape == self.shape:
            return self.array
        return device.machine().reshape(self.array, shape)

    def words(self, dtype: DTypeLike, shape: Shape | None = None) -> Any:
        """What kernels take, of another dtype: the same bytes; of one axis, as many as fill whole
        items (None), or of a shape whose last item may reach beyond the values."""
        kind = np.dtype(dtype)
        wanted = (self.nbytes // kind.itemsize,) if shape is None else shape
        return device.machine().carve(self._block.raw, wanted, kind)

    @property
    def flat(self) -> Any:
        """What kernels take, of one axis."""
        return self.as_array((self.size,))

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise DeviceError("memory of device 'cuda' is no NumPy array; ask a Tensor for .numpy()")

    def __repr__(self) -> str:
        return f"Memory({list(self.shape)}, {self.dtype}, cuda)"


def _whole(shape: Shape, size: int) -> Shape:
    """The shape with its one -1 replaced by what is left over."""
    known = prod(n for n in shape if n != -1)
    open_ends = shape.count(-1)
    whole = shape
    if open_ends == 1 and known > 0:
        whole = tuple(size // known if n == -1 else n for n in shape)
    if prod(whole) != size or min(whole, default=0) < 0:
        raise ValueError(
            f"{size} elements cannot have the shape {list(shape)}: expected one of so many "
            "elements, with at most one -1"
        )
    return whole


_shared: Pool | None = None
#: reentrant: a finalizer may ask for memory inside it
_making = threading.RLock()


def pool() -> Pool:
    """Blocks of the machine that is in use."""
    global _shared
    machine = device.machine()
    found = _shared
    if found is None or found.machine is not machine:
        with _making:
            found = _shared
            if found is None or found.machine is not machine:
                found = _shared = Pool(machine)
    return pool_in_use(found)


def empty(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Memory:
    """Uninitialised memory."""
    dims = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
    kind = np.dtype(dtype)
    block = pool().take(prod(dims) * kind.itemsize)
    return Memory(block, device.machine().carve(block.raw, dims, kind), dims, kind)


def zeros(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Memory:
    """Memory of zeros."""
    memory = empty(shape, dtype)
    fill(memory, 0)
    return memory


def copy_in(array: NDArray[Any]) -> Memory:
    """Memory with the values of a host array."""
    memory = empty(array.shape, array.dtype)
    write(array, memory)
    return memory


def copy_out(memory: Memory) -> NDArray[Any]:
    """A new host array with the values; waits for the device."""
    _transfer("copy_out")
    return device.machine().read(memory.array)


def write(array: NDArray[Any], out: Memory) -> None:
    """out = the values of a host array of its shape, converted on the host."""
    _transfer("write")
    values = np.ascontiguousarray(array).astype(out.dtype, copy=False).reshape(out.shape)
    device.machine().write(values, out.array)


def _transfer(verb: str) -> None:
    if device.is_recording():
        raise DeviceError(
            f"{verb} within a recording: a copy between host and device cannot be part of it; make "
            "it before, into memory that stays"
        )


@kernel()
def _copy(x: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = x[i]
        i += step


@kernel()
def _fill(out: Any, value: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = value
        i += step


def copy(x: Memory, out: Memory) -> None:
    """out = x, converted."""
    launch(_copy, *strided(out.size, device.machine().limits), x.flat, out.flat)


def fill(out: Memory, value: float) -> None:
    """out = value everywhere."""
    limits = device.machine().limits
    launch(_fill, *strided(out.size, limits), out.flat, out.dtype.type(value))


def record(work: Callable[[], None]) -> Callable[[], None]:
    """Write down what `work` launches without running it.

    What is returned runs it, again and again on the same memory. What `work` takes stays reserved
    for as long as that lives; what was there before has to be kept by whoever asks.

    Raises
    ------
    DeviceError : `work` copies between host and device, or records itself.
    """
    if device.is_recording():
        raise DeviceError(
            "a recording within a recording: a device runs one as a whole; record all of it at once"
        )
    own = Pool(device.machine(), parent=pool())
    try:
        with private(own):
            replay = device.machine().record(work)
    except BaseException:
        own.close()
        raise
    weakref.finalize(replay, own.close)
    return replay


def reconsider(kept: dict[str, Any]) -> bool:
    """Whether products with a weight are made in another way from now on, after what was counted
    since the last time."""
    count = kept.get(ways.COUNT)
    if count is None:
        return False
    spikes, entries = map(int, copy_out(count))
    fill(count, 0)
    return ways.decide(kept, spikes, entries)
