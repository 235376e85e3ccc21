"""Numba's simulator without its waiting.

It gives every thread of a kernel one of the system's and polls them, which takes most of its time.
Here the threads of a block take turns, from one barrier to the next, in the order of their numbers;
and where a kernel has no barrier they are calls, one after the other.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator.kernelapi import Dim3


def _called(function: FunctionType) -> Iterator[Any]:
    """What a function may call by a name of its file or of where it was made."""
    for name in function.__code__.co_names:
        yield function.__globals__.get(name)
    for cell in function.__closure__ or ():
        yield cell.cell_contents


def has_barrier(function: FunctionType, seen: set[FunctionType] | None = None) -> bool:
    """Whether it, or a function that it calls, waits for other threads of its block."""
    seen = set() if seen is None else seen
    seen.add(function)
    if any(name.startswith("syncthreads") for name in function.__code__.co_names):
        return True
    inside = (getattr(one, "fn", None) for one in _called(function))
    return any(has_barrier(one, seen) for one in inside if one is not None and one not in seen)


class _Turn(simulator.BlockThread):
    """A thread that runs only when it is its turn."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.turn = threading.Semaphore(0)
        self.ended = False

    def run(self) -> None:
        self.turn.acquire()
        if not self.abort:
            super().run()
        self.ended = True
        self._manager.handed_back.release()

    def syncthreads(self) -> None:
        self._manager.handed_back.release()
        self.turn.acquire()
        if self.abort:
            raise RuntimeError("another thread of the block has failed")


class Blocks(simulator.BlockManager):
    """Runs the threads of one block."""

    def run(self, grid_point: tuple[int, ...], *arguments: Any) -> None:
        if has_barrier(self._f):
            self._in_turns(grid_point, arguments)
        else:
            self._one_by_one(grid_point, arguments)

    def _one_by_one(self, grid_point: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        me: Any = threading.current_thread()
        me.blockIdx = Dim3(*grid_point)
        try:
            for point in np.ndindex(*self._block_dim):
                me.threadIdx = Dim3(*point)
                self._f(*arguments)
        except Exception as error:
            error.add_note(f"in thread {point} of block {grid_point}")
            raise
        finally:
            del me.blockIdx, me.threadIdx

    def _in_turns(self, grid_point: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.handed_back = threading.Semaphore(0)
        waiting = [
            _Turn(lambda: self._f(*arguments), self, grid_point, point, self._debug)
            for point in np.ndindex(*self._block_dim)
        ]
        for thread in waiting:
            thread.start()
        failed = None
        while waiting:
            for thread in waiting:
                thread.abort = failed is not None
                thread.turn.release()
                self.handed_back.acquire()
                failed = failed or thread.exception
            waiting = [thread for thread in waiting if not thread.ended]
        if failed is not None:
            raise failed[0].with_traceback(failed[1])


@contextmanager
def quick_simulator() -> Iterator[None]:
    """Within, kernels run so."""
    slow = simulator.BlockManager
    simulator.BlockManager = Blocks
    try:
        yield
    finally:
        simulator.BlockManager = slow
