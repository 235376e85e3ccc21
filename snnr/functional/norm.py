"""BatchNorm over time, batch and space (Ioffe & Szegedy, ICML 2015)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.functional.layout import from_rows, rows
from snnr.kernels.buffers import empty
from snnr.tensor import Function, Tensor

Array = NDArray[Any]


@dataclass
class RunningStatistics:
    """What evaluation normalises with; updated in place by every training pass.

    ``mean`` and ``var`` are ``[C]``; ``momentum`` is the weight of the newest batch.
    """

    mean: Array
    var: Array
    momentum: float = 0.1
    eps: float = 1e-5

    def update(self, mean: Array, var: Array, count: int) -> None:
        """Blend in a batch's mean and biased variance over `count` rows (stored unbiased)."""
        unbiased = var * (count / max(count - 1, 1))
        self.mean += self.momentum * (mean - self.mean)
        self.var += self.momentum * (unbiased - self.var)


class BatchNorm(Function):
    """y = scale * (x - mean)/sqrt(var + eps) + shift."""

    def __init__(self, statistics: RunningStatistics, training: bool) -> None:
        self.statistics = statistics
        self.training = training

    def prepare(self, x: Tensor, scale: Tensor, shift: Tensor) -> None:
        """Statistics of the batch (or the running ones), folded into one affine per channel."""
        self.x_shape = x.shape
        self.images = x.data.ndim - (x.timesteps is not None) == 4
        self.x = rows(x.data, self.images)
        channels = self.x.shape[1]
        stats = self.statistics
        if self.training:
            mean, var = np.empty((2, channels), x.dtype)
            self.kernels["batch_norm_stats"](self.x, mean, var)
            stats.update(mean, var, self.x.shape[0])
        else:
            mean, var = stats.mean.astype(x.dtype), stats.var.astype(x.dtype)
        self.mean = mean
        self.inv_std = (1.0 / np.sqrt(var.astype(np.float64) + stats.eps)).astype(x.dtype)
        self.scale = scale.data
        self.gain = self.scale * self.inv_std
        self.offset = shift.data - mean * self.gain

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Array:
        self.prepare(x, scale, shift)
        out = empty(self.x.shape, x.dtype)
        self.kernels["batch_norm"](self.x, self.gain, self.offset, out)
        return from_rows(out, self.x_shape, self.images)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dy = rows(grad, self.images)
        channels = dy.shape[1]
        dscale, dshift = np.empty((2, channels), dy.dtype)
        if self.training:
            dx = empty(dy.shape, dy.dtype)
            self.kernels["batch_norm_grad"](
                self.x, dy, self.mean, self.inv_std, self.scale, dscale, dshift, dx
            )
        else:
            dscale[...] = (dy * (self.x - self.mean)).sum(0) * self.inv_std
            dshift[...] = dy.sum(0)
            dx = dy * self.gain
        return from_rows(dx, self.x_shape, self.images), dscale, dshift


def batch_norm(
    x: Tensor, scale: Tensor, shift: Tensor, statistics: RunningStatistics, training: bool
) -> Tensor:
    """Normalise every channel over time, batch and space.

    Parameters
    ----------
    x : ``[T, N, C, H, W]`` or ``[T, N, C]``, or static without T; float.
    scale, shift : ``[C]``.
    statistics : running mean and variance; updated when `training`, used when not.

    Raises
    ------
    ShapeError : the channels of x, scale, shift and statistics differ, or x holds spikes, or
        training has fewer than two values per channel.
    """
    images = x.data.ndim - (x.timesteps is not None) == 4
    channels = x.shape[-3] if images else x.shape[-1]
    if not scale.shape == shift.shape == statistics.mean.shape == (channels,):
        raise ShapeError(
            f"batch_norm: input {list(x.shape)} has {channels} channels, scale has "
            f"{list(scale.shape)}, shift {list(shift.shape)}"
        )
    if x.dtype == np.uint8:
        raise ShapeError("batch_norm: the input must be float, not uint8 spikes")
    if training and x.data.size < 2 * channels:
        raise ShapeError(
            f"batch_norm: input {list(x.shape)} has one value per channel: a variance needs two; "
            "use a larger batch or eval mode"
        )
    return BatchNorm(statistics, training)(x, scale, shift)
