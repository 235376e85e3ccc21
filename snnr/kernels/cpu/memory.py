"""Reuse of large arrays: a training step in steady state allocates nothing large.

`empty` hands out 64-byte aligned arrays cut from blocks that are kept for ever after. A block is
free again when no array cut from it is alive any more, which its reference count tells: numpy
makes every view of a view refer to the block itself.
"""

import contextlib
import mmap
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from snnr.kernels import threads
from snnr.kernels.operations import Packed

#: below this the C library reuses memory well by itself
_SMALL = 1 << 16
_ALIGN = 64
_HUGE = 1 << 21
_pool: dict[int, list[NDArray[np.uint8]]] = {}
_lock = threading.RLock()  # a signal handler that forks may interrupt its owner
threads.hold_over_fork(_lock)


def _measure_idle_count() -> int:
    holder = [np.empty(1, np.uint8)]
    for block in holder:
        return sys.getrefcount(block)
    raise AssertionError  # pragma: no cover


#: reference count of a block that only the pool holds, seen from a loop over the pool
_IDLE = _measure_idle_count()


def _allocate(nbytes: int) -> NDArray[np.uint8]:
    """Memory of a block, on huge pages where the system offers them: kernels stride through it."""
    if nbytes < _HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(nbytes, np.uint8)
    # private: shared memory, which mmap makes unless told otherwise, is one with forked processes
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, -(-nbytes // _HUGE) * _HUGE, flags=flags)
    # a kernel without huge pages refuses the advice
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def _size_class(nbytes: int) -> int:
    """Round up to one of eight sizes per power of two, so that near sizes share blocks."""
    step = max(_ALIGN, 1 << max(0, nbytes.bit_length() - 4))
    return -(-nbytes // step) * step


def empty(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Uninitialised C-contiguous array, 64-byte aligned, from a reused block when it is large."""
    kind = np.dtype(dtype)
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    nbytes = kind.itemsize
    for n in dims:
        nbytes *= n
    if nbytes <= _SMALL:
        return np.empty(dims, kind)
    size = _size_class(nbytes)
    with _lock:
        blocks = _pool.setdefault(size, [])
        for block in blocks:
            if sys.getrefcount(block) == _IDLE:
                break
        else:
            block = _allocate(size + _ALIGN)
            blocks.append(block)
        start = -block.ctypes.data % _ALIGN
        return block[start : start + nbytes].view(kind).reshape(dims)


def zeros(shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """As `empty`, filled with zeros."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def copy_in(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if it is contiguous, else a contiguous copy."""
    if array.flags.c_contiguous:
        return array
    memory = empty(array.shape, array.dtype)
    np.copyto(memory, array)
    return memory


def copy_out(memory: NDArray[Any]) -> NDArray[Any]:
    """The memory itself."""
    return memory


def write(array: NDArray[Any], out: NDArray[Any]) -> None:
    """out = the values of a host array, converted."""
    np.copyto(out, array, casting="unsafe")


def copy(x: NDArray[Any] | Packed, out: NDArray[Any]) -> None:
    """out = x, converted; what is packed, as a whole."""
    if not isinstance(x, Packed):
        np.copyto(out, x, casting="unsafe")
        return
    out.fill(0)
    # once in a while, when somebody looks
    lists = x.pattern
    first = np.cumsum(lists.count) - lists.count
    entries = np.arange(lists.total) + np.repeat(lists.start - first, lists.count)
    rows = np.repeat(np.arange(lists.count.size), lists.count)
    out.reshape(-1)[rows * x.shape[-1] + lists.index[entries]] = x.values[entries]


def fill(out: NDArray[Any], value: float) -> None:
    """out = value everywhere."""
    out.fill(value)


def record(work: Callable[[], None]) -> Callable[[], None] | None:
    """None: nothing is gained."""
    return None


def reconsider(kept: dict[str, Any]) -> bool:
    """Each call chooses by what it finds: False."""
    return False


def trim() -> int:
    """Give blocks that nobody uses back to the system; returns the number of bytes freed."""
    freed = 0
    with _lock:
        for size, blocks in list(_pool.items()):
            kept = []
            while blocks:
                block = blocks.pop()
                # popped: one reference fewer than inside the pool
                if sys.getrefcount(block) < _IDLE:
                    freed += size
                else:
                    kept.append(block)
            _pool[size] = kept
    return freed


def held() -> int:
    """Bytes in all blocks, in use or not."""
    with _lock:
        return sum(size * len(blocks) for size, blocks in _pool.items())
