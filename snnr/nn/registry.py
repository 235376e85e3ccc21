"""Layers by name: what a checkpoint may build, and how one's own layers become known."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from snnr.errors import ConfigError, SnnrError
from snnr.nn.arrays import EMPTY
from snnr.nn.base import Layer
from snnr.nn.dropout import Dropout
from snnr.nn.neuron import IF, LIF
from snnr.nn.norm import BatchNorm1d, BatchNorm2d
from snnr.nn.sequential import Sequential
from snnr.nn.shape import AvgPool2d, Flatten, MaxPool2d, Voting
from snnr.nn.weights import Conv2d, Linear
from snnr.surrogate import FACTORIES

#: layers that a checkpoint may name
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Linear, Conv2d, BatchNorm1d, BatchNorm2d, LIF, IF, MaxPool2d, AvgPool2d, Flatten, Dropout,
        Voting, Sequential,
    )
}  # fmt: skip

#: layers inside layers deeper than this are refused
MAX_DEPTH = 32

Kind = TypeVar("Kind", bound=type[Layer])


def register(kind: Kind) -> Kind:
    """Class decorator: makes a layer of one's own known, so that checkpoints can hold it.

    To load such a checkpoint, import the module that registers the layer first. The layer is made
    again as ``kind(**settings)`` (see `Layer.settings`); an argument `rng` of the constructor is
    given `snnr.nn.EMPTY` then, and its arrays are filled from the file.

    Raises
    ------
    ConfigError : it is no layer, or another one has that name.
    """
    name = getattr(kind, "__name__", repr(kind))
    if not (isinstance(kind, type) and issubclass(kind, Layer)):
        raise ConfigError(f"{name} cannot be registered: it is not a subclass of snnr.nn.Layer")
    known = LAYERS.get(name)
    same = known is not None and (known.__module__, known.__qualname__) == (
        kind.__module__,
        kind.__qualname__,
    )
    if known is not None and not same:
        raise ConfigError(
            f"there is a layer {name} already (in {known.__module__}): choose another class name"
        )
    LAYERS[name] = kind
    return kind


def describe(layer: Layer) -> dict[str, Any]:
    """Type and settings of a layer as JSON values, those of layers inside included.

    Raises
    ------
    ConfigError : the layer is not registered, or does not tell its settings.
    """
    if LAYERS.get(layer.kind) is not type(layer):
        raise ConfigError(
            f"layer {layer.name or layer.kind!r} is a {layer.kind}, which checkpoints do not know: "
            "register its class with @snnr.nn.register"
        )
    return {
        "type": layer.kind,
        "settings": {key: _described(value) for key, value in layer.settings().items()},
    }


def _described(value: Any) -> Any:
    if isinstance(value, Layer):
        return describe(value)
    if isinstance(value, list | tuple):
        return [_described(part) for part in value]
    return value


def build(kind: str, settings: Mapping[str, Any], empty: bool = False, depth: int = 0) -> Layer:
    """Make a layer from its class name and settings as `describe` tells them.

    empty : draw no random values; the arrays are filled afterwards.

    Raises
    ------
    ConfigError : there is no such layer, or it does not take these settings.
    """
    if kind not in LAYERS:
        raise ConfigError(
            f"unknown layer {kind!r}: expected one of {', '.join(sorted(LAYERS))}; one's own layer "
            "is known once the module that registers it is imported"
        )
    if depth > MAX_DEPTH:
        raise ConfigError(f"layers stand inside layers more than {MAX_DEPTH} deep")
    made = LAYERS[kind]
    arguments = {key: _built(value, empty, depth) for key, value in settings.items()}
    if empty and "rng" in inspect.signature(made).parameters:
        arguments["rng"] = EMPTY
    try:
        if made is Sequential:
            return Sequential(*arguments.pop("layers", []), **arguments)
        return made(**arguments)
    except SnnrError:
        raise
    except (TypeError, KeyError) as error:
        raise ConfigError(f"layer {kind} does not take these settings: {error}") from None


def _built(value: Any, empty: bool, depth: int) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"type", "settings"} and isinstance(value["settings"], Mapping):
            return build(str(value["type"]), value["settings"], empty, depth + 1)
        if set(value) == {"name", "alpha"}:
            return _surrogate(value)
    if isinstance(value, list | tuple):
        return [_built(part, empty, depth) for part in value]
    return value


def _surrogate(described: Mapping[str, Any]) -> Any:
    name = str(described["name"])
    if name not in FACTORIES:
        raise ConfigError(f"unknown surrogate {name!r}: expected one of {', '.join(FACTORIES)}")
    return FACTORIES[name](float(described["alpha"]))
