"""Batch normalisation (Ioffe & Szegedy, arXiv 1502.03167), in NumPy.

R counts every row that shares a channel: time, batch and space. Sums are made in float64.
"""

import numpy as np

from snnr.kernels.reference.types import Array


def batch_norm_stats(x: Array, mean: Array, var: Array) -> None:
    """mean[C] and biased variance var[C] of x[R,C]."""
    mean[...] = x.mean(axis=0, dtype=np.float64)
    var[...] = x.astype(np.float64).var(axis=0)


def update_running(
    mean: Array, var: Array, rows: int, momentum: float, running_mean: Array, running_var: Array
) -> None:
    """running += momentum * (batch - running); the variance that is kept is the unbiased one."""
    running_mean += momentum * (mean - running_mean)
    running_var += momentum * (var * (rows / max(rows - 1, 1)) - running_var)


def fold_norm(
    mean: Array,
    var: Array,
    scale: Array,
    shift: Array,
    eps: float,
    inv_std: Array,
    gain: Array,
    offset: Array,
) -> None:
    """inv_std = 1/sqrt(var + eps), gain = scale*inv_std, offset = shift - mean*gain."""
    inv_std[...] = 1 / np.sqrt(var.astype(np.float64) + eps)
    gain[...] = scale * inv_std
    offset[...] = shift - mean * gain


def batch_norm(x: Array, gain: Array, offset: Array, out: Array) -> None:
    """out[R,C] = gain[C]*x + offset[C]; gain = scale*inv_std, offset = shift - mean*gain."""
    out[...] = gain * x + offset


def batch_norm_grad(
    x: Array,
    dy: Array,
    mean: Array,
    inv_std: Array,
    scale: Array,
    dscale: Array,
    dshift: Array,
    dx: Array,
) -> None:
    """Gradients of y = scale*(x - mean)*inv_std + shift, mean and inv_std those of the batch."""
    normal = (x.astype(np.float64) - mean) * inv_std
    dy = dy.astype(np.float64)
    sum_dy = dy.sum(axis=0)
    sum_dy_normal = (dy * normal).sum(axis=0)
    rows = x.shape[0]
    dx[...] = (scale.astype(np.float64) * inv_std) * (
        dy - sum_dy / rows - normal * (sum_dy_normal / rows)
    )
    dscale[...] = sum_dy_normal
    dshift[...] = sum_dy


def batch_norm_eval_grad(
    x: Array,
    dy: Array,
    mean: Array,
    inv_std: Array,
    gain: Array,
    dscale: Array,
    dshift: Array,
    dx: Array,
) -> None:
    """Gradients of y = scale*(x - mean)*inv_std + shift, mean and inv_std constant."""
    dscale[...] = (dy.astype(np.float64) * (x.astype(np.float64) - mean)).sum(axis=0) * inv_std
    dshift[...] = dy.sum(axis=0, dtype=np.float64)
    dx[...] = dy * gain


def norm_lif_input_grad(
    x: Array,
    dz: Array,
    mean: Array,
    inv_std: Array,
    scale: Array,
    sum_dz: Array,
    sum_dzx: Array,
    dscale: Array,
    dshift: Array,
) -> None:
    """Backward of BatchNorm in place: dz[R,C], the gradient of the normalised value, becomes dx.

    `sum_dz` = Σ dz and `sum_dzx` = Σ dz*x per channel, as `lif_grad` leaves them.
    """
    rows = x.shape[0]
    sum_dz = sum_dz.astype(np.float64)
    sum_normal = (sum_dzx - mean * sum_dz) * inv_std
    normal = (x.astype(np.float64) - mean) * inv_std
    dz[...] = (scale.astype(np.float64) * inv_std) * (
        dz - sum_dz / rows - normal * (sum_normal / rows)
    )
    dscale[...] = sum_normal
    dshift[...] = sum_dz


def norm_lif_eval_grad(
    dz: Array,
    mean: Array,
    inv_std: Array,
    gain: Array,
    sum_dz: Array,
    sum_dzx: Array,
    dscale: Array,
    dshift: Array,
) -> None:
    """The same with constant statistics."""
    dscale[...] = (sum_dzx.astype(np.float64) - mean * sum_dz.astype(np.float64)) * inv_std
    dshift[...] = sum_dz
    dz *= gain
