"""BatchNorm over time, batch and space (Ioffe & Szegedy, ICML 2015)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ArgumentError, ShapeError
from snnr.kernels import Memory
from snnr.layout import Layout
from snnr.tensor import Buffer, Function, Tensor
from snnr.tensor.checks import described, expect_tensors
from snnr.tensor.shapes import converted, rows_of


@dataclass
class RunningStatistics:
    """What evaluation normalises with; updated in place by every training pass.

    ``mean`` and ``var`` are ``[C]`` (arrays become buffers); ``momentum`` is the weight of the
    newest batch.
    """

    mean: Buffer
    var: Buffer
    momentum: float = 0.1
    eps: float = 1e-5

    def __init__(
        self,
        mean: "Buffer | NDArray[Any]",
        var: "Buffer | NDArray[Any]",
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        self.mean = mean if isinstance(mean, Buffer) else Buffer(mean, role="running_mean")
        self.var = var if isinstance(var, Buffer) else Buffer(var, role="running_var")
        self.momentum = momentum
        self.eps = eps


class BatchNorm(Function):
    """y = scale * (x - mean)/sqrt(var + eps) + shift."""

    owned = True

    def __init__(self, statistics: RunningStatistics, training: bool) -> None:
        self.statistics = statistics
        self.training = training

    def channels(self, count: int = 1) -> list[Memory]:
        """Memory for so many values per channel."""
        return [self.backend.empty(self.x.shape[1], self.x.dtype) for _ in range(count)]

    def prepare(self, x: Tensor, scale: Tensor, shift: Tensor) -> None:
        """Statistics of the batch (or the running ones), folded into one affine per channel."""
        self.x_shape = x.memory.shape
        self.x = rows_of(x.memory)
        stats = self.statistics
        running = stats.mean.memory, stats.var.memory
        if self.training:
            self.mean, var = self.channels(2)
            self.backend.batch_norm_stats(self.x, self.mean, var)
            self.backend.update_running(self.mean, var, self.x.shape[0], stats.momentum, *running)
        else:
            self.mean, var = running
        self.scale = scale.memory
        self.inv_std, self.gain, self.offset = self.channels(3)
        self.backend.fold_norm(
            self.mean, var, self.scale, shift.memory, stats.eps, self.inv_std, self.gain,
            self.offset,
        )  # fmt: skip

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Memory:
        self.prepare(x, scale, shift)
        out = self.backend.empty(self.x.shape, x.dtype)
        self.backend.batch_norm(self.x, self.gain, self.offset, out)
        return out.reshape(self.x_shape)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dy = rows_of(grad)
        dscale, dshift = self.channels(2)
        dx = self.backend.empty(dy.shape, dy.dtype)
        if self.training:
            self.backend.batch_norm_grad(
                self.x, dy, self.mean, self.inv_std, self.scale, dscale, dshift, dx
            )
        else:
            self.backend.batch_norm_eval_grad(
                self.x, dy, self.mean, self.inv_std, self.gain, dscale, dshift, dx
            )
        return dx.reshape(self.x_shape), dscale, dshift


def checked_norm(
    name: str,
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    statistics: RunningStatistics,
    training: bool,
) -> Tensor:
    """x in the dtype of the scale, when everything fits.

    Raises
    ------
    ShapeError : channels, dtypes or the number of values do not fit.
    """
    expect_tensors(name, x=x, scale=scale, shift=shift)
    if not isinstance(statistics, RunningStatistics):
        raise ArgumentError(
            f"{name}: statistics is {described(statistics)}, expected "
            "snnr.functional.RunningStatistics(mean, var)"
        )
    channels = x.shape[-3] if x.layout is Layout.IMAGES else x.shape[-1]
    if not scale.shape == shift.shape == statistics.mean.shape == (channels,):
        raise ShapeError(
            f"{name}: input {list(x.shape)} has {channels} channels, scale has "
            f"{list(scale.shape)}, shift {list(shift.shape)}, the statistics "
            f"{list(statistics.mean.shape)}"
        )
    if x.dtype == np.uint8:
        raise ShapeError(f"{name}: the input must be float, not uint8 spikes")
    kinds = {scale.dtype, shift.dtype, statistics.mean.dtype, statistics.var.dtype}
    if len(kinds) > 1:
        raise ShapeError(
            f"{name}: scale, shift and statistics must have one dtype, not "
            f"{', '.join(sorted(map(str, kinds)))}"
        )
    if training and x.size < 2 * channels:
        raise ShapeError(
            f"{name}: input {list(x.shape)} has one value per channel: a variance needs two; "
            "use a larger batch or eval mode"
        )
    for part in (statistics.mean, statistics.var):
        part.to(x.device)
    return converted(x, scale.dtype)


def batch_norm(
    x: Tensor, scale: Tensor, shift: Tensor, statistics: RunningStatistics, training: bool
) -> Tensor:
    """Normalise every channel over time, batch and space.

    Parameters
    ----------
    x : ``[T, N, C, H, W]`` or ``[T, N, C]``, or static without T; float, converted to the dtype of
        the scale.
    scale, shift : ``[C]``.
    statistics : running mean and variance; updated when `training`, used when not.

    Raises
    ------
    ShapeError : the channels of x, scale, shift and statistics differ, or x holds spikes, or
        training has fewer than two values per channel.
    """
    x = checked_norm("batch_norm", x, scale, shift, statistics, training)
    return BatchNorm(statistics, training)(x, scale, shift)
