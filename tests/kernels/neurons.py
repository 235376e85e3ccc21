"""Neurons of every kind, and inputs on which no backend's rounding can change a spike."""

import numpy as np

from snnr.kernels import rules
from snnr.kernels.reference import OPERATIONS

from .harness import normal

KINDS = {
    "paper": rules.lif_neuron(),
    "not detached": rules.lif_neuron(detach_reset=False, v_reset=-0.25),
    "input not decayed": rules.lif_neuron(tau=3.0, decay_input=False, v_reset=0.1),
    "soft": rules.lif_neuron(tau=1.7, v_reset=None),
    "soft, not detached": rules.lif_neuron(v_reset=None, detach_reset=False, decay_input=False),
    "if": rules.if_neuron(v_threshold=0.8),
    "if, soft": rules.if_neuron(v_reset=None, detach_reset=False),
    "sigmoid": rules.lif_neuron(surrogate=rules.SIGMOID, alpha=4.0),
    "fast sigmoid": rules.lif_neuron(surrogate=rules.FAST_SIGMOID, alpha=3.0, detach_reset=False),
    "rectangular": rules.lif_neuron(surrogate=rules.RECTANGULAR, alpha=1.0),
    "triangular": rules.lif_neuron(surrogate=rules.TRIANGULAR, alpha=1.0, v_reset=None),
    "gaussian": rules.lif_neuron(surrogate=rules.GAUSSIAN, alpha=2.0),
}
SMOOTH = {name: neuron._replace(smooth=1) for name, neuron in KINDS.items()}


def potentials(x, gain, offset, neuron, steps):
    """h[T,...,C] in float64 by the reference: one step of charge from the recorded v."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1]).astype(np.float64)
    v = np.empty((steps, *flat.shape[1:]))
    OPERATIONS["lif_potential"](flat, gain, offset, neuron, v)
    before = np.concatenate([np.full_like(v[:1], neuron.v_reset), v[:-1]])
    h = neuron.decay * before + neuron.drive * (gain * flat + offset) + neuron.rest
    return h.reshape(steps, *x.shape[1:])


def safe_input(generator, neuron, shape, steps, dtype=np.float32):
    """x, gain, offset for which every h keeps away from the steps of spike and surrogate.

    `shape` is [Tx, ..., C]. Float rounding then changes neither a spike nor a derivative.
    """
    channels = shape[-1]
    gain = (1 + 0.5 * generator.random(channels)).astype(dtype)
    offset = (0.2 * normal(generator, (channels,))).astype(dtype)
    x = (0.4 + 1.5 * normal(generator, shape)).astype(dtype)
    for _ in range(50):
        h = potentials(x, gain, offset, neuron, steps) - neuron.v_threshold
        distance = np.abs(h)
        if neuron.surrogate == rules.RECTANGULAR:
            distance = np.minimum(distance, np.abs(distance * neuron.alpha - 0.5))
        close = np.min(distance, axis=0) < 1e-4
        if not close.any():
            return x, gain, offset
        x[:, close] = (0.4 + 1.5 * normal(generator, (shape[0], int(close.sum())))).astype(dtype)
    raise AssertionError("no safe input found")


def exact_input(generator, shape):
    """x, gain, offset on a coarse binary grid: with tau = 2 or IF, h is exact and often ties."""
    channels = shape[-1]
    gain = generator.choice(np.array([0.5, 1, 2], np.float32), channels)
    offset = generator.integers(-2, 3, channels).astype(np.float32) / 4
    x = generator.integers(-8, 17, shape).astype(np.float32) / 4
    return x, gain, offset


def held_reset(generator, shape, dtype=np.float32):
    """A reset mask that is not the neuron's own spikes."""
    return (generator.random(shape) < 0.3).astype(dtype)


__all__ = ["KINDS", "SMOOTH", "exact_input", "held_reset", "safe_input"]
