"""Deep R (Bellec et al., ICLR 2018, arXiv 1711.05136) and STDS (Chen et al., ICML 2022), in NumPy.

All arrays share one shape and layout and are updated in place.
"""

import numpy as np

from snnr.kernels.reference.dropout import philox
from snnr.kernels.reference.optim import _adam_delta, _count, _weight
from snnr.kernels.reference.types import Array

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def words_of_step(key: int, step: int, size: int) -> Array:
    """`size` words: four from each of the blocks (0, step), (1, step), ..."""
    blocks = np.arange(-(-size // 4), dtype=np.uint64)
    high = np.full_like(blocks, step)
    start = np.stack([blocks & _WORD, blocks >> _HALF, high & _WORD, high >> _HALF])
    drawn: Array = philox(start, (key & 0xFFFFFFFF, key >> 32)).T.reshape(-1)
    return drawn[:size]


def gaussians(key: int, step: int, size: int) -> Array:
    """Standard normal numbers of a step, two from each pair of words (Box & Muller, 1958)."""
    first, second = words_of_step(key, step, size + size % 2).reshape(-1, 2).T.astype(np.float64)
    radius = np.sqrt(-2 * np.log((first + 1) / 2**32))
    angle = 2 * np.pi * (second / 2**32 - 1 / 8)
    pairs: Array = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[:size]


def _noise(w: Array, key: int, step: float, temperature: float, lr: float) -> Array:
    """temperature*sqrt(lr)*noise of the shape of w."""
    drawn = temperature * np.sqrt(lr) * gaussians(key, int(step), w.size)
    noise: Array = drawn.reshape(w.shape).astype(w.dtype)
    return noise


def deep_r_believe(w: Array, sign: Array) -> None:
    """sign = that of w, kept where w is 0."""
    sign[w > 0] = 1
    sign[w < 0] = -1


def deep_r_step(
    w: Array,
    sign: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: Array,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    l1: float,
    temperature: float,
    lost: float,
    key: int,
    counts: Array,
) -> None:
    """Connections move, and are lost where they would change their sign."""
    before = w != 0
    step_size, inv_sqrt_c2, step, lr = rates[row].tolist()
    theta, mine, his, signs = abs(w)[before], m[before], v[before], sign[before]
    theta -= signs * _adam_delta(g[before], mine, his, step_size, beta1, beta2, inv_sqrt_c2, eps)
    theta -= lr * l1
    theta += _noise(w, key, step, temperature, lr)[before]
    gone = theta <= 0
    theta[gone] = lost
    mine[gone] = his[gone] = 0
    # a sum with 0 turns -0 into +0
    w[before], m[before], v[before] = signs * theta + 0, mine, his
    _count(counts, before, w)


def soft_deep_r_step(
    w: Array,
    theta: Array,
    sign: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: Array,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    l1: float,
    temperature: float,
    lowest: float,
    key: int,
    counts: Array,
) -> None:
    """Where theta > 0, Adam and lr*l1; everywhere noise, and no less than lowest."""
    before = w != 0
    step_size, inv_sqrt_c2, step, lr = rates[row].tolist()
    active = theta > 0
    delta = _adam_delta(
        np.where(active, g, 0).astype(w.dtype), m, v, step_size, beta1, beta2, inv_sqrt_c2, eps
    )
    theta[active] -= (sign * delta)[active]
    theta[active] -= lr * l1
    theta += _noise(w, key, step, temperature, lr)
    theta[theta < lowest] = lowest
    for moment in (m, v):
        moment[theta <= 0] = 0
    w[...] = _weight(theta, sign)
    _count(counts, before, w)


def _thresholded(theta: Array, d: float) -> Array:
    """sign(theta)*max(|theta| - d, 0)."""
    # a sum with 0 turns -0 into +0
    weight: Array = np.sign(theta) * np.maximum(np.abs(theta) - theta.dtype.type(d), 0) + 0
    return weight


def stds_believe(w: Array, theta: Array, d: float) -> None:
    """Where a weight was set by hand, theta follows it."""
    by_hand = w != _thresholded(theta, d)
    theta[by_hand] = w[by_hand] + np.sign(w[by_hand]) * w.dtype.type(d)


def stds_step(
    w: Array,
    theta: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: Array,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: Array,
) -> None:
    """theta -= Adam, then w = sign(theta)*max(|theta| - d, 0)."""
    before = w != 0
    step_size, inv_sqrt_c2, d, _ = rates[row].tolist()
    theta -= _adam_delta(g, m, v, step_size, beta1, beta2, inv_sqrt_c2, eps)
    w[...] = _thresholded(theta, d)
    _count(counts, before, w)
