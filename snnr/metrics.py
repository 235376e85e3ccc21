"""What is left of a network: connectivity, and neurons and inputs that nothing reaches.

Definitions
-----------
connectivity : nonzero / all prunable weights (parameters of role "weight"); zero means exactly 0.
unreached : a neuron (for a convolution an output channel) that no surviving connection leads to.
connection sparsity : 1 - connectivity.
footprint : bytes of all parameters and buffers, zeros too, as NeuroBench 2.3 counts them; pruning
    does not lower it. PyTorch keeps a counter of 8 bytes in each BatchNorm, which is counted too.
sparse footprint : the same with weights as CSR: values, columns and row starts, integers of the
    smallest unsigned type that holds them.
unused : an input (for a convolution an input channel) that no surviving connection leaves.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.nn import IF, BatchNorm1d, BatchNorm2d, Layer
from snnr.nn.stages import chain
from snnr.tensor import Parameter

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
        """Nonzero / weights, 0..1."""
        return self.nonzero / max(self.weights, 1)


def nonzero(parameter: Parameter) -> int:
    """How many entries are not exactly 0."""
    count = parameter.backend.zeros(1, np.int64)
    parameter.backend.count_nonzero(parameter.memory, count)
    return int(parameter.backend.copy_out(count)[0])


def weight_layers(network: Layer) -> list[Layer]:
    """Layers with a prunable weight of their own, in order."""
    return [layer for layer in network.layers() if _weights(layer)]


def _weights(layer: Layer) -> list[Parameter]:
    return [p for p in layer.own_parameters().values() if p.role == "weight"]


def layer_connectivity(network: Layer) -> list[LayerConnectivity]:
    """Connections of each weight layer, in order; one with several weights counts each by itself,
    under the weight's path."""
    found = []
    for layer in weight_layers(network):
        weights = _weights(layer)
        for p in weights:
            name = layer.name if len(weights) == 1 else p.name
            found.append(LayerConnectivity(name, p.shape, p.size, nonzero(p)))
    return found


def connectivity(network: Layer) -> float:
    """Nonzero / all prunable weights of a network, 0..1."""
    layers = layer_connectivity(network)
    return sum(part.nonzero for part in layers) / max(sum(part.weights for part in layers), 1)


def footprint(network: Layer) -> int:
    """Bytes of all parameters and buffers, zeros too."""
    total = 0
    for layer in network.layers():
        total += sum(array.memory.nbytes for array in layer.arrays().values())
        total += 8 * isinstance(layer, BatchNorm1d | BatchNorm2d)
    return total


def sparse_footprint(network: Layer) -> int:
    """Bytes with every weight as CSR, one row for each output."""
    total = footprint(network)
    for layer in weight_layers(network):
        for p in _weights(layer):
            outputs, inputs, count = p.shape[0], p.size // max(p.shape[0], 1), nonzero(p)
            index = count * _bytes(inputs - 1) + (outputs + 1) * _bytes(count)
            total += count * p.memory.dtype.itemsize + index - p.memory.nbytes
    return total


def _bytes(largest: int) -> int:
    """Of the smallest unsigned integer that holds it."""
    return int(np.min_scalar_type(max(largest, 0)).itemsize)


def driven_neurons(network: Layer) -> dict[str, str]:
    """Weight layer -> the neuron layer that it drives (none when another weight comes first)."""
    driven: dict[str, str] = {}
    waiting: str | None = None
    for layer in _opened(network):
        if _weights(layer):
            waiting = layer.name
        elif isinstance(layer, IF) and waiting is not None:
            driven[waiting] = layer.name
            waiting = None
    return driven


def _opened(network: Layer) -> list[Layer]:
    """Layers in order, those inside of others included."""
    return [part for layer in chain(network) for part in layer.layers()]


def unreached_neurons(weight: Parameter) -> int:
    """Outputs of a weight ``[out, in, ...]`` that no surviving connection reaches."""
    return _without(weight, axis=0)


def unused_inputs(weight: Parameter) -> int:
    """Inputs of a weight (channels, for a convolution) that no surviving connection leaves."""
    return _without(weight, axis=1)


def _without(weight: Parameter, axis: int) -> int:
    alive = weight.numpy() != 0
    others = tuple(i for i in range(alive.ndim) if i != axis)
    return int(np.count_nonzero(~alive.any(axis=others)))
