"""Deep R and STDS on the CPU: one pass over memory for noise, moments, theta, weight and counts."""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.kernels.cpu.parts.random import gaussians, philox
from snnr.kernels.cpu.parts.tally import BLOCK, partial, record, tally, typed
from snnr.kernels.jit import jit

Float = NDArray[np.floating[Any]]

_moment1 = jit()(rules.moment1)
_moment2 = jit()(rules.moment2)
_adam_delta = jit()(rules.adam_delta)
_grad_r_weight = jit()(rules.grad_r_weight)
_deep_r_theta = jit()(rules.deep_r_theta)
_deep_r_weight = jit()(rules.deep_r_weight)
_soft_deep_r_theta = jit()(rules.soft_deep_r_theta)
_stds_weight = jit()(rules.stds_weight)


@jit()
def _noise(key: Any, step: Any, first: int, scale: float, out: Any) -> None:
    """out = scale times the normal numbers of a step, from element `first` on, a multiple of four;
    out reaches to the end of a block of words."""
    for b in range(out.shape[0] // 4):
        w0, w1, w2, w3 = philox(np.uint64(first // 4 + b), step, key)
        z0, z1 = gaussians(w0, w1)
        z2, z3 = gaussians(w2, w3)
        out[4 * b] = scale * z0
        out[4 * b + 1] = scale * z1
        out[4 * b + 2] = scale * z2
        out[4 * b + 3] = scale * z3


@jit()
def _believe_block(w: Any, sign: Any) -> None:
    for i in range(w.shape[0]):
        if w[i] > 0:
            sign[i] = 1
        elif w[i] < 0:
            sign[i] = -1


@jit(parallel=True)
def _believe(w: Any, sign: Any) -> None:
    size = w.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _believe_block(w[i:j], sign[i:j])


def deep_r_believe(w: Float, sign: NDArray[np.int8]) -> None:
    """sign = that of w, kept where w is 0."""
    _believe(w.reshape(-1), sign.reshape(-1))


@jit()
def _hard_block(w: Any, sign: Any, g: Any, m: Any, v: Any, constants: Any, shrink: float,
                scale: float, lost: float, key: Any, step: Any, first: int,
                counts: Any) -> None:  # fmt: skip
    """The element at `first` in the whole array is the first of these; a multiple of four."""
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    found = np.int32(0), np.int32(0), np.int32(0)
    last = -1  # pair whose numbers are at hand
    even, odd = 0.0, 0.0
    for i in range(w.shape[0]):
        if w[i] == 0:
            continue
        if scale != 0 and i // 2 != last:
            last = i // 2
            w0, w1, w2, w3 = philox(np.uint64((first + i) // 4), step, key)
            even, odd = gaussians(w2, w3) if i & 2 else gaussians(w0, w1)
        noise = w.dtype.type(scale * (odd if i & 1 else even))
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        ti = _deep_r_theta(abs(w[i]), sign[i], delta, shrink, noise)
        gone = ti <= 0
        m[i] = 0 if gone else mi
        v[i] = 0 if gone else vi
        wi = _deep_r_weight(ti, sign[i], lost)
        w[i] = wi
        found = tally(found, True, wi != 0)
    counts[0], counts[1], counts[2] = found


@jit(parallel=True)
def _hard(w: Any, sign: Any, g: Any, m: Any, v: Any, constants: Any, shrink: float, scale: float,
          lost: float, key: Any, step: Any, counts: Any) -> None:  # fmt: skip
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _hard_block(
            w[i:j], sign[i:j], g[i:j], m[i:j], v[i:j], constants, shrink, scale, lost, key, step, i,
            counts[block],
        )  # fmt: skip


def deep_r_step(
    w: Float,
    sign: NDArray[np.int8],
    g: Float,
    m: Float,
    v: Float,
    rates: NDArray[np.float64],
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    l1: float,
    temperature: float,
    lost: float,
    key: int,
    counts: NDArray[np.int64],
) -> None:
    """Deep R of the connections, in place."""
    step_size, inv_sqrt_c2, step, lr = rates[row].tolist()
    constants = typed(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    shrink, least = typed(w.dtype, lr * l1, lost)
    blocks = partial(w.size)
    _hard(
        w.reshape(-1), sign.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), constants,
        shrink, temperature * math.sqrt(lr), least, np.uint64(key), np.uint64(step), blocks,
    )  # fmt: skip
    record(blocks, counts)


@jit()
def _soft_block(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, noise: Any, constants: Any,
                shrink: float, lowest: float, counts: Any) -> None:  # fmt: skip
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    nothing = step_size * np.int8(0)
    found = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        gi = g[i] if theta[i] > 0 else nothing
        mi = _moment1(m[i], gi, beta1, rest1)
        vi = _moment2(v[i], gi, beta2, rest2)
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        before = w[i] != 0
        ti = _soft_deep_r_theta(theta[i], sign[i], delta, shrink, noise[i], lowest)
        dormant = ti <= 0
        theta[i] = ti
        m[i] = nothing if dormant else mi
        v[i] = nothing if dormant else vi
        wi = _grad_r_weight(ti, sign[i])
        w[i] = wi
        found = tally(found, before, wi != 0)
    counts[0], counts[1], counts[2] = found


@jit(parallel=True)
def _soft(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, constants: Any, shrink: float,
          scale: float, lowest: float, key: Any, step: Any, counts: Any) -> None:  # fmt: skip
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        noise = np.zeros((j - i + 3) // 4 * 4, w.dtype)
        if scale != 0:
            _noise(key, step, i, scale, noise)
        _soft_block(
            w[i:j], theta[i:j], sign[i:j], g[i:j], m[i:j], v[i:j], noise, constants, shrink, lowest,
            counts[block],
        )  # fmt: skip


def soft_deep_r_step(
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
    l1: float,
    temperature: float,
    lowest: float,
    key: int,
    counts: NDArray[np.int64],
) -> None:
    """Soft Deep R, in place."""
    step_size, inv_sqrt_c2, step, lr = rates[row].tolist()
    constants = typed(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    shrink, least = typed(w.dtype, lr * l1, lowest)
    blocks = partial(w.size)
    _soft(
        w.reshape(-1), theta.reshape(-1), sign.reshape(-1), g.reshape(-1), m.reshape(-1),
        v.reshape(-1), constants, shrink, temperature * math.sqrt(lr), least, np.uint64(key),
        np.uint64(step), blocks,
    )  # fmt: skip
    record(blocks, counts)


@jit()
def _stds_believe_block(w: Any, theta: Any, d: float) -> None:
    for i in range(w.shape[0]):
        if w[i] != _stds_weight(theta[i], d):
            follows = np.int8(w[i] > 0) - np.int8(w[i] < 0)
            theta[i] = w[i] + follows * d


@jit(parallel=True)
def _stds_believe(w: Any, theta: Any, d: float) -> None:
    size = w.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _stds_believe_block(w[i:j], theta[i:j], d)


def stds_believe(w: Float, theta: Float, d: float) -> None:
    """theta follows the weights that are not sign(theta)*max(|theta| - d, 0)."""
    _stds_believe(w.reshape(-1), theta.reshape(-1), w.dtype.type(d))


@jit()
def _stds_block(w: Any, theta: Any, g: Any, m: Any, v: Any, constants: Any, d: float,
                counts: Any) -> None:  # fmt: skip
    step_size, beta1, rest1, beta2, rest2, inv_sqrt_c2, eps = constants
    found = np.int32(0), np.int32(0), np.int32(0)
    for i in range(w.shape[0]):
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        before = w[i] != 0
        ti = theta[i] - _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        theta[i] = ti
        wi = _stds_weight(ti, d)
        w[i] = wi
        found = tally(found, before, wi != 0)
    counts[0], counts[1], counts[2] = found


@jit(parallel=True)
def _stds(w: Any, theta: Any, g: Any, m: Any, v: Any, constants: Any, d: float,
          counts: Any) -> None:  # fmt: skip
    size = w.shape[0]
    for block in prange(counts.shape[0]):
        i = block * BLOCK
        j = min(i + BLOCK, size)
        _stds_block(w[i:j], theta[i:j], g[i:j], m[i:j], v[i:j], constants, d, counts[block])


def stds_step(
    w: Float,
    theta: Float,
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
    """STDS, in place."""
    step_size, inv_sqrt_c2, d, _ = rates[row].tolist()
    constants = typed(w.dtype, step_size, beta1, 1 - beta1, beta2, 1 - beta2, inv_sqrt_c2, eps)
    blocks = partial(w.size)
    _stds(
        w.reshape(-1), theta.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), constants,
        w.dtype.type(d), blocks,
    )  # fmt: skip
    record(blocks, counts)
