"""Matrix products and dense layers, in NumPy. Sums are made in float64 and rounded once."""

import numpy as np

from snnr.kernels.operations import Hints, Packed
from snnr.kernels.reference.packed import pack, whole_room
from snnr.kernels.reference.types import Array


def matmul(a: Array, b: Array, out: Array) -> None:
    """out[M,N] = a[M,K] @ b[K,N]."""
    out[...] = a.astype(np.float64) @ b.astype(np.float64)


def product(x: Array, w: Array, spikes: bool) -> Array:
    """x[..,K] @ w[K,O] in float64; a spike that is absent passes over its weights, also those that
    are not finite."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    odd = ~np.isfinite(w)
    if not spikes or not odd.any():
        # of what is not finite some builds of BLAS say so, and others do not
        with np.errstate(invalid="ignore"):
            return np.asarray(x @ w)
    total = np.asarray(x @ np.where(odd, 0, w))
    for k, o in np.argwhere(odd):
        total[..., o] += np.where(x[..., k] != 0, w[k, o], 0)
    return total


def linear(
    x: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    scale: float = 1.0,
    hints: Hints | None = None,
) -> None:
    """out[M,O] = scale * x[M,K] @ w[K,O] + bias[O]; x float or uint8."""
    total = scale * product(x, w, x.dtype == np.uint8)
    out[...] = total if bias is None else total + bias


def linear_input_grad(
    dy: Array, w: Array, dx: Array, scale: float = 1.0, hints: Hints | None = None
) -> None:
    """dx[M,K] = scale * dy[M,O] @ w[K,O].T, zero where `hints.needed` is, at every time step."""
    dx[...] = scale * (dy.astype(np.float64) @ w.astype(np.float64).T)
    if hints is not None and hints.needed is not None:
        for step in dx.reshape(-1, *hints.needed.shape):
            step[hints.needed == 0] = 0


def linear_weight_grad(
    x: Array,
    dy: Array,
    dw: Array | Packed,
    scale: float = 1.0,
    hints: Hints | None = None,
) -> None:
    """dw[K,O] = scale * x[M,K].T @ dy[M,O], or of it what is packed; x float or uint8."""
    whole = whole_room(dw)
    whole[...] = scale * (x.astype(np.float64).T @ dy.astype(np.float64))
    pack(whole, dw)


def bias_grad(dy: Array, db: Array) -> None:
    """db[O] = column sums of dy[R,O]."""
    db[...] = dy.sum(axis=0, dtype=np.float64)
