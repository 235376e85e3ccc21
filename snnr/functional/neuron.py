"""Spiking neurons over a whole sequence: one node per layer, BPTT runs inside the kernel."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ArgumentError, ShapeError
from snnr.functional.norm import BatchNorm, RunningStatistics, checked_norm
from snnr.functional.pool import pooled
from snnr.kernels import Memory
from snnr.kernels.rules import Neuron
from snnr.layout import Layout
from snnr.tensor import Function, Tensor, is_recording
from snnr.tensor.checks import described, expect_tensors
from snnr.tensor.shapes import laid_out


class Spiking(Function):
    """Spikes of `neuron` for T steps."""

    owned = True

    def __init__(
        self, neuron: Neuron, steps: int, held: Tensor | None, state: Tensor | None
    ) -> None:
        self.neuron = neuron
        self.steps = steps
        self.held_spikes = held
        self.state = state

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return self.steps

    def forward(self, x: Tensor) -> Memory:
        self.x_shape = x.memory.shape
        static = x.timesteps is None
        single = self.x_shape if static else self.x_shape[1:]
        self.flat = prod(single[:-1]), single[-1]
        self.x = x.memory.reshape((1 if static else self.steps, *self.flat))
        held = self.held_spikes
        self.held = None if held is None else held.memory.reshape((self.steps, *self.flat))
        kind = x.dtype if self.neuron.smooth else np.uint8
        out = self.backend.empty((self.steps, *single), kind)
        start = end = None
        if self.state is not None:
            end = self.state.memory.reshape(self.flat)
            start = end
            if is_recording() and self.needs[0]:
                # the state moves on; the backward pass starts from where it was
                start = self.backend.empty(self.flat, x.dtype)
                self.backend.copy(end, start)
        self.start = start
        self.backend.lif(self.x, None, None, self.neuron, self.held, self._by_step(out), start, end)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dz = self.backend.empty(self.x.shape, self.x.dtype)
        self.backend.lif_grad(
            self.x, None, None, self.neuron, self.held, self._by_step(grad), dz, start=self.start
        )
        return (dz.reshape(self.x_shape),)

    def _by_step(self, memory: Memory) -> Memory:
        return memory.reshape((self.steps, *self.flat))


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

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Memory:
        self.prepare(x, scale, shift)
        static = x.timesteps is None
        lead = 1 if static else self.steps
        single = self.x_shape if static else self.x_shape[1:]
        if not self.pool:
            flat = prod(single[:-1]), single[-1]
            self.z = self.x.reshape((lead, *flat))
            out = self.backend.empty((self.steps, *flat), np.uint8)
            self.backend.lif(self.z, self.gain, self.offset, self.neuron, None, out)
            return out.reshape((self.steps, *single))
        self.z = self.x.reshape((lead, *single))
        count, height, width, channels = single
        out = self.backend.empty(
            (self.steps, count, *pooled((height, width), 2, 2), channels), np.uint8
        )
        self.index = self.backend.empty(out.shape, np.uint8)
        self.backend.lif_pool(self.z, self.gain, self.offset, self.neuron, out, self.index)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        backend = self.backend
        dz = backend.empty(self.z.shape, self.z.dtype)
        sum_dz, sum_dzx, dscale, dshift = self.channels(4)
        if self.pool:
            backend.lif_pool_grad(
                self.z, self.gain, self.offset, self.neuron, self.index, grad, dz, sum_dz, sum_dzx
            )
        else:
            dout = grad.reshape((self.steps, *self.z.shape[1:]))
            backend.lif_grad(
                self.z, self.gain, self.offset, self.neuron, None, dout, dz, sum_dz, sum_dzx
            )
        flat = dz.reshape(self.x.shape)
        if self.training:
            backend.norm_lif_input_grad(
                self.x, flat, self.mean, self.inv_std, self.scale, sum_dz, sum_dzx, dscale, dshift
            )
        else:
            backend.norm_lif_eval_grad(
                flat, self.mean, self.inv_std, self.gain, sum_dz, sum_dzx, dscale, dshift
            )
        return dz.reshape(self.x_shape), dscale, dshift


def _steps(name: str, x: Tensor, neuron: Neuron, T: int | None) -> int:
    expect_tensors(name, x=x)
    if not isinstance(neuron, Neuron):
        raise ArgumentError(
            f"{name}: neuron is {described(neuron)}, expected snnr.functional.lif_neuron() or "
            "if_neuron(); a layer has one as layer.neuron()"
        )
    if not (T is None or isinstance(T, int | np.integer)) or isinstance(T, bool):
        raise ShapeError(f"{name}: T (={T!r}), the time steps, must be a whole number or None")
    if x.dtype == np.uint8:
        raise ShapeError(f"{name}: the input current must be float, not uint8 spikes")
    if len(x.sample_shape) < 2:
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


def _held(held: "Tensor | NDArray[Any]", x: Tensor, steps: int) -> Tensor:
    """Held spikes as a tensor of x's dtype and layout."""
    array = held.numpy() if isinstance(held, Tensor) else np.asarray(held)
    if array.shape != (steps, *x.sample_shape):
        raise ShapeError(
            f"spiking: held {list(array.shape)} must have the shape of the spikes, "
            f"{[steps, *x.sample_shape]}"
        )
    return Tensor(array.astype(x.dtype, copy=False), timesteps=steps, device=x.device)


def _checked_state(state: Tensor, x: Tensor) -> Tensor:
    if state.shape != x.sample_shape or state.dtype != x.dtype or state.device != x.device:
        raise ShapeError(
            f"spiking: the state {state!r} must be {x.dtype} of one time step, "
            f"{list(x.sample_shape)}, on {x.device}"
        )
    return state


def spiking(
    x: Tensor,
    neuron: Neuron,
    T: int | None = None,
    held: "Tensor | NDArray[Any] | None" = None,
    state: Tensor | None = None,
) -> Tensor:
    """Spikes of a population of neurons.

    Parameters
    ----------
    x : input current, ``[T, N, ...]``, or static ``[N, ...]`` with the same current at every step.
    neuron : from `snnr.functional.lif_neuron` or `if_neuron`.
    T : time steps, for a static input.
    held : ``[T, N, ...]`` float; the reset follows these spikes, held fixed, instead of the
        neuron's own (the finite difference that belongs to ``detach_reset``).
    state : ``[N, ...]``, the potentials to start from instead of v_reset; overwritten with those
        after the last step, so that a long recording runs in pieces. No gradient flows through it.

    Returns
    -------
    uint8 spikes ``[T, N, ...]``; floats g(h - v_threshold) when ``neuron.smooth``.

    Raises
    ------
    ShapeError : spikes as input, no T for a static one, or held or state do not fit.
    """
    steps = _steps("spiking", x, neuron, T)
    x = laid_out(x, Layout.of(len(x.shape), x.timesteps))
    fixed = None if held is None else _held(held, x, steps)
    start = None if state is None else _checked_state(state, x)
    return Spiking(neuron, steps, fixed, start)(x)


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
    operations. Raises as they do.
    """
    steps = _steps("norm_spiking", x, neuron, T)
    if neuron.smooth:
        raise ShapeError("norm_spiking: smooth spikes are for gradient checks of `spiking` only")
    if pool and (x.layout is not Layout.IMAGES or min(x.shape[-2:]) < 2):
        raise ShapeError(
            f"norm_spiking: 2x2 pooling needs images of at least 2x2, not {list(x.shape)}"
        )
    x = checked_norm("norm_spiking", x, scale, shift, statistics, training)
    return NormSpiking(statistics, training, neuron, steps, pool)(x, scale, shift)
