"""BatchNorm over rows (time, batch, space) on the CPU; channels are the last axis."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.rows import add, affine, copy, scale, zero
from snnr.kernels.jit import jit

CHUNKS = 64
#: rows of a block: float32 sums of so few squares keep their digits
BLOCK = 64

Float = NDArray[np.floating[Any]]


# Means and variances are made block by block, each around the mean of what came before it, and the
# first one, which nothing came before, in two passes; blocks are combined in float64 (Chan, Golub &
# LeVeque, 1979). Neither a large mean nor a distant row costs digits.


@jit()
def _deviate(row: Any, mean: Any, total: Any, squares: Any) -> None:
    for c in range(row.shape[0]):
        d = row[c] - mean[c]
        total[c] += d
        squares[c] += d * d


@jit()
def _combine_moments(before: int, rows: int, center: Any, total: Any, squares: Any, mean: Any,
                     spread: Any) -> None:  # fmt: skip
    """Add a block to the moments of `before` rows: sums of distances to `center`, and of squares.

    `spread` is the sum of squared distances to the mean.
    """
    n = np.float64(rows)
    share = n / (before + n)
    part = np.float64(1.0) / n
    for c in range(mean.shape[0]):
        of_block = np.float64(total[c]) * part
        delta = np.float64(center[c]) + of_block - mean[c]
        mean[c] += delta * share
        spread[c] += np.float64(squares[c]) - of_block * np.float64(total[c])
        spread[c] += delta * delta * share * before


@jit(parallel=True)
def _moments(x: Any, scratch: Any, partial: Any) -> None:
    """partial[chunk] = mean and spread of one chunk of the rows of x."""
    rows = x.shape[0]
    chunks = partial.shape[0]
    for p in prange(chunks):
        center, total, squares = scratch[p, 0], scratch[p, 1], scratch[p, 2]
        mean, spread = partial[p, 0], partial[p, 1]
        zero(mean)
        zero(spread)
        chunk = rows * p // chunks
        last = rows * (p + 1) // chunks
        for first in range(chunk, last, BLOCK):
            stop = min(first + BLOCK, last)
            zero(total)
            zero(squares)
            if first == chunk:
                zero(center)
                for r in range(first, stop):
                    add(x[r], center)
                scale(x.dtype.type(1.0) / x.dtype.type(stop - first), center)
            else:
                copy(mean, center)
            for r in range(first, stop):
                _deviate(x[r], center, total, squares)
            _combine_moments(first - chunk, stop - first, center, total, squares, mean, spread)


@jit()
def _combine_chunks(rows: int, partial: Any, nothing: Any, mean: Any, var: Any) -> None:
    chunks = partial.shape[0]
    for p in range(1, chunks):
        before = rows * p // chunks
        count = rows * (p + 1) // chunks - before
        if count > 0:
            _combine_moments(
                before, count, partial[p, 0], nothing, partial[p, 1], partial[0, 0], partial[0, 1]
            )
    for c in range(mean.shape[0]):
        mean[c] = partial[0, 0, c]
        var[c] = partial[0, 1, c] / rows


def batch_norm_stats(x: Float, mean: Float, var: Float) -> None:
    """Mean and biased variance per channel of x[R, C]."""
    rows, channels = x.shape
    chunks = max(1, min(CHUNKS, rows))
    partial = empty((chunks, 2, channels), np.float64)
    _moments(x, empty((chunks, 3, channels), x.dtype), partial)
    _combine_chunks(rows, partial, np.zeros(channels), mean, var)


def update_running(
    mean: Float, var: Float, rows: int, momentum: float, running_mean: Float, running_var: Float
) -> None:
    """running += momentum * (batch - running); the variance that is kept is the unbiased one."""
    unbiased = var * (rows / max(rows - 1, 1))
    running_mean += momentum * (mean - running_mean)
    running_var += momentum * (unbiased - running_var)


def fold_norm(
    mean: Float,
    var: Float,
    scale: Float,
    shift: Float,
    eps: float,
    inv_std: Float,
    gain: Float,
    offset: Float,
) -> None:
    """inv_std = 1/sqrt(var + eps), gain = scale*inv_std, offset = shift - mean*gain."""
    inv_std[...] = 1.0 / np.sqrt(var.astype(np.float64) + eps)
    np.multiply(scale, inv_std, out=gain)
    np.subtract(shift, mean * gain, out=offset)


@jit(parallel=True)
def _affine_rows(x: Any, gain: Any, offset: Any, out: Any) -> None:
    for r in prange(x.shape[0]):
        affine(x[r], gain, offset, out[r])


def batch_norm(x: Float, gain: Float, offset: Float, out: Float) -> None:
    """out[R, C] = gain*x + offset."""
    _affine_rows(x, gain, offset, out)


@jit()
def _grad_sums_row(row: Any, dy: Any, total: Any, projected: Any) -> None:
    for c in range(row.shape[0]):
        total[c] += dy[c]
        projected[c] += dy[c] * row[c]


@jit(parallel=True)
def _grad_sums(x: Any, dy: Any, partial: Any) -> None:
    rows = x.shape[0]
    chunks = partial.shape[0]
    for p in prange(chunks):
        zero(partial[p, 0])
        zero(partial[p, 1])
        for r in range(rows * p // chunks, rows * (p + 1) // chunks):
            _grad_sums_row(x[r], dy[r], partial[p, 0], partial[p, 1])


@jit()
def _combine_row(row: Any, dy: Any, a: Any, b: Any, d: Any, dx: Any) -> None:
    for c in range(row.shape[0]):
        dx[c] = a[c] * dy[c] + b[c] * row[c] + d[c]


@jit(parallel=True)
def _combine(x: Any, dy: Any, a: Any, b: Any, d: Any, dx: Any) -> None:
    for r in prange(x.shape[0]):
        _combine_row(x[r], dy[r], a, b, d, dx[r])


def _finish(
    x: Float,
    dy: Float,
    mean: Float,
    inv_std: Float,
    scale: Float,
    sum_dy: NDArray[Any],
    sum_dyx: NDArray[Any],
    dscale: Float,
    dshift: Float,
    dx: Float,
) -> None:
    """dx = scale*inv_std*(dy - mean(dy) - xhat*mean(dy*xhat)), one multiply-add per term."""
    wide = [np.asarray(v, np.float64) for v in (mean, inv_std, scale, sum_dy, sum_dyx)]
    mu, inv, gamma, total, total_x = wide
    projected = (total_x - mu * total) * inv
    dshift[...] = total
    dscale[...] = projected
    rows = x.shape[0]
    a = gamma * inv
    b = -a * inv * projected / rows
    d = -a * total / rows - b * mu
    _combine(x, dy, a.astype(x.dtype), b.astype(x.dtype), d.astype(x.dtype), dx)


def _sums(x: Float, dy: Float) -> NDArray[np.float64]:
    """Per channel the sums of dy and of dy*x."""
    partial = empty((CHUNKS, 2, x.shape[1]), x.dtype)
    _grad_sums(x, dy, partial)
    sums: NDArray[np.float64] = partial.sum(axis=0, dtype=np.float64)
    return sums


def batch_norm_grad(
    x: Float,
    dy: Float,
    mean: Float,
    inv_std: Float,
    scale: Float,
    dscale: Float,
    dshift: Float,
    dx: Float,
) -> None:
    """Backward pass in training mode (Ioffe & Szegedy 2015)."""
    sums = _sums(x, dy)
    _finish(x, dy, mean, inv_std, scale, sums[0], sums[1], dscale, dshift, dx)


def batch_norm_eval_grad(
    x: Float,
    dy: Float,
    mean: Float,
    inv_std: Float,
    gain: Float,
    dscale: Float,
    dshift: Float,
    dx: Float,
) -> None:
    """The same with statistics that do not depend on x."""
    total, total_x = _sums(x, dy)
    dscale[...] = (total_x - mean * total) * inv_std
    dshift[...] = total
    np.multiply(dy, gain, out=dx)


def norm_lif_input_grad(
    x: Float,
    dz: Float,
    mean: Float,
    inv_std: Float,
    scale: Float,
    sum_dz: Float,
    sum_dzx: Float,
    dscale: Float,
    dshift: Float,
) -> None:
    """The same from sums that the LIF backward pass has made; dz becomes dx in place."""
    _finish(x, dz, mean, inv_std, scale, sum_dz, sum_dzx, dscale, dshift, dz)


def norm_lif_eval_grad(
    dz: Float,
    mean: Float,
    inv_std: Float,
    gain: Float,
    sum_dz: Float,
    sum_dzx: Float,
    dscale: Float,
    dshift: Float,
) -> None:
    """The same with statistics that do not depend on x."""
    dscale[...] = (sum_dzx - mean * sum_dz) * inv_std
    dshift[...] = sum_dz
    dz *= gain
