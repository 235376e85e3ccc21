"""Weights of which few are there, in NumPy: a connection is what is not 0."""

import numpy as np

from snnr.kernels import rules
from snnr.kernels.operations import Hints, Packed
from snnr.kernels.reference.dropout import philox
from snnr.kernels.reference.optim import adam_step
from snnr.kernels.reference.packed import unpacked
from snnr.kernels.reference.types import Array

_WORD = 0xFFFFFFFF


def masked_adam_step(
    w: Array,
    g: Array | Packed,
    m: Array,
    v: Array,
    rates: Array,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: Array,
    hints: Hints | None = None,
) -> None:
    """`adam_step` of the connections; one that would become 0 becomes TINY with the sign it had."""
    there = w != 0
    g = unpacked(g) if isinstance(g, Packed) else g
    before = w[there]
    after, mine, his = before.copy(), m[there], v[there]
    adam_step(after, g[there], mine, his, rates, row, beta1, beta2, eps)
    after[after == 0] = np.where(before > 0, rules.TINY, -rules.TINY)[after == 0]
    w[there], m[there], v[there] = after, mine, his
    counts[0] = there.sum()


def forget_absent(w: Array, m: Array, v: Array) -> None:
    """m = v = 0 where w is 0."""
    m[w == 0] = 0
    v[w == 0] = 0


def replace_connected(w: Array, values: Array) -> None:
    """w = values where w is not 0, or TINY with the sign of w where values is 0."""
    tiny = np.where(w > 0, rules.TINY, -rules.TINY)
    w[...] = np.where(w == 0, 0, np.where(values == 0, tiny, values))


def count_magnitudes(w: Array, level: int, prefix: int, bins: Array) -> None:
    """bins[d] = entries whose digits are those of the prefix, and then d."""
    width = 8 * w.dtype.itemsize
    bins[...] = 0
    for bits in np.abs(w).reshape(-1).view(f"u{w.dtype.itemsize}").tolist():
        digits = ((1 << (width - 1)) - 1 - bits) >> (width - 16 * (level + 1))
        if digits >> 16 == prefix:
            bins[digits & 0xFFFF] += 1


def _by_magnitude(x: Array) -> Array:
    """Places in the order of |x|, the largest first; equal ones in the order of memory."""
    # a float and the number that its bits are have one order; NaN is the largest
    bits = np.abs(x).view(f"u{x.dtype.itemsize}")
    order: Array = np.argsort(~bits, kind="stable")
    return order


def keep_largest(w: Array, keep: int, counts: Array) -> None:
    """w = 0 but for the `keep` entries of the largest |w|."""
    flat = w.reshape(-1)
    before = np.count_nonzero(flat)
    flat[_by_magnitude(flat)[keep:]] = 0
    counts[0] = np.count_nonzero(flat)
    counts[1] += before - counts[0]


def grow_random(
    w: Array,
    total: int,
    key: int,
    rates: Array,
    row: int,
    counts: Array,
    sign: Array | None = None,
) -> None:
    """Draw after draw, entries that are 0 become TINY, until counts[0] is `total`."""
    flat = w.reshape(-1)
    wanted = max(total - int(counts[0]), 0)
    step = int(rates[row, 2])
    draw = 0
    for _ in range(wanted):
        while True:
            counter = np.array([[draw // 2], [0], [step & _WORD], [step >> 32]])
            words = philox(counter, (key & _WORD, key >> 32))[:, 0].tolist()
            high, low = words[2 * (draw % 2) : 2 * (draw % 2) + 2]
            place = ((high << 32) + low) * flat.size >> 64
            draw += 1
            if flat[place] == 0:
                break
        up = low % 2 == 1 if sign is None else sign.reshape(-1)[place] > 0
        flat[place] = rules.TINY if up else -rules.TINY
    counts[0] += wanted
    counts[2] += wanted


def grow_largest(w: Array, g: Array, total: int, counts: Array) -> None:
    """The entries that are 0 with the largest |g| become TINY, against the sign of g."""
    flat, gradient = w.reshape(-1), g.reshape(-1)
    wanted = max(total - int(counts[0]), 0)
    absent = np.flatnonzero(flat == 0)
    chosen = absent[_by_magnitude(gradient[absent])[:wanted]]
    flat[chosen] = np.where(gradient[chosen] > 0, -rules.TINY, rules.TINY)
    counts[0] += wanted
    counts[2] += wanted
