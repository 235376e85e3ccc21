"""Layers: parameters and shapes. The mathematics is in `snnr.functional`."""

from collections.abc import Mapping
from typing import Any

from snnr.errors import ConfigError
from snnr.nn.base import Layer
from snnr.nn.layers import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Voting,
)
from snnr.nn.neuron import IF, LIF
from snnr.nn.sequential import Sequential
from snnr.surrogate import FACTORIES

#: layers that a checkpoint may name
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Linear, Conv2d, BatchNorm1d, BatchNorm2d, LIF, IF, MaxPool2d, AvgPool2d, Flatten, Dropout,
        Voting,
    )
}  # fmt: skip


def build(kind: str, settings: Mapping[str, Any]) -> Layer:
    """Make a layer from its class name and `Layer.settings()`; its parameters start at random.

    Raises
    ------
    ConfigError : there is no such layer, or it has no such setting.
    """
    if kind not in LAYERS:
        raise ConfigError(f"unknown layer {kind!r}: expected one of {', '.join(sorted(LAYERS))}")
    arguments = dict(settings)
    surrogate = arguments.get("surrogate")
    if isinstance(surrogate, Mapping):
        name = str(surrogate.get("name"))
        if name not in FACTORIES:
            raise ConfigError(f"unknown surrogate {name!r}: expected one of {', '.join(FACTORIES)}")
        arguments["surrogate"] = FACTORIES[name](float(surrogate["alpha"]))
    try:
        return LAYERS[kind](**arguments)
    except TypeError as error:
        raise ConfigError(f"layer {kind} does not take these settings: {error}") from None


__all__ = [
    "IF",
    "LAYERS",
    "LIF",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Sequential",
    "Voting",
    "build",
]
