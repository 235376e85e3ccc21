"""Blocks of device memory that are used again, so that a training step in steady state asks the
driver for none.

A block is one of eight sizes per power of two. It comes back when the last array cut from it is
gone. All launches run one after the other on one stream: who gets a block next launches later than
whoever had it, so that nothing has to be waited for.

Python may collect garbage at any moment and in any thread, also in the middle of what is written
here. What comes back is therefore only noted down, in a queue whose append is atomic, and sorted in
by whoever asks for a block next.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from snnr.errors import DeviceError
from snnr.kernels import threads
from snnr.kernels.cuda.device import Machine, OutOfMemory

_LEAST = 512
#: no machine has so much; it would not fit into the driver's argument
_MOST = 1 << 62


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
        self._pool.returned.append((self._pool, self.size, self.raw))


class Pool:
    """Free blocks by size.

    parent : what a pool of a recording gets its blocks from, and leaves them to when it is closed;
        it has no parent itself.
    """

    def __init__(self, machine: Machine, parent: "Pool | None" = None) -> None:
        self.machine = machine
        self._parent = parent
        self._free: dict[int, list[Any]] = {}
        self._closed = False
        # The collector runs what waits for the end of a piece of garbage before it asks the
        # garbage's __del__ whether it is to live on: the driver's memory would be gone when a block
        # in a cycle comes back. So whatever the machine gave is never garbage.
        self._given: dict[int, Any] = {}
        #: bytes that the driver gave
        self.held = 0
        #: pool, size and block that came back; without a block, the pool is to be closed
        self.returned: deque[tuple[Pool, int, Any]] = parent.returned if parent else deque()
        # reentrant: a finalizer of somebody else's may ask for a block inside it
        self._lock: Any = parent._lock if parent else threading.RLock()
        if parent is None:
            threads.hold_over_fork(self._lock)

    def take(self, nbytes: int) -> Block:
        """A block of at least so many bytes.

        Raises
        ------
        DeviceError : the card has not that much, even after unused blocks were given back.
        """
        size = size_class(nbytes)
        raw = self._reuse(size)
        if raw is None:
            raw = (self._parent or self)._ask(size)
        return Block(raw, size, self)

    def _reuse(self, size: int) -> Any:
        """A free block of that size, of this pool first, or None."""
        with self._lock:
            self._sort_in()
            for pool in (self, self._parent):
                with suppress(KeyError, IndexError):
                    if pool is not None:
                        return pool._free[size].pop()
        return None

    def _ask(self, size: int) -> Any:
        """A new block of the machine's."""
        try:
            raw = self._allocate(size)
        except OutOfMemory:
            self.trim()
            raw = self._last_try(size)
        with self._lock:
            self._given[id(raw)] = raw
            self.held += size
        return raw

    def _allocate(self, size: int) -> Any:
        if size > _MOST:
            raise OutOfMemory
        return self.machine.allocate(size)

    def _last_try(self, size: int) -> Any:
        try:
            return self._allocate(size)
        except OutOfMemory:
            free, total = self.machine.room()
            raise DeviceError(
                f"out of device memory: {_mib(size)} are needed at once, {_mib(free)} of "
                f"{_mib(total)} are free and snnr holds {_mib(self.held)}; use a smaller batch "
                "(--batch-size), fewer time steps (-T), or a larger card"
            ) from None

    def _sort_in(self) -> None:
        while True:
            try:
                pool, size, raw = self.returned.popleft()
            except IndexError:
                return
            if raw is None:
                pool._leave_all()
                continue
            owner = pool._parent if pool._closed and pool._parent else pool
            owner._free.setdefault(size, []).append(raw)

    def _leave_all(self) -> None:
        assert self._parent is not None
        self._closed = True
        left, self._free = self._free, {}
        for size, blocks in left.items():
            self._parent._free.setdefault(size, []).extend(blocks)

    def free(self) -> int:
        """Bytes in blocks that nobody uses."""
        with self._lock:
            self._sort_in()
            return sum(size * len(blocks) for size, blocks in self._free.items())

    def trim(self) -> int:
        """Give unused blocks back to the driver; returns how many bytes."""
        assert self._parent is None, "what a recording has used may be needed again"
        with self._lock:
            self._sort_in()
            unused, self._free = self._free, {}
            freed = sum(size * len(blocks) for size, blocks in unused.items())
            self.held -= freed
            for blocks in unused.values():
                for raw in blocks:
                    del self._given[id(raw)]
        return freed

    def close(self) -> None:
        """Leave all blocks to the parent; those that are still in use when they come back."""
        self.returned.append((self, 0, None))


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
