"""Optimizer steps on the CPU: one pass over memory for moments, theta, weight and counts."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.kernels.jit import jit

#: elements per inner loop; counts are summed over blocks of this size
BLOCK = 4096

Float = NDArray[np.floating[Any]]
_moment1 = jit()(rules.moment1)
_moment2 = jit()(rules.moment2)
_adam_delta = jit()(rules.adam_delta)
_grad_r_theta = jit()(rules.grad_r_theta)
_grad_r_weight = jit()(rules.grad_r_weight)


# The inner loops are functions of their own, over slices: inside a prange they do not vectorise.


@jit()
def _adam_block(w: Any, g: Any, m: Any, v: Any, constants: Any) -> None:
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    for i in range(w.shape[0]):
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        w[i] = w[i] - _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)


@jit(parallel=True)
def _adam(w: Any, g: Any, m: Any, v: Any, constants: Any) -> None:
    size = w.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _adam_block(w[i:j], g[i:j], m[i:j], v[i:j], constants)


@jit(forceinline=True)
def _tally(counts: Any, before: Any, after: Any) -> Any:
    """(nonzero, pruned, regrown) with one more weight, from whether it was and is not zero."""
    alive, pruned, regrown = counts
    return (
        np.int32(alive + np.int32(after)),
        np.int32(pruned + np.int32(before & (not after))),
        np.int32(regrown + np.int32(after & (not before))),
    )


@jit()
def _grad_r_block(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, constants: Any,
                  shrink: float, mu: float, counts: Any) -> None:  # fmt: skip
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    tally = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        ti = _grad_r_theta(theta[i], sign[i], delta, shrink, mu)
        theta[i] = ti
        before = w[i] != 0
        wi = _grad_r_weight(ti, sign[i])
        w[i] = wi
        tally = _tally(tally, before, wi != 0)
    counts[0], counts[1], counts[2] = tally


@jit(parallel=True)
def _grad_r(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, constants: Any, shrink: float,
            mu: float, counts: Any) -> None:  # fmt: skip
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _grad_r_block(
            w[i:j], theta[i:j], sign[i:j], g[i:j], m[i:j], v[i:j], constants, shrink, mu,
            counts[block],
        )  # fmt: skip


@jit()
def _grad_r_sgd_block(w: Any, theta: Any, sign: Any, g: Any, lr: float, shrink: float, mu: float,
                      counts: Any) -> None:  # fmt: skip
    tally = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        ti = _grad_r_theta(theta[i], sign[i], lr * g[i], shrink, mu)
        theta[i] = ti
        before = w[i] != 0
        wi = _grad_r_weight(ti, sign[i])
        w[i] = wi
        tally = _tally(tally, before, wi != 0)
    counts[0], counts[1], counts[2] = tally


@jit(parallel=True)
def _grad_r_sgd(w: Any, theta: Any, sign: Any, g: Any, lr: float, shrink: float, mu: float,
                counts: Any) -> None:  # fmt: skip
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _grad_r_sgd_block(w[i:j], theta[i:j], sign[i:j], g[i:j], lr, shrink, mu, counts[block])


def _constants(dtype: Any, *values: float) -> tuple[Any, ...]:
    return tuple(dtype.type(value) for value in values)


def _counts(size: int) -> NDArray[np.int32]:
    return np.empty((-(-size // BLOCK), 3), np.int32)


def _totals(counts: NDArray[np.int32]) -> tuple[int, int, int]:
    alive, pruned, regrown = counts.sum(axis=0, dtype=np.int64)
    return int(alive), int(pruned), int(regrown)


def adam_step(
    w: Float,
    g: Float,
    m: Float,
    v: Float,
    step_size: float,
    beta1: float,
    beta2: float,
    inv_sqrt_c2: float,
    eps: float,
) -> None:
    """Adam on flat arrays, in place; step_size = lr/c1."""
    constants = _constants(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    _adam(w, g, m, v, constants)


def grad_r_step(
    w: Float,
    theta: Float,
    sign: NDArray[np.int8],
    g: Float,
    m: Float,
    v: Float,
    step_size: float,
    prior: float,
    mu: float,
    beta1: float,
    beta2: float,
    inv_sqrt_c2: float,
    eps: float,
) -> tuple[int, int, int]:
    """Grad R, Adam form, on flat arrays; returns (nonzero, pruned, regrown)."""
    constants = _constants(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    counts = _counts(w.size)
    shrink, location = _constants(w.dtype, step_size * prior, mu)
    _grad_r(w, theta, sign, g, m, v, constants, shrink, location, counts)
    return _totals(counts)


def grad_r_sgd_step(
    w: Float,
    theta: Float,
    sign: NDArray[np.int8],
    g: Float,
    lr: float,
    prior: float,
    mu: float,
) -> tuple[int, int, int]:
    """Grad R, SGD form, on flat arrays; returns (nonzero, pruned, regrown)."""
    counts = _counts(w.size)
    rate, shrink, location = _constants(w.dtype, lr, lr * prior, mu)
    _grad_r_sgd(w, theta, sign, g, rate, shrink, location, counts)
    return _totals(counts)
