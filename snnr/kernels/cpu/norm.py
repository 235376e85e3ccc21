"""BatchNorm over rows (time, batch, space) on the CPU; channels are the last axis."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.rows import affine, zero
from snnr.kernels.jit import jit

CHUNKS = 64

Float = NDArray[np.floating[Any]]


@jit()
def _moments_row(row: Any, shift: Any, total: Any, squares: Any) -> None:
    for c in range(row.shape[0]):
        d = row[c] - shift[c]
        total[c] += d
        squares[c] += d * d


@jit(parallel=True)
def _moments(x: Any, shift: Any, partial: Any) -> None:
    rows = x.shape[0]
    chunks = partial.shape[0]
    for p in prange(chunks):
        zero(partial[p, 0])
        zero(partial[p, 1])
        for r in range(rows * p // chunks, rows * (p + 1) // chunks):
            _moments_row(x[r], shift, partial[p, 0], partial[p, 1])


def batch_norm_stats(x: Float, mean: Float, var: Float) -> None:
    """Mean and biased variance per channel of x[R, C], in one pass.

    Sums are taken of the distance to the first row, so that a large mean cancels nothing.
    """
    partial = empty((CHUNKS, 2, x.shape[1]), x.dtype)
    shift = x[0].copy()
    _moments(x, shift, partial)
    sums = partial.sum(axis=0, dtype=np.float64) / x.shape[0]
    mean[...] = shift + sums[0]
    var[...] = np.maximum(sums[1] - sums[0] ** 2, 0.0)


@jit(parallel=True)
def batch_norm(x: Any, gain: Any, offset: Any, out: Any) -> None:
    """out[R, C] = gain*x + offset."""
    for r in prange(x.shape[0]):
        affine(x[r], gain, offset, out[r])


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
    partial = empty((CHUNKS, 2, x.shape[1]), x.dtype)
    _grad_sums(x, dy, partial)
    sums = partial.sum(axis=0, dtype=np.float64)
    _finish(x, dy, mean, inv_std, scale, sums[0], sums[1], dscale, dshift, dx)


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
