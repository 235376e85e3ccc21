"""The optimizer in a file: method, settings, and its arrays by the path of their parameter."""

import math
from typing import Any

import h5py
import numpy as np

from snnr.checkpoint import layout
from snnr.checkpoint.networks import place
from snnr.checkpoint.sheet import Sheet, write_attributes
from snnr.errors import CheckpointError, ConfigError
from snnr.hdf5 import Source
from snnr.nn import Layer, Sequential
from snnr.optim import METHODS, Kept, Optimizer
from snnr.tensor import Parameter


def check_optimizer(network: Layer, optimizer: Optimizer) -> None:
    """Refuse an optimizer that no checkpoint of the network can hold.

    Raises
    ------
    CheckpointError : its method is not known, its settings are out of their bounds, or it moves
        what is no parameter of the network.
    """
    if METHODS.get(optimizer.METHOD) is not type(optimizer):
        raise CheckpointError(
            f"the optimizer {type(optimizer).__name__} is not one that checkpoints know: expected "
            f"one of {', '.join(METHODS)}; add it to snnr.optim.METHODS under its METHOD"
        )
    try:
        optimizer.settings  # noqa: B018  (a property that checks)
    except ConfigError as error:
        raise CheckpointError(f"the optimizer cannot be saved: {error}") from None
    own = set(network.parameters())
    for p in optimizer.params:
        if p not in own:
            raise CheckpointError(
                f"the optimizer moves {p!r}, which belongs to no layer of the network; give it "
                "network.parameters()"
            )


def write_optimizer(sheet: Sheet, group: h5py.Group, optimizer: Optimizer) -> None:
    """Settings and state."""
    told = {"method": optimizer.METHOD, **optimizer.settings.told()}
    numbers = {name: float(getattr(optimizer, name)) for name in optimizer.NUMBERS}
    write_attributes(group, {**told, **numbers, "step": optimizer.step_count})
    group.attrs["parameters"] = layout.to_json([p.name for p in optimizer.params], "parameters")
    for p in optimizer.params:
        inside = group.create_group(place(p.name))
        state = optimizer.state[p]
        own = told if p.role == "weight" else {}
        write_attributes(inside, {**own, "step": state.steps})
        for name in state.kept:
            what = f"the optimizer's {name} of {p.name}"
            sheet.finite(inside, name, state.numpy(name), what)


def read_optimizer(source: Source, network: Sequential) -> Optimizer:
    """The optimizer, bound to the parameters of the network."""
    group = source.group(source.root, "optimizer")
    told = source.attributes(group)
    method = told.get("method")
    if method not in METHODS:
        source.fail("/optimizer", f"has method {method!r}, expected {', '.join(METHODS)}")
    kind = METHODS[method]
    params = _moved(source, group, network)
    kept = {**kind.WEIGHT_STATE, **kind.MOMENTS}
    entry = sum(np.dtype(one.dtype or np.float32).itemsize for one in kept.values())
    source.budget.take(entry * sum(p.size for p in params), "/optimizer")
    try:
        settings = {name: told[name] for name in kind.setting_names() if name in told}
        kind.SETTINGS(**settings)
    except ConfigError as error:
        source.fail("/optimizer", f"has settings that make no sense: {error}")
    optimizer = kind.restored(params, settings)
    optimizer.step_count = layout.read_natural(source, group, "step")
    for name in kind.NUMBERS:
        number = source.attribute(group, name, float, required=False)
        if number is not None and not math.isfinite(number):
            source.fail("/optimizer", f"has {name} {number}, expected a finite number")
        if number is not None:
            setattr(optimizer, name, number)
    for p in optimizer.params:
        inside = group
        for part in p.name.split("."):
            inside = source.group(inside, part)
        _read_state(source, inside, optimizer, p)
    return optimizer


def _moved(source: Source, group: h5py.Group, network: Sequential) -> list[Parameter]:
    """The parameters that the optimizer moves, in its order."""
    named = {p.name: p for p in network.parameters()}
    told = source.attribute(group, "parameters", str, required=False)
    if told is None:
        return list(named.values())
    where = "attribute 'parameters' of /optimizer"
    names = layout.read_json(source, told, where)
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not names or len(set(names)) != len(names) or not set(names) <= set(named):
        source.fail(where, "must name parameters of the network, each once")
    return [named[name] for name in names]


def _read_state(source: Source, inside: h5py.Group, optimizer: Optimizer, p: Parameter) -> None:
    """Fill the optimizer's arrays of one parameter."""
    state = optimizer.state[p]
    arrays = {name: _read_kept(source, inside, name, one, p) for name, one in state.kept.items()}
    wrong = optimizer.disagreement(p, p.numpy(), arrays) if p.role == "weight" else None
    if wrong is not None:
        source.fail(inside.name, f"contradicts the weight {p.name}: {wrong}")
    for name, values in arrays.items():
        state.assign(name, values)
    # version 1 did not count the steps of each parameter
    own = source.attribute(inside, "step", int, required=False)
    state.steps = optimizer.step_count if own is None else own
    if not 0 <= state.steps <= optimizer.step_count:
        source.fail(inside.name, f"has {state.steps} steps of {optimizer.step_count}")


def _read_kept(source: Source, inside: h5py.Group, name: str, kept: Kept, p: Parameter) -> Any:
    dtype = np.dtype(kept.dtype or p.dtype)
    values = source.array(inside, name, p.shape, dtype.kind, dtype.itemsize)
    where = f"{inside.name}/{name}"
    known = sum(np.count_nonzero(values == value) for value in kept.values)
    if kept.values and known != values.size:
        source.fail(where, f"must be {' or '.join(map(str, kept.values))} everywhere")
    if kept.least is not None and values.size and values.min() < kept.least:
        source.fail(where, f"must not be below {kept.least:g}")
    return values
