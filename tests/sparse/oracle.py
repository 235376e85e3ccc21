"""The slow, obvious inference: NumPy, time step by time step, on dense matrices in float64; and
weights so round that every sum of them is exact in float32."""

from typing import Any

import numpy as np

from snnr import nn
from snnr.nn.stages import chain

#: weights, inputs and potentials are multiples of this, or of a part of it
GRID = 1 / 16


def conv(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """``[N, C, H, W]`` with ``[O, C, k, k]``."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    taps = w.shape[2]
    height = (x.shape[2] - taps) // stride + 1
    width = (x.shape[3] - taps) // stride + 1
    out = np.zeros((len(x), len(w), height, width))
    for i in range(taps):
        for j in range(taps):
            part = x[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
            out += np.einsum("nchw,oc->nohw", part, w[:, :, i, j])
    return out


def pool(x: np.ndarray, size: int, stride: int, average: bool) -> np.ndarray:
    """``[N, C, H, W]``."""
    height, width = ((side - size) // stride + 1 for side in x.shape[2:])
    parts = [
        x[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
        for i in range(size)
        for j in range(size)
    ]
    return np.mean(parts, axis=0) if average else np.max(parts, axis=0)


class Oracle:
    """Steps a network; potentials live from step to step."""

    def __init__(self, network: nn.Layer) -> None:
        self.layers = list(chain(network))
        self.v: dict[str, np.ndarray] = {}
        self.seen: dict[str, list[np.ndarray]] = {}

    def step(self, x: np.ndarray) -> np.ndarray:
        """One time step ``[N, ...]``."""
        x = x.astype(np.float64)
        for layer in self.layers:
            x = self._layer(layer, x)
        return x

    def run(self, x: np.ndarray) -> np.ndarray:
        """``[T, N, ...]``."""
        return np.stack([self.step(part) for part in x])

    def _layer(self, layer: Any, x: np.ndarray) -> np.ndarray:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            w = layer.weight.numpy().astype(np.float64)
            if isinstance(layer, nn.Linear):
                x = x @ w.T
            else:
                x = conv(x, w, layer.stride, layer.padding)
            return x if layer.bias is None else x + self._channels(layer.bias.numpy(), x)
        if isinstance(layer, nn.BatchNorm):
            mean, var, scale, shift = (
                self._channels(getattr(layer, key).numpy().astype(np.float64), x)
                for key in ("running_mean", "running_var", "scale", "shift")
            )
            return (x - mean) / np.sqrt(var + layer.eps) * scale + shift
        if isinstance(layer, nn.IF):
            return self._neurons(layer, x)
        if isinstance(layer, nn.MaxPool2d):
            return pool(x, layer.kernel_size, layer.stride, isinstance(layer, nn.AvgPool2d))
        if isinstance(layer, nn.Flatten):
            return x.reshape(len(x), -1)
        if isinstance(layer, nn.Voting):
            return x.reshape(len(x), -1, layer.group).mean(axis=2)
        assert isinstance(layer, nn.Dropout)
        return x

    @staticmethod
    def _channels(values: np.ndarray, x: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *(1,) * (x.ndim - 2))

    def _neurons(self, layer: nn.IF, x: np.ndarray) -> np.ndarray:
        neuron = layer.neuron()
        v = self.v.get(layer.name, np.full(x.shape, neuron.v_reset))
        h = neuron.decay * v + neuron.drive * x + neuron.rest
        s = (h >= neuron.v_threshold).astype(np.float64)
        after = h - neuron.v_threshold * s if neuron.soft else h * (1 - s) + neuron.v_reset * s
        self.v[layer.name] = after
        self.seen.setdefault(layer.name, []).append(s)
        return s


def rounded(rng: np.random.Generator, shape: Any, most: int = 24) -> np.ndarray:
    """Multiples of GRID, both signs."""
    return (rng.integers(-most, most + 1, shape) * GRID).astype(np.float32)


def sparse_weights(network: nn.Layer, rng: np.random.Generator, share: float) -> None:
    """Weights and biases on the grid, most of them 0; BatchNorm multiplies by powers of two."""
    for layer in network.layers():
        for short, array in layer.arrays().items():
            if short == "weight":
                values = rounded(rng, array.shape) * (rng.random(array.shape) < share)
                array.assign(values.astype(np.float32))
            elif short in ("bias", "shift", "running_mean"):
                array.assign(rounded(rng, array.shape, 8))
            elif short == "scale":
                signs = rng.choice([-1.0, 0.5, 1.0, 2.0], array.shape)
                array.assign(signs.astype(np.float32))
            elif short == "running_var":
                # 1/sqrt(var + eps) is a power of two, exactly
                eps = layer.eps  # type: ignore[attr-defined]
                array.assign(np.full(array.shape, 1.0 - eps, np.float32))
