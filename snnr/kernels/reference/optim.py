"""Adam (Kingma & Ba, arXiv 1412.6980) and Grad R (Chen et al., arXiv 2105.04916), in NumPy.

All arrays share one shape and layout and are updated in place. `step_size` = lr/c1 and
`inv_sqrt_c2` = 1/sqrt(c2) carry the bias correction.
"""

import numpy as np

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


def _grad_r_weight(w: Array, theta: Array, sign: Array) -> tuple[int, int, int]:
    """w = sign*max(theta, 0); return (nonzero, pruned, regrown)."""
    before = w != 0
    # a sum with 0 turns -0 into +0
    w[...] = sign * np.maximum(theta, 0) + 0
    after = w != 0
    return int(after.sum()), int((before & ~after).sum()), int((~before & after).sum())


def adam_step(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    step_size: float,
    beta1: float,
    beta2: float,
    inv_sqrt_c2: float,
    eps: float,
) -> None:
    """w -= step_size*m/(sqrt(v)*inv_sqrt_c2 + eps), after m and v have taken in g."""
    w -= _adam_delta(g, m, v, step_size, beta1, beta2, inv_sqrt_c2, eps)


def grad_r_step(
    w: Array,
    theta: Array,
    sign: Array,
    g: Array,
    m: Array,
    v: Array,
    step_size: float,
    prior: float,
    mu: float,
    beta1: float,
    beta2: float,
    inv_sqrt_c2: float,
    eps: float,
) -> tuple[int, int, int]:
    """theta -= sign*Adam + step_size*prior*signum(theta - mu), then w = sign*max(theta, 0).

    Returns how many weights are nonzero, how many became 0 and how many left 0 in this step.
    """
    delta = _adam_delta(g, m, v, step_size, beta1, beta2, inv_sqrt_c2, eps)
    _grad_r_theta(theta, sign, delta, step_size * prior, mu)
    return _grad_r_weight(w, theta, sign)


def grad_r_sgd_step(
    w: Array, theta: Array, sign: Array, g: Array, lr: float, prior: float, mu: float
) -> tuple[int, int, int]:
    """theta -= lr*sign*g + lr*prior*signum(theta - mu), then w = sign*max(theta, 0)."""
    _grad_r_theta(theta, sign, lr * g, lr * prior, mu)
    return _grad_r_weight(w, theta, sign)
