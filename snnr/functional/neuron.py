"""Spiking neurons over a whole sequence: one node per layer, BPTT runs inside the kernel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.functional.layout import channels_last, from_rows, public, rows
from snnr.functional.norm import BatchNorm, RunningStatistics
from snnr.kernels.buffers import empty
from snnr.kernels.rules import Neuron
from snnr.tensor import Function, Tensor

Array = NDArray[Any]
_NOT_HELD: dict[Any, Array] = {
    np.dtype(kind): np.zeros((0, 0, 0), kind) for kind in (np.float32, np.float64)
}


class Spiking(Function):
    """Spikes of `neuron` for T steps."""

    def __init__(self, neuron: Neuron, steps: int, held: Array | None) -> None:
        self.neuron = neuron
        self.steps = steps
        self.held_spikes = held

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return self.steps

    def forward(self, x: Tensor) -> Array:
        static = x.timesteps is None
        self.x_shape = x.shape
        single = x.shape if static else x.shape[1:]
        self.images = len(single) == 4
        flat = rows(x.data, self.images)
        channels = flat.shape[1]
        self.x = flat.reshape(1 if static else self.steps, -1, channels)
        self.gain = np.ones(channels, x.dtype)
        self.offset = np.zeros(channels, x.dtype)
        self.held = _NOT_HELD[x.dtype]
        if self.held_spikes is not None:
            self.held = rows(self.held_spikes, self.images).reshape(self.steps, -1, channels)
        kind = x.dtype if self.neuron.smooth else np.uint8
        out = empty((self.steps, self.x.shape[1], channels), kind)
        self.kernels["lif"](self.x, self.gain, self.offset, self.neuron, self.held, out)
        return from_rows(out, (self.steps, *single), self.images)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        channels = self.x.shape[2]
        dout = rows(grad, self.images).reshape(self.steps, -1, channels)
        dz = empty(self.x.shape, self.x.dtype)
        self.kernels["lif_grad"](
            self.x, self.gain, self.offset, self.neuron, self.held, dout, dz
        )
        return (from_rows(dz, self.x_shape, self.images),)


class NormSpiking(BatchNorm):
    """BatchNorm and spikes in one pass over memory, optionally with 2x2 max pooling."""

    def __init__(
        self,
        statistics: RunningStatistics,
        training: bool,
        neuron: Neuron,
        steps: int,
        pool: bool,
    ) -> None:
        super().__init__(statistics, training)
        self.neuron = neuron
        self.steps = steps
        self.pool = pool

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return self.steps

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Array:
        static = x.timesteps is None
        single = x.shape if static else x.shape[1:]
        self.prepare(x, scale, shift)
        shape = (1 if static else self.steps, -1, self.x.shape[1])
        if not self.pool:
            self.z = self.x.reshape(shape)
            held = _NOT_HELD[x.dtype]
            out = empty((self.steps, *self.z.shape[1:]), np.uint8)
            self.kernels["lif"](self.z, self.gain, self.offset, self.neuron, held, out)
            return from_rows(out, (self.steps, *single), self.images)
        count, channels, height, width = single
        self.z = self.x.reshape(shape[0], count, height, width, channels)
        out = empty((self.steps, count, height // 2, width // 2, channels), np.uint8)
        self.index = empty(out.shape, np.uint8)
        self.kernels["lif_pool"](self.z, self.gain, self.offset, self.neuron, out, self.index)
        return public(out)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        channels = self.x.shape[1]
        dz = empty(self.z.shape, self.z.dtype)
        sums = np.empty((2, channels), self.z.dtype)
        if self.pool:
            self.kernels["lif_pool_grad"](
                self.z, self.gain, self.offset, self.neuron, self.index, channels_last(grad),
                dz, sums[0], sums[1],
            )  # fmt: skip
        else:
            dout = rows(grad, self.images).reshape(self.steps, -1, channels)
            held = _NOT_HELD[self.z.dtype]
            self.kernels["lif_grad"](
                self.z, self.gain, self.offset, self.neuron, held, dout, dz, sums[0], sums[1]
            )
        flat = dz.reshape(-1, channels)
        dscale, dshift = np.empty((2, channels), flat.dtype)
        if self.training:
            self.kernels["norm_lif_input_grad"](
                self.x, flat, self.mean, self.inv_std, self.scale, sums[0], sums[1], dscale, dshift
            )
        else:
            dscale[...] = (sums[1] - self.mean * sums[0]) * self.inv_std
            dshift[...] = sums[0]
            flat *= self.gain
        return from_rows(flat, self.x_shape, self.images), dscale, dshift


def _steps(name: str, x: Tensor, T: int | None) -> int:
    if x.dtype == np.uint8:
        raise ShapeError(f"{name}: the input current must be float, not uint8 spikes")
    if x.data.ndim < 2 + (x.timesteps is not None):
        raise ShapeError(f"{name}: input {list(x.shape)} must be [T, N, ...] or static [N, ...]")
    if x.timesteps is None:
        if T is None or T < 1:
            raise ShapeError(
                f"{name}: a static input {list(x.shape)} needs the number of time steps, T >= 1 "
                f"(got {T})"
            )
        return T
    if T is not None and x.timesteps != T:
        raise ShapeError(f"{name}: the sequence has {x.timesteps} time steps, T={T} was asked for")
    return x.timesteps


def spiking(
    x: Tensor, neuron: Neuron, T: int | None = None, held: NDArray[Any] | None = None
) -> Tensor:
    """Spikes of a population of neurons.

    Parameters
    ----------
    x : input current, ``[T, N, ...]``, or static ``[N, ...]`` with the same current at every step.
    neuron : from `snnr.functional.lif_neuron` or `if_neuron`.
    T : time steps, for a static input.
    held : ``[T, N, ...]`` float; the reset follows these spikes, held fixed, instead of the
        neuron's own (the finite difference that belongs to ``detach_reset``).

    Returns
    -------
    uint8 spikes ``[T, N, ...]``; floats g(h - v_threshold) when ``neuron.smooth``.

    Raises
    ------
    ShapeError : spikes as input, or no T for a static one.
    """
    steps = _steps("spiking", x, T)
    return Spiking(neuron, steps, held)(x)


def norm_spiking(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    statistics: RunningStatistics,
    neuron: Neuron,
    training: bool,
    T: int | None = None,
    pool: bool = False,
) -> Tensor:
    """`batch_norm`, then `spiking`, then (with `pool`) 2x2 max pooling, fused.

    The same numbers as the three operations; neither the normalised current nor, with `pool`, the
    spikes before pooling are ever stored. Smooth neurons are not fused: use the separate
    operations.
    """
    steps = _steps("norm_spiking", x, T)
    if neuron.smooth:
        raise ShapeError("norm_spiking: smooth spikes are for gradient checks of `spiking` only")
    if pool and x.data.ndim != 4 + (x.timesteps is not None):
        raise ShapeError(f"norm_spiking: pooling needs images, not {list(x.shape)}")
    return NormSpiking(statistics, training, neuron, steps, pool)(x, scale, shift)
