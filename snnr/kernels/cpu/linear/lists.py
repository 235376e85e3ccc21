"""Lists of the surviving weights of a pruned matrix, made in one pass over it.

They are kept with the weight for as long as its connections are the same ones; of other values only
those that are listed are fetched again.
"""

from dataclasses import dataclass
from math import prod
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
CHUNKS = 16
#: parts of the rows that are worked on side by side: every so manyeth row
TASKS = 64
#: room for more survivors than the hint promised, before a second pass is needed
MARGIN = 1.2

Float = NDArray[np.floating[Any]]


@dataclass(slots=True, eq=False)
class Survivors:
    """The nonzero entries of w[K, O], row by row: entries start[k] to start[k] + count[k] of
    `index` (columns, ascending) and `value`; whether all of them are finite. What lies between the
    lists is undefined.

    total : how many there are.
    pattern, version : of which connections and of which values they are, as in `Hints`.
    """

    start: NDArray[np.int64]
    count: NDArray[np.int64]
    index: NDArray[np.uint32]
    value: Float
    finite: bool
    total: int
    pattern: int = 0
    version: int = 0


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
            sound, total = bool(finite.all()), int(filled.sum())
            return Survivors(start, count, index, value, sound, total)
        room = int(filled.max())


@jit()
def _fetch_row(w: Any, origin: int, index: Any, value: Any) -> bool:
    """Returns whether all values are finite."""
    finite = True
    for e in range(index.shape[0]):
        v = w[origin + np.intp(index[e])]
        value[e] = v
        finite &= v - v == 0
    return finite


@jit(parallel=True)
def _fetch(w: Any, columns: int, start: Any, count: Any, index: Any, value: Any,
           finite: Any) -> None:  # fmt: skip
    for task in prange(finite.shape[0]):
        sound = True
        for k in range(task, start.shape[0], finite.shape[0]):
            e0 = start[k]
            e1 = e0 + count[k]
            sound &= _fetch_row(w, k * columns, index[e0:e1], value[e0:e1])
        finite[task] = sound


def values_at(w: Float, lists: Survivors, value: Float) -> bool:
    """value[e] = w[k, o] for every survivor (k, o) of the lists; whether all of them are finite."""
    finite = np.empty(TASKS, np.bool_)
    _fetch(
        w.reshape(-1), w.shape[-1], lists.start, lists.count, lists.index, value, finite
    )
    return bool(finite.all())


def _pattern(hints: Hints) -> int:
    return hints.version if hints.pattern is None else hints.pattern


def kept_survivors(hints: Hints) -> Survivors | None:
    """The lists that are kept with the weight, if its connections are still those; their values may
    be others."""
    kept: Survivors | None = hints.weight.get("survivors") if hints.weight is not None else None
    return kept if kept is not None and kept.pattern == _pattern(hints) else None


def survivors_for(w: Float, hints: Hints) -> Survivors:
    """Lists of w, a matrix or a kernel by its last axis; made once for as long as they hold."""
    lists: Survivors | None = hints.call.get("survivors")
    if lists is not None:
        return lists
    lists = kept_survivors(hints)
    if lists is None:
        lists = survivors_of(w.reshape(prod(w.shape[:-1]), w.shape[-1]), hints.connectivity)
        lists.pattern, lists.version = _pattern(hints), hints.version
        if hints.weight is not None:
            hints.weight["survivors"] = lists
    elif lists.version != hints.version:
        lists.finite = values_at(w, lists, lists.value)
        lists.version = hints.version
    hints.call["survivors"] = lists
    return lists
