"""Weights of which few are there, on the CPU: a connection is what is not 0.

The step is made by all cores. Selections are rare, between two steps: one core goes through memory
a few times, which is less than sorting.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.kernels.backend import digit
from snnr.kernels.cpu.linear.lists import TASKS, kept_survivors
from snnr.kernels.cpu.memory import copy, empty
from snnr.kernels.cpu.parts.random import philox
from snnr.kernels.cpu.parts.tally import BLOCK, partial, record, typed
from snnr.kernels.cpu.parts.vector import prefetch
from snnr.kernels.jit import jit
from snnr.kernels.operations import Hints, Packed

#: connections of a row that are fetched while the row before it is worked on
AHEAD = 32

Float = NDArray[np.floating[Any]]
_DIGIT = np.uint64(16)
_LOW = np.uint64(0xFFFF)

_moment1 = jit()(rules.moment1)
_moment2 = jit()(rules.moment2)
_adam_delta = jit()(rules.adam_delta)
_connected = jit()(rules.connected)
_place = jit(forceinline=True)(rules.place)


@jit()
def _step_block(w: Any, g: Any, m: Any, v: Any, constants: Any, counts: Any) -> None:
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps, tiny = constants
    alive = np.int32(0)
    for i in range(w.shape[0]):
        alive = np.int32(alive + np.int32(w[i] != 0))
    if alive == w.shape[0]:
        # without a branch it vectorises
        for i in range(w.shape[0]):
            mi = _moment1(m[i], g[i], beta1, rest1)
            vi = _moment2(v[i], g[i], beta2, rest2)
            m[i] = mi
            v[i] = vi
            delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
            w[i] = _connected(w[i], w[i] - delta, tiny)
    elif alive > 0:
        for i in range(w.shape[0]):
            if w[i] != 0:
                mi = _moment1(m[i], g[i], beta1, rest1)
                vi = _moment2(v[i], g[i], beta2, rest2)
                m[i] = mi
                v[i] = vi
                delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
                w[i] = _connected(w[i], w[i] - delta, tiny)
    counts[0], counts[1], counts[2] = alive, np.int32(0), np.int32(0)


@jit(parallel=True)
def _step(w: Any, g: Any, m: Any, v: Any, constants: Any, counts: Any) -> None:
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _step_block(w[i:j], g[i:j], m[i:j], v[i:j], constants, counts[block])


@jit()
def _listed_row(w: Any, g: Any, packed: bool, m: Any, v: Any, constants: Any, origin: int,
                first: int, last: int, index: Any, value: Any) -> bool:  # fmt: skip
    """The step of the connections of a row, whose values in the list follow; whether all of them
    are finite."""
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps, tiny = constants
    finite = True
    for e in range(first, last):
        i = origin + np.intp(index[e])
        gradient = g[e] if packed else g[i]
        mi = _moment1(m[i], gradient, beta1, rest1)
        vi = _moment2(v[i], gradient, beta2, rest2)
        m[i] = mi
        v[i] = vi
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        wi = _connected(w[i], w[i] - delta, tiny)
        w[i] = wi
        value[e] = wi
        finite &= wi - wi == 0
    return finite


@jit()
def _fetch_row(w: Any, m: Any, v: Any, origin: int, first: int, last: int, index: Any) -> None:
    """Have the first connections of a row fetched, which lie far apart."""
    for e in range(first, min(last, first + AHEAD)):
        i = origin + np.intp(index[e])
        prefetch(w, i)
        prefetch(m, i)
        prefetch(v, i)


@jit(parallel=True)
def _listed_step(w: Any, g: Any, packed: bool, m: Any, v: Any, constants: Any, columns: int,
                 start: Any, count: Any, index: Any, value: Any, finite: Any) -> None:  # fmt: skip
    for task in prange(finite.shape[0]):
        sound = True
        for k in range(task, start.shape[0], finite.shape[0]):
            following = k + finite.shape[0]
            if following < start.shape[0]:
                _fetch_row(
                    w, m, v, following * columns, start[following],
                    start[following] + count[following], index,
                )  # fmt: skip
            sound &= _listed_row(
                w, g, packed, m, v, constants, k * columns, start[k], start[k] + count[k], index,
                value,
            )  # fmt: skip
        finite[task] = sound


def masked_adam_step(
    w: Float,
    g: Float | Packed,
    m: Float,
    v: Float,
    rates: NDArray[np.float64],
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: NDArray[np.int64],
    hints: Hints | None = None,
) -> None:
    """Adam of the connections, in place; none of them becomes 0. Where they are listed, nothing
    else is looked at, and the lists follow."""
    step_size, inv_sqrt_c2 = rates[row, :2].tolist()
    constants = typed(
        w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps, rules.TINY
    )
    flat, first, second = w.reshape(-1), m.reshape(-1), v.reshape(-1)
    lists = kept_survivors(hints) if hints else None
    if isinstance(g, Packed) and g.pattern is not lists:
        # the connections are others by now, or may be
        whole = empty(g.shape, g.dtype)
        copy(g, whole)
        g = whole
    if hints and lists is not None:
        finite = np.empty(TASKS, np.bool_)
        packed = isinstance(g, Packed)
        _listed_step(
            flat, g.values if isinstance(g, Packed) else g.reshape(-1), packed, first, second,
            constants, w.shape[-1], lists.start, lists.count, lists.index, lists.value, finite,
        )  # fmt: skip
        lists.finite, lists.version = bool(finite.all()), hints.version
        counts[0] = lists.total
        return
    assert not isinstance(g, Packed)
    blocks = partial(w.size)
    _step(flat, g.reshape(-1), first, second, constants, blocks)
    record(blocks, counts)


@jit(parallel=True)
def _forget(w: Any, m: Any, v: Any) -> None:
    for i in prange(w.shape[0]):
        if w[i] == 0:
            m[i] = 0
            v[i] = 0


def forget_absent(w: Float, m: Float, v: Float) -> None:
    """m = v = 0 where w is 0."""
    _forget(w.reshape(-1), m.reshape(-1), v.reshape(-1))


@jit(parallel=True)
def _replace(w: Any, values: Any, tiny: Any) -> None:
    for i in prange(w.shape[0]):
        if w[i] != 0:
            w[i] = _connected(w[i], values[i], tiny)


def replace_connected(w: Float, values: Float) -> None:
    """w = values where w is not 0, or TINY with the sign of w where values is 0."""
    _replace(w.reshape(-1), values.reshape(-1), w.dtype.type(rules.TINY))


# The largest magnitudes are found digit by digit, of 16 bits: a float without its sign and the
# number that its bits are have one order, with NaN above all.


@jit()
def _digits(bits: Any, absent: Any, magnitude: Any, shift: Any, prefix: Any, bins: Any) -> None:
    """Adds the entries (with absent, those of them that are 0 there) whose digits above begin with
    the prefix to bins[digit]; an entry is inverted, so that large ones come first."""
    for i in range(bits.shape[0]):
        if absent is None or np.uint64(absent[i]) & magnitude == 0:
            value = (np.uint64(bits[i]) & magnitude ^ magnitude) >> shift
            if value >> _DIGIT == prefix:
                bins[value & _LOW] += 1


def _bits(x: Float) -> tuple[Any, np.uint64, int]:
    """The bits of the entries, those of a magnitude, and how many there are."""
    width = 8 * x.dtype.itemsize
    return x.reshape(-1).view(f"u{x.dtype.itemsize}"), np.uint64((1 << (width - 1)) - 1), width


def count_magnitudes(w: Float, level: int, prefix: int, bins: NDArray[np.int64]) -> None:
    """bins[d] = entries whose digits are those of the prefix, and then d."""
    bits, magnitude, width = _bits(w)
    bins.fill(0)
    shift = np.uint64(width - 16 * (level + 1))
    _digits(bits, None, magnitude, shift, np.uint64(prefix), bins)


def _threshold(x: Float, rank: int, absent: Any) -> tuple[np.uint64, int]:
    """The inverted magnitude of this rank, and its rank among those that equal it."""
    bits, magnitude, width = _bits(x)
    prefix = 0
    for shift in range(width - 16, -1, -16):
        bins = np.zeros(1 << 16, np.int64)
        _digits(bits, absent, magnitude, np.uint64(shift), np.uint64(prefix), bins)
        found, rank = digit(bins, rank)
        prefix = prefix << 16 | found
    return np.uint64(prefix), rank


@jit()
def _cut(w: Any, bits: Any, magnitude: Any, threshold: Any, ties: Any) -> Any:
    """0 where the inverted magnitude is above the threshold, or equals it and is not among the
    first; how many there are then, and how many there were."""
    alive, before = 0, 0
    for i in range(w.shape[0]):
        before += w[i] != 0
        value = np.uint64(bits[i]) & magnitude ^ magnitude
        if value == threshold:
            ties -= 1
        if value > threshold or (value == threshold and ties < 0):
            w[i] = 0
        alive += w[i] != 0
    return alive, before


def keep_largest(w: Float, keep: int, counts: NDArray[np.int64]) -> None:
    """w = 0 but for the `keep` entries of the largest |w|."""
    bits, magnitude, _ = _bits(w)
    if keep >= w.size:
        threshold, ties = magnitude, w.size
    elif keep == 0:
        threshold, ties = np.uint64(0), 0  # of the largest that there is, none
    else:
        threshold, ties = _threshold(w, keep, None)
    alive, before = _cut(w.reshape(-1), bits, magnitude, threshold, ties)
    counts[0] = alive
    counts[1] += before - alive


@jit()
def _grow_random(w: Any, wanted: Any, key: Any, step: Any, sign: Any, tiny: Any) -> None:
    size = np.uint64(w.shape[0])
    i = np.uint64(0)
    while wanted > 0:
        words = philox(i, step, key)
        for k in range(2):
            high, low = words[2 * k], words[2 * k + 1]
            place = _place(high, low, size)
            if wanted > 0 and w[place] == 0:
                up = low & np.uint64(1) == 1 if sign is None else sign[place] > 0
                w[place] = tiny if up else -tiny
                wanted -= 1
        i += np.uint64(1)


def grow_random(
    w: Float,
    total: int,
    key: int,
    rates: NDArray[np.float64],
    row: int,
    counts: NDArray[np.int64],
    sign: NDArray[np.int8] | None = None,
) -> None:
    """Draw after draw, entries that are 0 become TINY, until counts[0] is `total`."""
    wanted = max(total - int(counts[0]), 0)
    step = np.uint64(rates[row, 2])
    signs = None if sign is None else sign.reshape(-1)
    _grow_random(w.reshape(-1), wanted, np.uint64(key), step, signs, w.dtype.type(rules.TINY))
    counts[0] += wanted
    counts[2] += wanted


@jit()
def _grow(w: Any, g: Any, bits: Any, magnitude: Any, threshold: Any, ties: Any, tiny: Any) -> None:
    for i in range(w.shape[0]):
        if w[i] == 0:
            value = np.uint64(bits[i]) & magnitude ^ magnitude
            if value == threshold:
                ties -= 1
            if value < threshold or (value == threshold and ties >= 0):
                w[i] = -tiny if g[i] > 0 else tiny


def grow_largest(w: Float, g: Float, total: int, counts: NDArray[np.int64]) -> None:
    """The entries that are 0 with the largest |g| become TINY, against the sign of g."""
    wanted = total - int(counts[0])
    if wanted <= 0:
        return
    bits, magnitude, _ = _bits(g)
    threshold, ties = _threshold(g, wanted, _bits(w)[0])
    tiny = w.dtype.type(rules.TINY)
    _grow(w.reshape(-1), g.reshape(-1), bits, magnitude, threshold, ties, tiny)
    counts[0] += wanted
    counts[2] += wanted
