"""What one time step is, compiled from `rules` for each kind of neuron.

What kind it is, is constant in a kernel, so that no branch is left in its loop; a training has one
or two kinds.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels import rules
from snnr.kernels.cuda.device import function
from snnr.kernels.rules import Neuron

_charge = function(rules.charge)
_fire = function(rules.fire)
_reset_hard = function(rules.reset_hard)
_reset_soft = function(rules.reset_soft)
_hard_grad = function(rules.reset_hard_grad)
_hard_grad_detached = function(rules.reset_hard_grad_detached)
_soft_grad = function(rules.reset_soft_grad)
_soft_grad_detached = function(rules.reset_soft_grad_detached)
_primitive = function(rules.surrogate_primitive)
_derivative = function(rules.surrogate_derivative)


class Kind(NamedTuple):
    """What is constant in a kernel. `held`: the reset follows given spikes."""

    soft: bool
    detach: bool
    surrogate: int
    smooth: bool
    held: bool

    @property
    def plain(self) -> bool:
        """Whether spikes are 0 or 1 and the neuron's own."""
        return not (self.smooth or self.held)


def kind_of(neuron: Neuron, held: bool) -> Kind:
    """For the backward pass. Held spikes are constant, as detached ones are."""
    return Kind(
        bool(neuron.soft), bool(neuron.detach) or held, neuron.surrogate, bool(neuron.smooth), held
    )


def forward_kind_of(neuron: Neuron, held: bool) -> Kind:
    """For the forward pass, which knows the surrogate of smooth spikes only."""
    surrogate = neuron.surrogate if neuron.smooth else rules.ATAN
    return Kind(bool(neuron.soft), True, surrogate, bool(neuron.smooth), held)


def scalars_of(neuron: Neuron, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """decay, drive, rest, v_threshold, v_reset, slope and peak of the surrogate, in dtype."""
    values = (
        neuron.decay, neuron.drive, neuron.rest, neuron.v_threshold, neuron.v_reset,
        rules.surrogate_slope(neuron.surrogate, neuron.alpha),
        rules.surrogate_peak(neuron.surrogate, neuron.alpha),
    )  # fmt: skip
    return tuple(dtype.type(value) for value in values)


@lru_cache
def spiking(kind: Kind) -> Any:
    """A function (h, zero, one, scalars) for kernels: the spike, in the type of h."""
    smooth, surrogate = kind.smooth, kind.surrogate

    def spike(h: Any, zero: Any, one: Any, scalars: Any) -> Any:
        if smooth:
            return _primitive(h - scalars[3], surrogate, scalars[5], scalars[6])
        return one if _fire(h, scalars[3]) else zero

    return function(spike)


@lru_cache
def charging() -> Any:
    """A function (v, z, scalars) for kernels: the potential before the reset."""

    def charge(v: Any, z: Any, scalars: Any) -> Any:
        return _charge(v, z, scalars[0], scalars[1], scalars[2])

    return function(charge)


@lru_cache
def resetting(soft: bool) -> Any:
    """A function (h, s, scalars) for kernels: the potential after the reset."""

    def reset(h: Any, s: Any, scalars: Any) -> Any:
        if soft:
            return _reset_soft(h, s, scalars[3])
        return _reset_hard(h, s, scalars[4])

    return function(reset)


@lru_cache
def going_back(kind: Kind) -> Any:
    """A function (dv, ds, h, s, scalars) for kernels: the gradient with respect to h, where s is
    what the reset followed."""
    soft, detach, surrogate = kind.soft, kind.detach, kind.surrogate

    def back(dv: Any, ds: Any, h: Any, s: Any, scalars: Any) -> Any:
        slope = _derivative(h - scalars[3], surrogate, scalars[5], scalars[6])
        if soft and detach:
            return _soft_grad_detached(dv, ds, slope)
        if soft:
            return _soft_grad(dv, ds, slope, scalars[3])
        if detach:
            return _hard_grad_detached(dv, ds, s, slope)
        return _hard_grad(dv, ds, h, s, slope, scalars[4])

    return function(back)
