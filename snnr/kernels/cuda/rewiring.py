"""Deep R and STDS: one pass over memory for noise, moments, theta, weight and counts.

A thread makes the noise of its element alone, from the words that three others make too: nothing
goes through memory.
"""

import math
from typing import Any

import numpy as np

from snnr.kernels import rules
from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import function, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.random import gaussians, philox
from snnr.kernels.cuda.parts.tally import forget, tally
from snnr.kernels.cuda.parts.walk import places

_moment1 = function(rules.moment1)
_moment2 = function(rules.moment2)
_adam_delta = function(rules.adam_delta)
_grad_r_weight = function(rules.grad_r_weight)
_deep_r_theta = function(rules.deep_r_theta)
_deep_r_weight = function(rules.deep_r_weight)
_soft_deep_r_theta = function(rules.soft_deep_r_theta)
_stds_weight = function(rules.stds_weight)
_ONE = np.uint64(1)
_TWO = np.uint64(2)


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


def _betas(dtype: Any, beta1: float, beta2: float, eps: float) -> tuple[Any, ...]:
    return tuple(dtype.type(value) for value in (beta1, 1 - beta1, beta2, 1 - beta2, eps))


@function
def _normal(key: Any, step: Any, i: Any) -> Any:
    """The normal number of element i, uint64, float64."""
    w0, w1, w2, w3 = philox(i >> _TWO, step, key)
    if i & _TWO:
        even, odd = gaussians(w2, w3)
    else:
        even, odd = gaussians(w0, w1)
    return odd if i & _ONE else even


@kernel()
def _believe(w: Any, sign: Any) -> None:
    i, step, end = places(w.shape[0])
    while i < end:
        if w[i] > 0:
            sign[i] = 1
        elif w[i] < 0:
            sign[i] = -1
        i += step


@kernel()
def _hard(w: Any, sign: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any, rest1: Any,
          beta2: Any, rest2: Any, eps: Any, l1: Any, temperature: Any, lost: Any, key: Any,
          counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    shrink, scale = kind(rates[row, 3] * l1), temperature * math.sqrt(rates[row, 3])
    now, nothing = np.uint64(rates[row, 2]), kind(0)
    alive, pruned = np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        before = w[i]
        if before != 0:
            noise = nothing
            if scale != 0:
                noise = kind(scale * _normal(key, now, i))
            mi = _moment1(m[i], g[i], beta1, rest1)
            vi = _moment2(v[i], g[i], beta2, rest2)
            delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
            ti = kind(_deep_r_theta(abs(before), sign[i], delta, shrink, noise))
            gone = ti <= 0
            m[i] = nothing if gone else mi
            v[i] = nothing if gone else vi
            after = kind(_deep_r_weight(ti, sign[i], lost))
            w[i] = after
            alive += np.int32(after != 0)
            pruned += np.int32(after == 0)
        i += step
    tally(alive, pruned, np.int32(0), counts)


@kernel()
def _soft(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any,
          rest1: Any, beta2: Any, rest2: Any, eps: Any, l1: Any, temperature: Any, lowest: Any,
          key: Any, counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    shrink, scale = kind(rates[row, 3] * l1), temperature * math.sqrt(rates[row, 3])
    now, nothing = np.uint64(rates[row, 2]), kind(0)
    alive, pruned, regrown = np.int32(0), np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        gi = g[i] if theta[i] > 0 else nothing
        mi = _moment1(m[i], gi, beta1, rest1)
        vi = _moment2(v[i], gi, beta2, rest2)
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        noise = nothing
        if scale != 0:
            noise = kind(scale * _normal(key, now, i))
        ti = kind(_soft_deep_r_theta(theta[i], sign[i], delta, shrink, noise, lowest))
        dormant = ti <= 0
        theta[i] = ti
        m[i] = nothing if dormant else mi
        v[i] = nothing if dormant else vi
        before = w[i]
        after = kind(_grad_r_weight(ti, sign[i]))
        w[i] = after
        alive += np.int32(after != 0)
        pruned += np.int32(before != 0 and after == 0)
        regrown += np.int32(before == 0 and after != 0)
        i += step
    tally(alive, pruned, regrown, counts)


@kernel()
def _stds_believe(w: Any, theta: Any, d: Any) -> None:
    kind = w.dtype.type
    i, step, end = places(w.shape[0])
    while i < end:
        wi = w[i]
        if wi != kind(_stds_weight(theta[i], d)):
            theta[i] = wi + d if wi > 0 else wi - d if wi < 0 else wi
        i += step


@kernel()
def _stds(w: Any, theta: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any, rest1: Any,
          beta2: Any, rest2: Any, eps: Any, counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    d = kind(rates[row, 2])
    alive, pruned, regrown = np.int32(0), np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        ti = theta[i] - _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        theta[i] = ti
        before = w[i]
        after = kind(_stds_weight(ti, d))
        w[i] = after
        alive += np.int32(after != 0)
        pruned += np.int32(before != 0 and after == 0)
        regrown += np.int32(before == 0 and after != 0)
        i += step
    tally(alive, pruned, regrown, counts)


def deep_r_believe(w: Memory, sign: Memory) -> None:
    """sign = that of w, kept where w is 0."""
    launch(_believe, *_elements(w.size), w.flat, sign.flat)


def deep_r_step(
    w: Memory,
    sign: Memory,
    g: Memory,
    m: Memory,
    v: Memory,
    rates: Memory,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    l1: float,
    temperature: float,
    lost: float,
    key: int,
    counts: Memory,
) -> None:
    """Deep R of the connections, in place."""
    launch(forget, 1, 1, counts.array)
    launch(
        _hard, *_elements(w.size), w.flat, sign.flat, g.flat, m.flat, v.flat, rates.array, row,
        *_betas(w.dtype, beta1, beta2, eps), np.float64(l1), np.float64(temperature),
        w.dtype.type(lost), np.uint64(key), counts.array,
    )  # fmt: skip


def soft_deep_r_step(
    w: Memory,
    theta: Memory,
    sign: Memory,
    g: Memory,
    m: Memory,
    v: Memory,
    rates: Memory,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    l1: float,
    temperature: float,
    lowest: float,
    key: int,
    counts: Memory,
) -> None:
    """Soft Deep R, in place."""
    launch(forget, 1, 1, counts.array)
    launch(
        _soft, *_elements(w.size), w.flat, theta.flat, sign.flat, g.flat, m.flat, v.flat,
        rates.array, row, *_betas(w.dtype, beta1, beta2, eps), np.float64(l1),
        np.float64(temperature), w.dtype.type(lowest), np.uint64(key), counts.array,
    )  # fmt: skip


def stds_believe(w: Memory, theta: Memory, d: float) -> None:
    """theta follows the weights that are not sign(theta)*max(|theta| - d, 0)."""
    launch(_stds_believe, *_elements(w.size), w.flat, theta.flat, w.dtype.type(d))


def stds_step(
    w: Memory,
    theta: Memory,
    g: Memory,
    m: Memory,
    v: Memory,
    rates: Memory,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: Memory,
) -> None:
    """STDS, in place."""
    launch(forget, 1, 1, counts.array)
    launch(
        _stds, *_elements(w.size), w.flat, theta.flat, g.flat, m.flat, v.flat, rates.array, row,
        *_betas(w.dtype, beta1, beta2, eps), counts.array,
    )  # fmt: skip
