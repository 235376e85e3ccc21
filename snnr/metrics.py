"""What a sparse network is judged by: connectivity, firing rates, silent neurons, operations.

Definitions
-----------
connectivity : nonzero / all prunable weights (parameters of role "weight"); zero means exactly 0.
firing rate : spikes / (neurons x time steps x images) of a neuron layer, 0..1.
silent : share of a layer's neurons that did not fire once on all images that were counted.
synaptic operations (SOPs) : per image, over all time steps: how often a spike met a connection
    that survived, that is the sum over spikes of the number of nonzero weights the spike feeds
    (for a convolution only taps that fall on an output position). An event-driven machine adds so
    many weights, one addition each.
multiply-accumulates (MACs) : per image, of layers whose input is not spikes (the first layer of a
    network with analog input, or one behind average pooling): nonzero weights x output positions,
    whatever the input's values; a static input is processed once, a sequence T times.

SpikingJelly's and other counters multiply a layer's *dense* MACs by the mean firing rate; here
pruned connections cost nothing and the count is exact, neuron by neuron.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.functional.conv import output_size
from snnr.nn import IF, Conv2d, Layer, Linear, Sequential
from snnr.tensor import Tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerConnectivity:
    """Connections of one weight layer; `shape` is the weight's public shape."""

    name: str
    shape: tuple[int, ...]
    weights: int
    nonzero: int

    @property
    def connectivity(self) -> float:
        return self.nonzero / max(self.weights, 1)


def layer_connectivity(network: Sequential) -> list[LayerConnectivity]:
    """Connections of each weight layer, in order."""
    return [
        LayerConnectivity(
            layer.name, layer.weight.shape, layer.weight.data.size, _nonzero(layer.weight.data)
        )
        for layer in weight_layers(network)
    ]


def connectivity(network: Sequential) -> float:
    """Nonzero / all prunable weights of a network, 0..1."""
    layers = layer_connectivity(network)
    return sum(part.nonzero for part in layers) / max(sum(part.weights for part in layers), 1)


def weight_layers(network: Sequential) -> list[Linear | Conv2d]:
    """Layers with prunable weights, in order."""
    return [layer for layer in network if isinstance(layer, Linear | Conv2d)]


def driven_neurons(network: Sequential) -> dict[str, str]:
    """Weight layer -> the neuron layer that it drives (none when another weight comes first)."""
    driven: dict[str, str] = {}
    waiting: str | None = None
    for layer in network:
        if isinstance(layer, Linear | Conv2d):
            waiting = layer.name
        elif isinstance(layer, IF) and waiting is not None:
            driven[waiting] = layer.name
            waiting = None
    return driven


@dataclass(frozen=True)
class NeuronActivity:
    """One neuron layer over all images that were counted."""

    name: str
    neurons: int
    firing_rate: float
    silent: float


@dataclass(frozen=True)
class Activity:
    """What `ActivityCounter` counted; operations are per image, by weight layer."""

    images: int
    neurons: dict[str, NeuronActivity]
    synaptic_operations: dict[str, float]
    multiply_accumulates: dict[str, float]

    @property
    def sops(self) -> float:
        """Synaptic operations per image, all layers."""
        return sum(self.synaptic_operations.values())

    @property
    def macs(self) -> float:
        """Multiply-accumulates per image, all layers with analog input."""
        return sum(self.multiply_accumulates.values())


@dataclass
class ActivityCounter:
    """Counts spikes while a network runs; keeps one integer per neuron, never the spikes.

    Use ``with counter.watching(): network(images)`` as often as there are batches, in evaluation
    mode, then `result`. Spikes that feed a weight layer are counted where they enter it, so behind
    pooling.
    """

    network: Sequential
    images: int = 0
    _spikes: dict[str, Array] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)
    _inputs: dict[str, Array] = field(default_factory=dict)
    _analog_steps: dict[str, int] = field(default_factory=dict)
    _outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name: dict[str, Layer | None] = {"": None}
        self._by_name |= {layer.name: layer for layer in self.network}
        self._next = dict(zip(self._by_name, self.network, strict=False))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what the network does within the block."""
        before, self.network.observer = self.network.observer, self._observe
        try:
            yield
        finally:
            self.network.observer = before

    def _observe(self, name: str, x: Tensor) -> None:
        layer = self._by_name[name]
        counted: Array | None = None
        if layer is self.network[-1]:
            self.images += x.shape[0] if x.timesteps is None else x.shape[1]
        if isinstance(layer, IF) and x.dtype == np.uint8:
            counted = count_spikes(x.data)
            _add(self._spikes, name, counted)
            self._steps[name] = x.shape[0]
        if isinstance(layer, Conv2d):
            self._outputs[name] = x.shape[-2:]
        following = self._next.get(name)
        if isinstance(following, Linear | Conv2d):
            if x.dtype == np.uint8:
                _add(self._inputs, following.name, count_spikes(x.data, counted))
            else:
                self._analog_steps[following.name] = x.timesteps or 1

    def result(self) -> Activity:
        """Rates and operations so far."""
        images = max(self.images, 1)
        neurons = {
            name: NeuronActivity(
                name=name,
                neurons=count.size,
                firing_rate=float(count.sum() / (count.size * self._steps[name] * images)),
                silent=float(np.count_nonzero(count == 0) / count.size),
            )
            for name, count in self._spikes.items()
        }
        sops: dict[str, float] = {}
        macs: dict[str, float] = {}
        for layer in weight_layers(self.network):
            if layer.name in self._inputs:
                operations = synaptic_operations(layer, self._inputs[layer.name])
                sops[layer.name] = operations / images
            else:
                positions = int(np.prod(self._outputs.get(layer.name, (1,))))
                steps = self._analog_steps.get(layer.name, 1)
                macs[layer.name] = float(_nonzero(layer.weight.data) * positions * steps)
        return Activity(self.images, neurons, sops, macs)


def _add(sums: dict[str, Array], name: str, counted: Array) -> None:
    if name in sums:
        sums[name] += counted
    else:
        sums[name] = counted.copy()


def count_spikes(spikes: NDArray[np.uint8], known: Array | None = None) -> NDArray[np.int64]:
    """Spikes ``[T, N, ...]`` -> number per neuron ``[...]``; `known` when it was counted before."""
    if known is not None:
        return known
    steps, count = spikes.shape[:2]
    if steps > 255:
        return spikes.sum(axis=(0, 1), dtype=np.int64)
    # bytes hold the sum over up to 255 steps, and bytes add up quickest
    over_time = np.add.reduce(spikes, axis=0, dtype=np.uint8)
    group = max(1, 255 // steps)
    total = np.zeros(spikes.shape[2:], np.int64)
    for start in range(0, count, group):
        total += np.add.reduce(over_time[start : start + group], axis=0, dtype=np.uint8)
    return total


def synaptic_operations(layer: Linear | Conv2d, spikes: Array) -> int:
    """Times that a spike met a surviving connection.

    Parameters
    ----------
    layer : a weight layer.
    spikes : number of spikes of each input, ``[in]`` or ``[C, H, W]``, over steps and images.
    """
    alive = layer.weight.data != 0
    if isinstance(layer, Linear):
        return int(alive.sum(axis=0, dtype=np.int64) @ spikes.astype(np.int64).reshape(-1))
    height, width = spikes.shape[-2:]
    taps, stride, padding = layer.kernel_size, layer.stride, layer.padding
    size = output_size((height, width), (taps, taps), (stride,) * 2, (padding,) * 2)
    fan_out = alive.sum(axis=0, dtype=np.int64)  # [in, kh, kw]
    rows = [_reached(tap, height, size[0], stride, padding) for tap in range(taps)]
    columns = [_reached(tap, width, size[1], stride, padding) for tap in range(taps)]
    total = 0
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            met = spikes[:, row][:, :, column].sum(axis=(1, 2), dtype=np.int64)
            total += int(fan_out[:, y, x] @ met)
    return total


def _reached(tap: int, size: int, outputs: int, stride: int, padding: int) -> Array:
    """Input positions that this tap of the kernel reads for some output position."""
    place = np.arange(outputs) * stride + tap - padding
    return place[(place >= 0) & (place < size)]


def _nonzero(array: Array) -> int:
    return int(np.count_nonzero(array))


def unreached_neurons(layer: Layer) -> int:
    """Outputs of a weight layer that no surviving connection reaches."""
    return _without(layer, axis=0)


def unused_inputs(layer: Layer) -> int:
    """Inputs of a weight layer (channels, for a convolution) that no connection leaves."""
    return _without(layer, axis=1)


def _without(layer: Layer, axis: int) -> int:
    weight = layer.own_parameters()["weight"].data
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return int(np.count_nonzero(~(weight != 0).any(axis=others)))
