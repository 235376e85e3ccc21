"""Optimizer steps: one pass over memory for moments, theta, weight and counts.

What changes from step to step is read from memory. Products and sums that the compiler joins, which
then round once, are those of the moments and of Adam's denominator; along the recorded trajectories
this moves theta by less than 4e-7. In Grad R itself nothing can be joined: a sign times a number is
exact.
"""

from typing import Any

import numpy as np

from snnr.kernels import rules
from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, function, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.random import philox
from snnr.kernels.cuda.parts.tally import forget, tally
from snnr.kernels.cuda.parts.walk import places

_NOTHING = np.uint64(0)
_TOP_BIT = np.uint64(31)

_moment1 = function(rules.moment1)
_moment2 = function(rules.moment2)
_adam_delta = function(rules.adam_delta)
_grad_r_theta = function(rules.grad_r_theta)
_grad_r_weight = function(rules.grad_r_weight)


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _adam(w: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any, rest1: Any, beta2: Any,
          rest2: Any, eps: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    i, step, end = places(w.shape[0])
    while i < end:
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        w[i] -= _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        i += step


@kernel()
def _adam_counted(w: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any, rest1: Any,
                  beta2: Any, rest2: Any, eps: Any, counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    alive, pruned, regrown = np.int32(0), np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        before = w[i]
        after = before - _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        w[i] = after
        alive += np.int32(after != 0)
        pruned += np.int32(before != 0 and after == 0)
        regrown += np.int32(before == 0 and after != 0)
        i += step
    tally(alive, pruned, regrown, counts)


@kernel()
def _grad_r(w: Any, theta: Any, sign: Any, g: Any, m: Any, v: Any, rates: Any, row: Any, beta1: Any,
            rest1: Any, beta2: Any, rest2: Any, eps: Any, counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    step_size, inv_sqrt_c2 = kind(rates[row, 0]), kind(rates[row, 1])
    shrink, mu = kind(rates[row, 0] * rates[row, 2]), kind(rates[row, 3])
    alive, pruned, regrown = np.int32(0), np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        mi = _moment1(m[i], g[i], beta1, rest1)
        vi = _moment2(v[i], g[i], beta2, rest2)
        m[i] = mi
        v[i] = vi
        delta = _adam_delta(mi, vi, step_size, inv_sqrt_c2, eps)
        ti = _grad_r_theta(theta[i], sign[i], delta, shrink, mu)
        theta[i] = ti
        before = w[i]
        after = kind(_grad_r_weight(ti, sign[i]))
        w[i] = after
        alive += np.int32(after != 0)
        pruned += np.int32(before != 0 and after == 0)
        regrown += np.int32(before == 0 and after != 0)
        i += step
    tally(alive, pruned, regrown, counts)


@kernel()
def _grad_r_sgd(w: Any, theta: Any, sign: Any, g: Any, rates: Any, row: Any,
                counts: Any) -> None:  # fmt: skip
    kind = w.dtype.type
    lr, shrink = kind(rates[row, 0]), kind(rates[row, 0] * rates[row, 2])
    mu = kind(rates[row, 3])
    alive, pruned, regrown = np.int32(0), np.int32(0), np.int32(0)
    i, step, end = places(w.shape[0])
    while i < end:
        ti = _grad_r_theta(theta[i], sign[i], lr * g[i], shrink, mu)
        theta[i] = ti
        before = w[i]
        after = kind(_grad_r_weight(ti, sign[i]))
        w[i] = after
        alive += np.int32(after != 0)
        pruned += np.int32(before != 0 and after == 0)
        regrown += np.int32(before == 0 and after != 0)
        i += step
    tally(alive, pruned, regrown, counts)


@kernel()
def _start(w: Any, key: Any, theta: Any, sign: Any) -> None:
    for i in range(cuda.grid(1), w.shape[0], cuda.gridsize(1)):
        theta[i] = abs(w[i])
        if w[i] > 0:
            sign[i] = 1
        elif w[i] < 0:
            sign[i] = -1
        else:
            w0, w1, w2, w3 = philox(np.uint64(i // 4), _NOTHING, key)
            k = i % 4
            word = w0 if k == 0 else w1 if k == 1 else w2 if k == 2 else w3
            sign[i] = 1 if word >> _TOP_BIT else -1


@kernel()
def _believe(w: Any, theta: Any, sign: Any) -> None:
    i, step, end = places(w.shape[0])
    while i < end:
        if w[i] != _grad_r_weight(theta[i], sign[i]):
            theta[i] = abs(w[i])
            if w[i] > 0:
                sign[i] = 1
            elif w[i] < 0:
                sign[i] = -1
        i += step


def _betas(dtype: Any, beta1: float, beta2: float, eps: float) -> tuple[Any, ...]:
    return tuple(dtype.type(value) for value in (beta1, 1 - beta1, beta2, 1 - beta2, eps))


def adam_step(
    w: Memory,
    g: Memory,
    m: Memory,
    v: Memory,
    rates: Memory,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    counts: Memory | None = None,
) -> None:
    """Adam in place."""
    arguments = (
        w.flat, g.flat, m.flat, v.flat, rates.array, row, *_betas(w.dtype, beta1, beta2, eps)
    )  # fmt: skip
    if counts is None:
        launch(_adam, *_elements(w.size), *arguments)
        return
    launch(forget, 1, 1, counts.array)
    launch(_adam_counted, *_elements(w.size), *arguments, counts.array)


def grad_r_start(w: Memory, theta: Memory, sign: Memory, key: int) -> None:
    """theta = |w|, sign that of w; where w is 0, the highest bit of the element's word says."""
    launch(_start, *_elements(w.size), w.flat, np.uint64(key), theta.flat, sign.flat)


def grad_r_believe(w: Memory, theta: Memory, sign: Memory) -> None:
    """theta and sign follow the weights that are not sign*max(theta, 0)."""
    launch(_believe, *_elements(w.size), w.flat, theta.flat, sign.flat)


def grad_r_step(
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
    counts: Memory,
) -> None:
    """Grad R, Adam form, in place."""
    launch(forget, 1, 1, counts.array)
    launch(
        _grad_r, *_elements(w.size), w.flat, theta.flat, sign.flat, g.flat, m.flat, v.flat,
        rates.array, row, *_betas(w.dtype, beta1, beta2, eps), counts.array,
    )  # fmt: skip


def grad_r_sgd_step(
    w: Memory,
    theta: Memory,
    sign: Memory,
    g: Memory,
    rates: Memory,
    row: int,
    counts: Memory,
) -> None:
    """Grad R, SGD form, in place; step_size is lr."""
    launch(forget, 1, 1, counts.array)
    launch(
        _grad_r_sgd, *_elements(w.size), w.flat, theta.flat, sign.flat, g.flat, rates.array, row,
        counts.array,
    )  # fmt: skip
