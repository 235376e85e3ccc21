"""The network in a file: a description of its layers, and their arrays by path."""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import layout
from snnr.checkpoint.arrays import (
    WEIGHT,
    SparseWeight,
    check_declared,
    read_dense,
    read_weight,
    write_weight,
)
from snnr.checkpoint.settings import misfit
from snnr.checkpoint.sheet import Sheet, write_attributes
from snnr.errors import CheckpointError, ConfigError, SnnrError
from snnr.hdf5 import Source
from snnr.nn import LAYERS, Layer, Sequential, Spec, build, describe
from snnr.nn.checks import MAX_TIMESTEPS
from snnr.tensor import Stored

_MAX_LAYERS = 10_000
#: what a constructor may raise when it is given what it does not expect
_UNFIT = (SnnrError, TypeError, ValueError, AttributeError, KeyError, OverflowError)


def place(path: str) -> str:
    """Where a layer, or an array, of that path lies in its group."""
    return path.replace(".", "/")


def check_network(network: Layer) -> None:
    """Refuse a network that no checkpoint can hold.

    Raises
    ------
    CheckpointError : a layer is not registered, or an array is not float32.
    """
    if not isinstance(network, Sequential):
        raise CheckpointError(
            f"a checkpoint holds a Sequential, not a {type(network).__name__}; wrap it: "
            "nn.Sequential(layer)"
        )
    try:
        describe(network)
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    for layer in network.layers():
        for short, array in layer.arrays().items():
            if array.dtype != np.float32:
                raise CheckpointError(f"{array.name} is {array.dtype}, expected float32")
            if short == WEIGHT and len(array.shape) < 2:
                raise CheckpointError(f"{array.name} has shape {list(array.shape)}: a weight is "
                                      "[out, in, ...]; name it otherwise")  # fmt: skip


def write_network(sheet: Sheet, group: h5py.Group, network: Sequential) -> None:
    """Description and arrays."""
    layers = [{"name": layer.name, **describe(layer)} for layer in network]
    architecture = {"T": network.T, "layers": layers}
    group.attrs["architecture"] = layout.to_json(architecture, "the architecture")
    for layer in network.layers():
        if layer is network:
            continue
        inside = group.create_group(place(layer.name), track_order=True)
        inside.attrs["type"] = layer.kind
        write_attributes(inside, layer.settings())
        for short, array in layer.arrays().items():
            if short == WEIGHT:
                write_weight(sheet, inside.create_group(WEIGHT), array.numpy(), array.name)
            else:
                sheet.finite(inside, short, array.numpy(), array.name)


def read_network(source: Source, device: str) -> Sequential:
    """The network, with its arrays, on a device; in evaluation mode."""
    group = source.group(source.root, "network")
    T, described = _plan(source, group)
    total = 0
    for _, inside, specs in _declared(source, group, described):
        total += sum(spec.size for spec in specs.values() if spec.role == "weight")
        if total > layout.MAX_WEIGHTS:
            source.fail(inside.name, f"brings the network to {total} weights, more than allowed")
        check_declared(source, inside, specs)
    layers = []
    for entry in described:
        where = f"{group.name}/{entry['name']}"
        try:
            layers.append(build(entry["type"], entry["settings"], empty=True))
        except _UNFIT as error:
            source.fail(where, f"cannot be built: {error}")
    try:
        network = Sequential(*layers, T=T, device=device)
    except ConfigError as error:
        source.fail("the architecture", f"makes no network: {error}")
    _fill(source, group, network)
    return network.eval()


def _plan(source: Source, group: h5py.Group) -> tuple[int | None, list[dict[str, Any]]]:
    """T and the described layers, each with its name, type and settings."""
    plan = layout.read_json(
        source, source.attribute(group, "architecture", str), "the architecture"
    )
    described = plan.get("layers") if isinstance(plan, dict) else None
    if not isinstance(plan, dict) or not isinstance(described, list):
        source.fail("the architecture", "must be a JSON object with layers")
    _steps(source, "the architecture", plan.get("T"))
    if not 1 <= len(described) <= _MAX_LAYERS:
        source.fail("the architecture", f"has {len(described)} layers")
    for index, entry in enumerate(described):
        if not _is_described(entry):
            source.fail(f"layer {index}", "has no settings")
        name = f"{index}_{entry['type'].lower()}"
        if entry.get("name") != name:
            source.fail(f"layer {index}", f"is named {entry.get('name')!r}, expected {name!r}")
    return plan.get("T"), described


def _is_described(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("type"), str)
        and isinstance(entry.get("settings"), dict)
    )


def _steps(source: Source, where: str, steps: Any) -> None:
    whole = type(steps) is int and 1 <= steps <= MAX_TIMESTEPS
    if steps is not None and not whole:
        source.fail(where, f"has T={steps!r}, expected 1..{MAX_TIMESTEPS}")


def _declared(
    source: Source, group: h5py.Group, described: list[Any], depth: int = 0
) -> Iterator[tuple[str, h5py.Group, dict[str, Spec]]]:
    """Each layer's type, its group and what it declares, those inside sequences included.

    What a layer of somebody's own has inside is known when it is built; its class is the user's
    code, which the file cannot choose.
    """
    if depth > 16 or len(described) > _MAX_LAYERS:
        source.fail(group.name, "stands too deep, or has too many layers")
    for index, entry in enumerate(described):
        if not _is_described(entry):
            source.fail(group.name, f"has a layer {index} without settings")
        kind, settings = entry["type"], entry["settings"]
        inside = source.group(group, f"{index}_{kind.lower()}")
        if source.attribute(inside, "type", str) != kind:
            source.fail(inside.name, f"has another type than the architecture, {kind!r}")
        _steps(source, inside.name, settings.get("T"))
        if kind not in LAYERS:
            source.fail(
                inside.name,
                f"is a {kind!r}, which this program does not know: expected one of "
                f"{', '.join(sorted(LAYERS))}; import the module that registers it",
            )
        wrong = misfit(LAYERS[kind], settings)
        if wrong is not None:
            source.fail(inside.name, f"cannot be built: {wrong}")
        try:
            specs = LAYERS[kind].declare(**settings)
        except _UNFIT as error:
            source.fail(inside.name, f"has settings that make no sense: {error}")
        yield kind, inside, specs
        if LAYERS[kind] is Sequential:
            within = settings.get("layers")
            if not isinstance(within, list):
                source.fail(inside.name, "has no list of layers")
            yield from _declared(source, inside, within, depth + 1)


def _arrays(network: Layer) -> Iterator[tuple[Layer, str, Stored, Spec | None]]:
    for layer in network.layers():
        specs = type(layer).declare(**layer.settings())
        for short, array in layer.arrays().items():
            yield layer, short, array, specs.get(short)


def _fill(source: Source, group: h5py.Group, network: Sequential) -> None:
    for layer, short, array, spec in _arrays(network):
        inside = _layer_group(source, group, layer.name)
        if short == WEIGHT:
            found = read_weight(source, inside, array.shape)
            found.fill(array)
            array.known_nonzero(found.nonzero)
        else:
            least = None if spec is None else spec.least
            array.assign(read_dense(source, inside, short, array.shape, least))


def _layer_group(source: Source, group: h5py.Group, path: str) -> h5py.Group:
    for part in path.split("."):
        group = source.group(group, part)
    return group


def read_arrays(source: Source) -> tuple[dict[str, Any], dict[str, SparseWeight | NDArray[Any]]]:
    """The description of a network, ``{"T", "layers"}``, and its arrays by path, weights as they
    are stored: nothing dense of a weight's size is made."""
    group = source.group(source.root, "network")
    T, described = _plan(source, group)
    found: dict[str, SparseWeight | NDArray[Any]] = {}
    for _, inside, specs in _declared(source, group, described):
        check_declared(source, inside, {k: s for k, s in specs.items() if k != WEIGHT})
        path = inside.name.removeprefix(f"{group.name}/").replace("/", ".")
        for short, spec in specs.items():
            found[f"{path}.{short}"] = (
                read_weight(source, inside, spec.shape)
                if short == WEIGHT
                else read_dense(source, inside, short, spec.shape, spec.least)
            )
    return {"T": T, "layers": described}, found
