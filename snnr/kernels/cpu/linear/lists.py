"""Lists of the surviving weights of a pruned matrix, made in one pass over it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.bits import MASK, active, lowest, population
from snnr.kernels.cpu.parts.events import bits_of
from snnr.kernels.jit import jit
from snnr.kernels.operations import Hints

#: parts that are listed side by side
CHUNKS = 8
#: room for more survivors than the hint promised, before a second pass is needed
MARGIN = 1.2

Float = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Survivors:
    """The nonzero entries of w[K, O], row by row: entries start[k] to start[k] + count[k] of
    `index` (columns, ascending) and `value`; whether all of them are finite."""

    start: NDArray[np.int64]
    count: NDArray[np.int64]
    index: NDArray[np.uint32]
    value: Float
    finite: bool


@jit()
def _mark_row(w: Any, origin: int, columns: int, words: Any) -> int:
    """Bits of the nonzero entries of a row; returns how many there are."""
    n: Any = 0
    whole = columns // MASK
    for b in range(whole):
        bits = active(w, origin + b * MASK)
        words[b] = bits
        n += population(bits)
    if whole < words.shape[0]:
        bits = bits_of(w, origin + whole * MASK, origin + columns)
        words[whole] = bits
        n += population(bits)
    return n


@jit()
def _list_row(w: Any, origin: int, words: Any, n: int, index: Any, value: Any) -> bool:
    """Returns whether all values are finite."""
    finite = True
    for b in range(words.shape[0]):
        bits = words[b]
        while bits:
            o = b * MASK + lowest(bits)
            v = w[origin + o]
            index[n] = o
            value[n] = v
            finite &= v - v == 0
            n += 1
            bits &= bits - np.uint64(1)
    return finite


@jit(parallel=True)
def _list(w: Any, columns: int, words: Any, room: int, start: Any, count: Any, index: Any,
          value: Any, filled: Any, finite: Any) -> None:  # fmt: skip
    """Rows c, c + CHUNKS, ... lie in part c of the lists, `room` entries long: a border of silent
    pixels, say, spreads over all parts.

    A row is marked first, at the speed of memory, and listed from the cache; what finds no room is
    counted only.
    """
    rows = count.shape[0]
    chunks = filled.shape[0]
    for c in prange(chunks):
        n: Any = c * room
        sound = True
        for r in range(c, rows, chunks):
            here = _mark_row(w, r * columns, columns, words[c])
            start[r] = n
            count[r] = here
            if n + here <= (c + 1) * room:
                sound &= _list_row(w, r * columns, words[c], n, index, value)
            n += here
        filled[c] = n - c * room
        finite[c] = sound


def survivors_of(w: Float, connectivity: float) -> Survivors:
    """Lists of w[K, O]; `connectivity` is about the share that is not zero."""
    rows, columns = w.shape
    words = empty((CHUNKS, -(-columns // MASK)), np.uint64)
    start, count = np.empty((2, rows), np.int64)
    filled, finite = np.empty(CHUNKS, np.int64), np.empty(CHUNKS, np.bool_)
    room = int(MARGIN * connectivity * w.size) // CHUNKS + MASK
    while True:
        index, value = empty((CHUNKS * room,), np.uint32), empty((CHUNKS * room,), w.dtype)
        _list(w.reshape(-1), columns, words, room, start, count, index, value, filled, finite)
        if filled.max() <= room:
            return Survivors(start, count, index, value, bool(finite.all()))
        room = int(filled.max())


def survivors_for(w: Float, hints: Hints) -> Survivors:
    """Lists of w, a matrix or a kernel by its last axis; made once for as long as they hold.

    They are made anew for every version of the weights rather than mended: all values that are left
    change in a training step, and must be fetched anyway.
    """
    kept = hints.call.get("survivors")
    if kept is None and hints.weight is not None:
        version, kept = hints.weight.get("survivors", (None, None))
        kept = kept if version == hints.version else None
    if kept is None:
        kept = survivors_of(w.reshape(-1, w.shape[-1]), hints.connectivity)
        if hints.weight is not None:
            hints.weight["survivors"] = hints.version, kept
    hints.call["survivors"] = kept
    made: Survivors = kept
    return made
