"""What is left of a network: connectivity, and neurons and inputs that nothing reaches.

Definitions
-----------
connectivity : nonzero / all prunable weights (parameters of role "weight"); zero means exactly 0.
unreached : a neuron (for a convolution an output channel) that no surviving connection leads to.
unused : an input (for a convolution an input channel) that no surviving connection leaves.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.nn import IF, Layer
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


def unreached_neurons(layer: Layer) -> int:
    """Outputs of a weight layer that no surviving connection reaches."""
    return _without(layer, axis=0)


def unused_inputs(layer: Layer) -> int:
    """Inputs of a weight layer (channels, for a convolution) that no connection leaves."""
    return _without(layer, axis=1)


def _without(layer: Layer, axis: int) -> int:
    weight = layer.own_parameters()["weight"].numpy()
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return int(np.count_nonzero(~(weight != 0).any(axis=others)))
