"""Adam (Kingma & Ba, arXiv 1412.6980) and Grad R (Chen et al., arXiv 2105.04916), in NumPy.

All arrays share one shape and layout and are updated in place. A row of `rates` holds step_size,
inv_sqrt_c2, prior and mu: step_size = lr/c1 and inv_sqrt_c2 = 1/sqrt(c2) carry the bias correction.
"""

import numpy as np

from snnr.kernels.reference.dropout import words
from snnr.kernels.reference.types import Array


def _adam_delta(
    g: Array,
    m: Array,
    v: Array,
    step_size: float,
    beta1: float,
    beta2: float,
    inv_sqrt_c2: float,
    eps: float,
) -> Array:
    """Update both moments; return what Adam subtracts."""
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * (g * g)
    delta: Array = step_size * m / (np.sqrt(v) * inv_sqrt_c2 + eps)
    return delta


def _grad_r_theta(theta: Array, sign: Array, delta: Array, shrink: float, mu: float) -> None:
    """theta -= sign*delta, then shrink*signum(theta - mu), with the theta of before.

    Two subtractions, as in the published code: their sum rounds differently, which adds up to
    2e-6 over 300 float32 steps.
    """
    prior_step = shrink * np.sign(theta - mu)
    theta -= sign * delta
    theta -= prior_step


def grad_r_believe(w: Array, theta: Array, sign: Array) -> None:
    """Where a weight was set by hand, theta and sign follow it."""
    by_hand = w != _weight(theta, sign)
    theta[by_hand] = np.abs(w[by_hand])
    sign[by_hand & (w > 0)] = 1
    sign[by_hand & (w < 0)] = -1


def _weight(theta: Array, sign: Array) -> Array:
    """sign*max(theta, 0)."""
    # a sum with 0 turns -0 into +0
    weight: Array = sign * np.maximum(theta, 0) + 0
    return weight


def _count(counts: Array, before: Array, w: Array) -> None:
    """counts = nonzero, and adds how many weights became 0 and how many left 0."""
    after = w != 0
    counts[0] = after.sum()
    counts[1] += (before & ~after).sum()
    counts[2] += (~before & after).sum()


def adam_step(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    rates: Array,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: Array | None = None,
) -> None:
    """w -= step_size*m/(sqrt(v)*inv_sqrt_c2 + eps), after m and v have taken in g."""
    before = w != 0
    step_size, inv_sqrt_c2, _, _ = rates[row].tolist()
    w -= _adam_delta(g, m, v, step_size, beta1, beta2, inv_sqrt_c2, eps)
    if counts is not None:
        _count(counts, before, w)


def grad_r_start(w: Array, theta: Array, sign: Array, key: int) -> None:
    """theta = |w|, sign that of w; where w is 0, the highest bit of the element's word says."""
    theta[...] = np.abs(w)
    drawn = words(key, 0, w.size).reshape(w.shape) >> np.uint64(31)
    sign[...] = np.where(w > 0, 1, np.where(w < 0, -1, np.where(drawn == 1, 1, -1)))


def grad_r_step(
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
    counts: Array,
) -> None:
    """theta -= sign*Adam + step_size*prior*signum(theta - mu), then w = sign*max(theta, 0)."""
    before = w != 0
    step_size, inv_sqrt_c2, prior, mu = rates[row].tolist()
    delta = _adam_delta(g, m, v, step_size, beta1, beta2, inv_sqrt_c2, eps)
    _grad_r_theta(theta, sign, delta, step_size * prior, mu)
    w[...] = _weight(theta, sign)
    _count(counts, before, w)


def grad_r_sgd_step(
    w: Array,
    theta: Array,
    sign: Array,
    g: Array,
    rates: Array,
    row: int,
    counts: Array,
) -> None:
    """theta -= lr*sign*g + lr*prior*signum(theta - mu), then w = sign*max(theta, 0); step_size is
    lr."""
    before = w != 0
    lr, _, prior, mu = rates[row].tolist()
    _grad_r_theta(theta, sign, lr * g, lr * prior, mu)
    w[...] = _weight(theta, sign)
    _count(counts, before, w)
