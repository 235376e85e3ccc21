"""Blocks of device memory that are used again, so that a training step in steady state asks the
driver for none.

A block is one of eight sizes per power of two. It comes back when the last array cut from it is
gone. All launches run one after the other on one stream: who gets a block next launches later than
whoever had it, so that nothing has to be waited for.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from snnr.errors import DeviceError
from snnr.kernels.cuda.device import Machine, OutOfMemory

_LEAST = 512


def size_class(nbytes: int) -> int:
    """Round up to one of eight sizes per power of two, so that near sizes share blocks."""
    step = max(_LEAST, 1 << max(0, nbytes.bit_length() - 4))
    return max(1, -(-nbytes // step)) * step


class Block:
    """A piece of device memory, owned by the arrays that refer to it."""

    __slots__ = ("_pool", "raw", "size")

    def __init__(self, raw: Any, size: int, pool: "Pool") -> None:
        self.raw = raw
        self.size = size
        self._pool = pool

    def __del__(self) -> None:
        # may run at any moment and in any thread, also while the pool is in use: no lock here
        self._pool.returned.append((self.size, self.raw))


class Pool:
    """Free blocks by size.

    parent : where a pool of a recording gets its blocks from, and leaves them when it is closed.
    """

    def __init__(self, machine: Machine, parent: "Pool | None" = None) -> None:
        self.returned: deque[tuple[int, Any]] = deque()
        self._machine = machine
        self._parent = parent
        self._free: dict[int, list[Any]] = {}
        self._lock = threading.Lock()
        #: bytes that the driver gave
        self.held = 0

    def take(self, nbytes: int) -> Block:
        """A block of at least so many bytes.

        Raises
        ------
        DeviceError : the card has not that much, even after unused blocks were given back.
        """
        size = size_class(nbytes)
        return Block(self._raw(size), size, self)

    def _raw(self, size: int) -> Any:
        with self._lock:
            self._collect()
            free = self._free.get(size)
            if free:
                return free.pop()
        if self._parent is not None:
            return self._parent._raw(size)
        try:
            raw = self._machine.allocate(size)
        except OutOfMemory:
            self.trim()
            raw = self._last_try(size)
        with self._lock:
            self.held += size
        return raw

    def _last_try(self, size: int) -> Any:
        try:
            return self._machine.allocate(size)
        except OutOfMemory:
            free, total = self._machine.room()
            raise DeviceError(
                f"out of device memory: {_mib(size)} are needed at once, {_mib(free)} of "
                f"{_mib(total)} are free and snnr holds {_mib(self.held)}; use a smaller batch "
                "(--batch-size), fewer time steps (-T), or a larger card"
            ) from None

    def _collect(self) -> None:
        while self.returned:
            size, raw = self.returned.popleft()
            self._free.setdefault(size, []).append(raw)

    def free(self) -> int:
        """Bytes in blocks that nobody uses."""
        with self._lock:
            self._collect()
            return sum(size * len(blocks) for size, blocks in self._free.items())

    def trim(self) -> int:
        """Give unused blocks back to the driver; returns how many bytes."""
        with self._lock:
            self._collect()
            freed = sum(size * len(blocks) for size, blocks in self._free.items())
            self._free.clear()
            self.held -= freed
        return freed

    def close(self) -> None:
        """Leave all blocks to the parent, those that are still in use when they come back."""
        assert self._parent is not None
        with self._lock:
            self._collect()
            for size, blocks in self._free.items():
                self._parent.returned.extend((size, raw) for raw in blocks)
            self._free.clear()
            # blocks that live on name this pool as theirs
            self.returned = self._parent.returned


_private: ContextVar[Pool | None] = ContextVar("pool of a recording", default=None)


def pool_in_use(shared: Pool) -> Pool:
    """The pool of the recording of this context, or the shared one."""
    return _private.get() or shared


@contextmanager
def private(pool: Pool) -> Iterator[None]:
    """Take blocks from `pool` within: what a recording used is not given to anybody else."""
    token = _private.set(pool)
    try:
        yield
    finally:
        _private.reset(token)


def _mib(nbytes: int) -> str:
    return f"{nbytes / (1 << 20):,.1f} MiB"
