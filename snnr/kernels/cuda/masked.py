"""Weights of which few are there: a connection is what is not 0.

`keep_largest` and `grow_largest`, which are called between two steps, read a table of counts on the
host for every digit, so that they cannot be recorded; the others are launches and nothing else.
"""

from typing import Any

import numpy as np

from snnr.kernels import rules
from snnr.kernels.backend import digit
from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, function, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory, copy_out, fill, zeros
from snnr.kernels.cuda.parts.random import philox
from snnr.kernels.cuda.parts.reduce import THREADS
from snnr.kernels.cuda.parts.tally import forget, tally
from snnr.kernels.cuda.parts.walk import places
from snnr.kernels.operations import Hints

_ONE = np.uint64(1)
_DIGIT = np.uint64(16)
_LOW = np.uint64(0xFFFF)
#: bits of a place, three digits
_PLACE = 48

_moment1 = function(rules.moment1)
_moment2 = function(rules.moment2)
_adam_delta = function(rules.adam_delta)
_connected = function(rules.connected)
_place = function(rules.place)


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _step(w: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any, rest1: Any, beta2: Any,
          rest2: Any, eps: Any, tiny: Any, counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    alive = np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        before = w[i]
        if before != 0:
            mi = _moment1(m[i], g[i], beta1, rest1)
            vi = _moment2(v[i], g[i], beta2, rest2)
            m[i] = mi
            v[i] = vi
            after = before - _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
            w[i] = _connected(before, after, tiny)
            alive += np.int32(1)
        i += step
    tally(alive, np.int32(0), np.int32(0), counts)


def masked_adam_step(
    w: Memory,
    g: Memory,
    m: Memory,
    v: Memory,
    rates: Memory,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: Memory,
    hints: Hints | None = None,
) -> None:
    """Adam of the connections, in place; none of them becomes 0."""
    kind = w.dtype.type
    numbers = (beta1, 1 - beta1, beta2, 1 - beta2, eps, rules.TINY)
    launch(forget, 1, 1, counts.array)
    launch(
        _step, *_elements(w.size), w.flat, g.flat, m.flat, v.flat, rates.array, row,
        *map(kind, numbers), counts.array,
    )  # fmt: skip


@kernel()
def _forget(w: Any, m: Any, v: Any) -> None:
    i, step, end = places(w.shape[0])
    while i < end:
        if w[i] == 0:
            m[i] = 0
            v[i] = 0
        i += step


def forget_absent(w: Memory, m: Memory, v: Memory) -> None:
    """m = v = 0 where w is 0."""
    launch(_forget, *_elements(w.size), w.flat, m.flat, v.flat)


@kernel()
def _replace(w: Any, values: Any, tiny: Any) -> None:
    i, step, end = places(w.shape[0])
    while i < end:
        if w[i] != 0:
            w[i] = _connected(w[i], values[i], tiny)
        i += step


def replace_connected(w: Memory, values: Memory) -> None:
    """w = values where w is not 0, or TINY with the sign of w where values is 0."""
    tiny = w.dtype.type(rules.TINY)
    launch(_replace, *_elements(w.size), w.flat, values.flat, tiny)


# The largest magnitudes are found digit by digit, of 16 bits: a float without its sign and the
# number that its bits are have one order, with NaN above all. Inverted, the largest come first.


@function
def _inverted(bits: Any, magnitude: Any) -> Any:
    return (np.uint64(bits) & magnitude) ^ magnitude


@function
def _candidate(absent: Any, i: Any, magnitude: Any, among_absent: Any) -> Any:
    return not among_absent or np.uint64(absent[i]) & magnitude == np.uint64(0)


@kernel()
def _digits(bits: Any, absent: Any, among_absent: Any, magnitude: Any, shift: Any, prefix: Any,
            bins: Any) -> None:  # fmt: skip
    """Adds the candidates whose digits above are the prefix to bins[digit]."""
    i, step, end = places(bits.shape[0])
    while i < end:
        if _candidate(absent, i, magnitude, among_absent):
            value = _inverted(bits[i], magnitude) >> shift
            if value >> _DIGIT == prefix:
                cuda.atomic.add(bins, value & _LOW, 1)
        i += step


@kernel()
def _digits_of_places(bits: Any, absent: Any, among_absent: Any, magnitude: Any, threshold: Any,
                      shift: Any, prefix: Any, bins: Any) -> None:  # fmt: skip
    """The same with the place in memory, of candidates that equal the threshold."""
    i, step, end = places(bits.shape[0])
    while i < end:
        equal = _inverted(bits[i], magnitude) == threshold
        if equal and _candidate(absent, i, magnitude, among_absent):
            value = i >> shift
            if value >> _DIGIT == prefix:
                cuda.atomic.add(bins, value & _LOW, 1)
        i += step


def _bits(x: Memory) -> tuple[Any, np.uint64, int]:
    """The bits of the entries, those of a magnitude, and how many there are."""
    width = 8 * x.dtype.itemsize
    return x.words(f"u{x.dtype.itemsize}"), np.uint64((1 << (width - 1)) - 1), width


def count_magnitudes(w: Memory, level: int, prefix: int, bins: Memory) -> None:
    """bins[d] = entries whose digits are those of the prefix, and then d."""
    bits, magnitude, width = _bits(w)
    fill(bins, 0)
    shift = np.uint64(width - 16 * (level + 1))
    launch(
        _digits, *_elements(w.size), bits, bits, False, magnitude, shift, np.uint64(prefix),
        bins.array,
    )  # fmt: skip


def _threshold(x: Memory, rank: int, among_absent: Memory | None) -> tuple[np.uint64, np.uint64]:
    """The inverted magnitude of this rank, and the place before which those that equal it are
    chosen."""
    bits, magnitude, width = _bits(x)
    absent = bits if among_absent is None else _bits(among_absent)[0]
    chosen = (bits, absent, among_absent is not None, magnitude)
    size = _elements(x.size)
    threshold, ties = 0, 0
    for shift in range(width - 16, -1, -16):
        bins = zeros(1 << 16, np.int64)
        launch(_digits, *size, *chosen, np.uint64(shift), np.uint64(threshold), bins.array)
        table = copy_out(bins)
        found, rank = digit(table, rank)
        threshold, ties = threshold << 16 | found, int(table[found])
    if rank == ties:
        return np.uint64(threshold), np.uint64(x.size)
    last = 0
    for shift in range(_PLACE - 16, -1, -16):
        bins = zeros(1 << 16, np.int64)
        launch(
            _digits_of_places, *size, *chosen, np.uint64(threshold), np.uint64(shift),
            np.uint64(last), bins.array,
        )  # fmt: skip
        found, rank = digit(copy_out(bins), rank)
        last = last << 16 | found
    return np.uint64(threshold), np.uint64(last + 1)


@kernel()
def _cut(w: Any, bits: Any, magnitude: Any, threshold: Any, stop: Any, counts: Any) -> None:
    """0 where the inverted magnitude is above the threshold, or equals it from `stop` on."""
    alive, pruned = np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        value = _inverted(bits[i], magnitude)
        before = value != magnitude
        if value > threshold or (value == threshold and i >= stop):
            w[i] = 0
            pruned += np.int32(before)
        else:
            alive += np.int32(before)
        i += step
    tally(alive, pruned, np.int32(0), counts)


def keep_largest(w: Memory, keep: int, counts: Memory) -> None:
    """w = 0 but for the `keep` entries of the largest |w|."""
    bits, magnitude, _ = _bits(w)
    if keep >= w.size:
        threshold, stop = magnitude, np.uint64(w.size)
    elif keep == 0:
        threshold, stop = np.uint64(0), np.uint64(0)  # of the largest that there is, none
    else:
        threshold, stop = _threshold(w, keep, None)
    launch(forget, 1, 1, counts.array)
    launch(_cut, *_elements(w.size), w.flat, bits, magnitude, threshold, stop, counts.array)


@kernel()
def _grow_random(w: Any, total: Any, key: Any, rates: Any, row: Any, sign: Any, signed: Any,
                 tiny: Any, counts: Any) -> None:  # fmt: skip
    """One block: each thread makes a draw, of which those count that found a 0, each place once,
    in the order of their numbers."""
    drawn = cuda.shared.array(THREADS, np.int64)
    size, t, threads = np.uint64(w.shape[0]), cuda.threadIdx.x, cuda.blockDim.x
    high_counter = np.uint64(rates[row, 2])
    wanted = max(total - counts[0], 0)
    left, first = wanted, 0
    while left > 0:
        draw = first + t
        w0, w1, w2, w3 = philox(np.uint64(draw // 2), high_counter, key)
        high, low = (w2, w3) if draw % 2 else (w0, w1)
        place = np.int64(_place(high, low, size))
        mine = place if w[place] == 0 else np.int64(-1)
        drawn[t] = mine
        cuda.syncthreads()
        if mine >= 0:
            for k in range(t):
                if drawn[k] == place:
                    mine = np.int64(-1)
        cuda.syncthreads()
        drawn[t] = mine
        cuda.syncthreads()
        before, found = 0, 0
        for k in range(threads):
            here = np.int64(drawn[k] >= 0)
            found += here
            before += here if k < t else 0
        if mine >= 0 and before < left:
            up = sign[place] > 0 if signed else low & _ONE == _ONE
            w[place] = tiny if up else -tiny
        left -= min(found, left)
        first += threads
        cuda.syncthreads()
    if t == 0:
        counts[0] += wanted
        counts[2] += wanted


def grow_random(
    w: Memory,
    total: int,
    key: int,
    rates: Memory,
    row: int,
    counts: Memory,
    sign: Memory | None = None,
) -> None:
    """Draw after draw, entries that are 0 become TINY, until counts[0] is `total`."""
    signs = counts.array if sign is None else sign.flat
    launch(
        _grow_random, 1, device.machine().limits.threads, w.flat, total, np.uint64(key),
        rates.array, row, signs, sign is not None, w.dtype.type(rules.TINY), counts.array,
    )  # fmt: skip


@kernel()
def _grow(w: Any, g: Any, bits: Any, magnitude: Any, threshold: Any, stop: Any, tiny: Any,
          wanted: Any, counts: Any) -> None:  # fmt: skip
    i, step, end = places(w.shape[0])
    while i < end:
        if w[i] == 0:
            value = _inverted(bits[i], magnitude)
            if value < threshold or (value == threshold and i < stop):
                w[i] = -tiny if g[i] > 0 else tiny
        i += step
    if cuda.grid(1) == 0:
        counts[0] += wanted
        counts[2] += wanted


def grow_largest(w: Memory, g: Memory, total: int, counts: Memory) -> None:
    """The entries that are 0 with the largest |g| become TINY, against the sign of g."""
    wanted = total - int(copy_out(counts)[0])
    if wanted <= 0:
        return
    bits, magnitude, _ = _bits(g)
    threshold, stop = _threshold(g, wanted, w)
    launch(
        _grow, *_elements(w.size), w.flat, g.flat, bits, magnitude, threshold, stop,
        w.dtype.type(rules.TINY), wanted, counts.array,
    )  # fmt: skip
