"""Optimizer steps on the CPU: one pass over memory for moments, theta, weight and counts."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.kernels.cpu.parts.random import philox
from snnr.kernels.cpu.parts.tally import BLOCK, partial, record, tally, typed
from snnr.kernels.jit import jit

Float = NDArray[np.floating[Any]]
_moment1 = jit()(rules.moment1)
_moment2 = jit()(rules.moment2)
_adam_delta = jit()(rules.adam_delta)
_grad_r_theta = jit()(rules.grad_r_theta)
_grad_r_weight = jit()(rules.grad_r_weight)


# The inner loops are functions of their own, over slices: inside a prange they do not vectorise.


@jit()
def _believe_block(w: Any, theta: Any, sign: Any) -> None:
    """Where a weight was set by hand, theta and sign follow it."""
    for i in range(w.shape[0]):
        if w[i] != _grad_r_weight(theta[i], sign[i]):
            theta[i] = abs(w[i])
            if w[i] > 0:
                sign[i] = 1
            elif w[i] < 0:
                sign[i] = -1


@jit()
def _adam_block(w: Any, g: Any, m: Any, v: Any, constants: Any, counts: Any) -> None:
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    counted = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        before = w[i] != 0
        wi = w[i] - _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        w[i] = wi
        counted = tally(counted, before, wi != 0)
    counts[0], counts[1], counts[2] = counted


@jit(parallel=True)
def _adam(w: Any, g: Any, m: Any, v: Any, constants: Any, counts: Any) -> None:
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _adam_block(w[i:j], g[i:j], m[i:j], v[i:j], constants, counts[block])


@jit()
def _grad_r_block(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, constants: Any,
                  shrink: float, mu: float, counts: Any) -> None:  # fmt: skip
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    counted = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        before = w[i] != 0
        ti = _grad_r_theta(theta[i], sign[i], delta, shrink, mu)
        theta[i] = ti
        wi = _grad_r_weight(ti, sign[i])
        w[i] = wi
        counted = tally(counted, before, wi != 0)
    counts[0], counts[1], counts[2] = counted


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
    counted = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        before = w[i] != 0
        ti = _grad_r_theta(theta[i], sign[i], lr * g[i], shrink, mu)
        theta[i] = ti
        wi = _grad_r_weight(ti, sign[i])
        w[i] = wi
        counted = tally(counted, before, wi != 0)
    counts[0], counts[1], counts[2] = counted


@jit(parallel=True)
def _grad_r_sgd(w: Any, theta: Any, sign: Any, g: Any, lr: float, shrink: float, mu: float,
                counts: Any) -> None:  # fmt: skip
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _grad_r_sgd_block(w[i:j], theta[i:j], sign[i:j], g[i:j], lr, shrink, mu, counts[block])


@jit()
def _start_block(w: Any, key: Any, first: int, theta: Any, sign: Any) -> None:
    """The element at `first` in the whole array is the first of these; a multiple of four."""
    for i in range(w.shape[0]):
        theta[i] = abs(w[i])
        follows = np.int8(w[i] > 0) - np.int8(w[i] < 0)
        if follows == 0:
            words = philox(np.uint64((first + i) // 4), np.uint64(0), key)
            follows = 1 if words[(first + i) % 4] >> np.uint64(31) else -1
        sign[i] = follows


@jit(parallel=True)
def _start(w: Any, key: Any, theta: Any, sign: Any) -> None:
    size = w.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _start_block(w[i:j], key, i, theta[i:j], sign[i:j])


def adam_step(
    w: Float,
    g: Float,
    m: Float,
    v: Float,
    rates: NDArray[np.float64],
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: NDArray[np.int64] | None = None,
) -> None:
    """Adam in place."""
    step_size, inv_sqrt_c2, _, _ = rates[row].tolist()
    constants = typed(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    blocks = partial(w.size)
    _adam(w.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), constants, blocks)
    if counts is not None:
        record(blocks, counts)


def grad_r_start(w: Float, theta: Float, sign: NDArray[np.int8], key: int) -> None:
    """theta = |w|, sign that of w; where w is 0, the highest bit of the element's word says."""
    _start(w.reshape(-1), np.uint64(key), theta.reshape(-1), sign.reshape(-1))


@jit(parallel=True)
def _believe(w: Any, theta: Any, sign: Any) -> None:
    size = w.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _believe_block(w[i:j], theta[i:j], sign[i:j])


def grad_r_believe(w: Float, theta: Float, sign: NDArray[np.int8]) -> None:
    """theta and sign follow the weights that are not sign*max(theta, 0)."""
    _believe(w.reshape(-1), theta.reshape(-1), sign.reshape(-1))


def grad_r_step(
    w: Float,
    theta: Float,
    sign: NDArray[np.int8],
    g: Float,
    m: Float,
    v: Float,
    rates: NDArray[np.float64],
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: NDArray[np.int64],
) -> None:
    """Grad R, Adam form, in place."""
    step_size, inv_sqrt_c2, prior, mu = rates[row].tolist()
    constants = typed(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    blocks = partial(w.size)
    shrink, location = typed(w.dtype, step_size * prior, mu)
    _grad_r(
        w.reshape(-1), theta.reshape(-1), sign.reshape(-1), g.reshape(-1), m.reshape(-1),
        v.reshape(-1), constants, shrink, location, blocks,
    )  # fmt: skip
    record(blocks, counts)


def grad_r_sgd_step(
    w: Float,
    theta: Float,
    sign: NDArray[np.int8],
    g: Float,
    rates: NDArray[np.float64],
    row: int,
    counts: NDArray[np.int64],
) -> None:
    """Grad R, SGD form, in place; step_size is lr."""
    lr, _, prior, mu = rates[row].tolist()
    blocks = partial(w.size)
    rate, shrink, location = typed(w.dtype, lr, lr * prior, mu)
    _grad_r_sgd(
        w.reshape(-1), theta.reshape(-1), sign.reshape(-1), g.reshape(-1), rate, shrink, location,
        blocks,
    )  # fmt: skip
    record(blocks, counts)
