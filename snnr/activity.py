"""What a network does while it runs: firing rates, silent neurons, operations.

Definitions
-----------
firing rate : spikes / (neurons x time steps x images) of a neuron layer, 0..1.
silent : share of a layer's neurons that did not fire once on all images that were counted.
synaptic operations (SOPs) : per image, over all time steps: how often a spike met a connection
    that survived, that is the sum over spikes of the number of nonzero weights the spike feeds
    (for a convolution only taps that fall on an output position). An event-driven machine adds so
    many weights, one addition each.
multiply-accumulates (MACs) : per image, of layers whose input is not spikes (the first layer of a
    network with analog input, or one behind average pooling): nonzero weights x output positions,
    whatever the input's values; a static input is processed once, a sequence T times.

effective ACs and MACs, dense operations : per image, as NeuroBench 2.3 counts them (Yik et al.,
    Nature Communications 2025): products of an input and a weight that are both not 0 and that fall
    on an output, of a network that is run step by step, so that a static input counts T times. They
    are accumulations where all that a batch gives a layer in a step is -1, 0 or 1, else
    multiply-accumulates. Dense operations are all products, zeros too. Biases do not count.
energy : an estimate, of the effective operations alone: 0.9 pJ for an addition and 4.6 pJ for a
    multiplication with addition, in float32 and 45 nm (Horowitz, ISSCC 2014). Memory and leaking
    potentials, which cost most machines more, are not in it.
activation sparsity : share of a neuron layer's outputs that are 0, as there.

SpikingJelly's and other counters multiply a layer's *dense* MACs by the mean firing rate; here
pruned connections cost nothing and the count is exact, neuron by neuron.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.functional.conv import output_size
from snnr.kernels import Memory
from snnr.metrics import nonzero, weight_layers
from snnr.nn import IF, Conv2d, Layer, Linear
from snnr.tensor import Tensor

Array = NDArray[Any]

#: joules for an addition, and for a multiplication with addition, of float32 in 45 nm (Horowitz,
#: ISSCC 2014)
ADD, MULTIPLY_ADD = 0.9e-12, 4.6e-12


@dataclass(frozen=True)
class NeuronActivity:
    """One neuron layer over all images that were counted.

    outputs : neurons x time steps x images, of which `spikes` were spikes.
    """

    name: str
    neurons: int
    spikes: int
    outputs: int
    firing_rate: float
    silent: float


@dataclass(frozen=True)
class Activity:
    """What `ActivityCounter` counted; operations are per image, by weight layer."""

    images: int
    neurons: dict[str, NeuronActivity]
    synaptic_operations: dict[str, float]
    multiply_accumulates: dict[str, float]
    #: empty where they were not counted
    effective_acs: dict[str, float] = field(default_factory=dict)
    effective_macs: dict[str, float] = field(default_factory=dict)
    dense_operations: dict[str, float] = field(default_factory=dict)

    @property
    def activation_sparsity(self) -> float:
        """Share of 0 among the outputs of all neurons, steps and images."""
        outputs = sum(part.outputs for part in self.neurons.values())
        fired = sum(part.spikes for part in self.neurons.values())
        return (outputs - fired) / max(outputs, 1)

    @property
    def energy(self) -> float:
        """Joules per image, estimated from effective operations."""
        acs, macs = sum(self.effective_acs.values()), sum(self.effective_macs.values())
        return ADD * acs + MULTIPLY_ADD * macs

    @property
    def sops(self) -> float:
        """Synaptic operations per image, all layers."""
        return sum(self.synaptic_operations.values())

    @property
    def macs(self) -> float:
        """Multiply-accumulates per image, all layers with analog input."""
        return sum(self.multiply_accumulates.values())


class _Spikes:
    """Sum of spikes per neuron, in memory of the device; as a host array when asked."""

    def __init__(self, x: Tensor) -> None:
        self.backend, self.layout = x.backend, x.layout
        self.sample = tuple(x.memory.shape[2:])
        self.steps = x.timesteps or 1
        self.memory: Memory = self.backend.zeros(prod(self.sample), np.int64)

    def add(self, x: Tensor) -> None:
        if (tuple(x.memory.shape[2:]), x.timesteps or 1) != (self.sample, self.steps):
            raise ShapeError(
                f"activity is counted over inputs of one shape: {list(x.shape)} does not fit "
                f"{self.steps} steps of {list(self.sample)} counted before"
            )
        rows = prod(x.memory.shape[:2]), prod(self.sample)
        self.backend.count_spikes(x.memory.reshape(rows), self.memory)

    def host(self) -> NDArray[np.int64]:
        """int64, public shape of one sample of one time step."""
        counts = self.backend.copy_out(self.memory)
        return self.layout.to_public(counts.reshape((1, *self.sample)))[0]


class ActivityCounter:
    """Counts spikes while a network runs; keeps one integer per neuron, never the spikes.

    Use ``with counter.watching(): network(images)`` as often as there are batches, in evaluation
    mode, then `result`. Spikes that feed a weight layer are counted where they enter it, so behind
    pooling. Counts are sums: `merge` adds those of another counter (another process's share of the
    images) of the same network.
    """

    def __init__(self, network: Layer) -> None:
        self.network = network
        self.images = 0
        self._device: dict[str, _Spikes] = {}
        self._host: dict[str, Array] = {}
        self._steps: dict[str, int] = {}
        self._neurons: list[str] = []
        self._same: dict[str, str] = {}
        self._last: tuple[str, Tensor] | None = None
        self._analog_steps: dict[str, int] = {}
        self._positions: dict[str, int] = {}
        #: analog inputs that were not 0, of steps that held nothing but -1, 0, 1 and of the others
        self._present: dict[str, tuple[Array, Array]] = {}
        self._static: set[str] = set()

    def watching(self) -> AbstractContextManager[None]:
        """Count what the network does within the block."""
        return self.network.watched(self._after, self._begin, spikes=True)

    def _begin(self, x: Tensor) -> None:
        self.images += x.sample_shape[0]

    def _after(self, layer: Layer, x: Tensor | None, out: Tensor) -> None:
        if isinstance(layer, IF) and out.dtype == np.uint8:
            if layer.name not in self._neurons:
                self._neurons.append(layer.name)
            self._add(f"out {layer.name}", out)
            self._last = layer.name, out
        if x is None or "weight" not in layer.own_parameters():
            return
        self._positions[layer.name] = prod(out.shape[-2:]) if isinstance(layer, Conv2d) else 1
        if x.timesteps is None:
            self._static.add(layer.name)
        if x.dtype != np.uint8:
            self._analog_steps[layer.name] = x.timesteps or 1
            self._add_present(layer.name, x if x.timesteps is not None else _once(x))
        elif self._last is not None and self._last[1] is x:
            self._same[layer.name] = self._last[0]  # counted a moment ago
        else:
            self._add(f"in {layer.name}", x)

    def _add(self, key: str, x: Tensor) -> None:
        sequence = x if x.timesteps is not None else _once(x)
        if key not in self._device:
            self._device[key] = _Spikes(sequence)
            self._steps[key] = sequence.timesteps or 1
        self._device[key].add(sequence)

    def _add_present(self, name: str, x: Tensor) -> None:
        steps, images, *sample = x.memory.shape
        count = x.backend.zeros((steps, prod(sample)), np.int64)
        graded = x.backend.zeros(steps, np.uint8)
        x.backend.count_present(x.memory.reshape((steps, images, prod(sample))), count, graded)
        found, analog = x.backend.copy_out(count), x.backend.copy_out(graded) != 0
        sums = (found[~analog].sum(axis=0), found[analog].sum(axis=0))
        self._remember(name, *(x.layout.to_public(one.reshape((1, *sample)))[0] for one in sums))

    def _remember(self, name: str, added: Array, analog: Array) -> None:
        before = self._present.get(name)
        if before is not None:
            added, analog = before[0] + added, before[1] + analog
        self._present[name] = added, analog

    def _count(self, key: str) -> Array | None:
        mine = self._device[key].host() if key in self._device else None
        other = self._host.get(key)
        if mine is None or other is None:
            return other if mine is None else mine
        return mine + other

    def merge(self, other: "ActivityCounter") -> None:
        """Add what another counter of the same network counted."""
        self.images += other.images
        for key in {*other._device, *other._host}:
            theirs, mine = other._count(key), self._host.get(key)
            assert theirs is not None
            self._host[key] = theirs if mine is None else mine + theirs
        self._steps = {**other._steps, **self._steps}
        self._neurons = list(dict.fromkeys([*self._neurons, *other._neurons]))
        self._same |= other._same
        self._analog_steps |= other._analog_steps
        self._positions |= other._positions
        self._static |= other._static
        for name, (added, analog) in other._present.items():
            self._remember(name, added, analog)

    def result(self) -> Activity:
        """Rates and operations so far."""
        images = max(self.images, 1)
        neurons = {}
        for name in self._neurons:
            key = f"out {name}"
            count = self._count(key)
            assert count is not None
            spikes, outputs = int(count.sum()), count.size * self._steps[key] * images
            neurons[name] = NeuronActivity(
                name=name,
                neurons=count.size,
                spikes=spikes,
                outputs=outputs,
                firing_rate=spikes / outputs,
                silent=float(np.count_nonzero(count == 0) / count.size),
            )
        sops: dict[str, float] = {}
        macs: dict[str, float] = {}
        for layer in weight_layers(self.network):
            source = self._same.get(layer.name)
            count = self._count(f"in {layer.name}" if source is None else f"out {source}")
            if count is not None and isinstance(layer, Linear | Conv2d):
                sops[layer.name] = synaptic_operations(layer, count) / images
            elif layer.name in self._analog_steps:
                positions, steps = self._positions[layer.name], self._analog_steps[layer.name]
                weights = nonzero(layer.own_parameters()["weight"])
                macs[layer.name] = float(weights * positions * steps)
        return Activity(self.images, neurons, sops, macs, *self._operations(images))

    def _operations(self, images: int) -> tuple[dict[str, float], ...]:
        """Effective ACs, effective MACs and dense operations of each layer, per image."""
        acs: dict[str, float] = {}
        macs: dict[str, float] = {}
        dense: dict[str, float] = {}
        steps = max((self._steps[f"out {name}"] for name in self._neurons), default=1)
        for layer in weight_layers(self.network):
            if not isinstance(layer, Linear | Conv2d):
                continue
            name, source = layer.name, self._same.get(layer.name)
            key = f"in {name}" if source is None else f"out {source}"
            spikes = self._count(key)
            # step by step, a static input is processed anew in every step
            times = steps if name in self._static else 1
            if spikes is not None:
                length = self._steps[key]
            elif name in self._present:
                spikes, analog = self._present[name]
                macs[name] = times * synaptic_operations(layer, analog) / images
                length = self._analog_steps[name]
            else:
                continue
            acs[name] = times * synaptic_operations(layer, spikes) / images
            dense[name] = float(times * length * dense_operations(layer, spikes.shape))
        return acs, macs, dense


def _once(x: Tensor) -> Tensor:
    """A static tensor as a sequence of one step."""
    memory = x.memory.reshape((1, *x.memory.shape))
    return Tensor.from_memory(memory, x.device, 1)


def synaptic_operations(layer: Linear | Conv2d, spikes: Array) -> int:
    """Times that a spike met a surviving connection.

    Parameters
    ----------
    layer : a weight layer.
    spikes : number of spikes of each input, ``[in]`` or ``[C, H, W]``, over steps and images.
    """
    return _met(layer, layer.weight.numpy() != 0, spikes)


def dense_operations(layer: Linear | Conv2d, shape: tuple[int, ...]) -> int:
    """Products of a weight layer for one input ``[in]`` or ``[C, H, W]``, zeros among them."""
    return _met(layer, np.ones(layer.weight.shape, np.bool_), np.ones(shape, np.int64))


def _met(layer: Linear | Conv2d, alive: Array, spikes: Array) -> int:
    """Sum over inputs of their number times the true weights that they meet."""
    if isinstance(layer, Linear):
        return int(alive.sum(axis=0, dtype=np.int64) @ spikes.astype(np.int64).reshape(-1))
    taps, stride, padding = layer.geometry
    size = output_size(spikes.shape[-2:], taps, stride, padding)
    # of an input channel, the weights of its group that read it: [in, kh, kw]
    groups = layer.groups
    fan_out = alive.reshape(groups, -1, *alive.shape[1:]).sum(axis=1, dtype=np.int64)
    fan_out = fan_out.reshape(-1, *taps)
    rows, columns = (
        [
            _reached(tap, spikes.shape[1 + i], size[i], stride[i], padding[i])
            for tap in range(taps[i])
        ]
        for i in (0, 1)
    )
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
