"""Reading a checkpoint back; nothing in the file is believed before it has been checked."""

import dataclasses
import inspect
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import layout
from snnr.checkpoint.digest import Digest
from snnr.checkpoint.settings import misfit
from snnr.errors import CheckpointError, SnnrError
from snnr.hdf5 import Source, opened
from snnr.nn import LAYERS, Layer, Sequential, build
from snnr.optim import METHODS, Optimizer
from snnr.tensor import Parameter

_MAX_LAYERS = 10_000
_MAX_EPOCHS = 1 << 20
_MAX_IMAGES = 1 << 28


@dataclass(eq=False)
class Checkpoint:
    """What a file held, ready for use.

    network : with its weights, running statistics and generators.
    optimizer : bound to the network's parameters; None when none was saved or asked for.
    history : columns ``name -> [one value per epoch]``, groups ``name -> {layer: column}``.
    config, rng_state : as they were saved.
    order : int64, order of the training images of an epoch that had begun, or None.
    epoch, step : completed epochs and optimizer steps.
    accuracy : on the test set, or None when unknown.
    """

    path: Path
    network: Sequential
    optimizer: Optimizer | None
    history: dict[str, Any]
    config: dict[str, Any]
    rng_state: dict[str, Any]
    order: NDArray[np.int64] | None
    epoch: int
    step: int
    accuracy: float | None
    connectivity: float
    created: str
    snnr_version: str


def load(
    path: str | os.PathLike[str],
    device: str = "cpu",
    with_optimizer: bool = True,
    limit: int | None = None,
) -> Checkpoint:
    """Read a checkpoint.

    Parameters
    ----------
    path : the file.
    device : where the network is to run.
    with_optimizer : False leaves the optimizer's arrays (most of the file) alone.
    limit : bytes of memory that the file may ask for; by default in proportion to its size
        (`snnr.budget`), or `$SNNR_READ_LIMIT`.

    Raises
    ------
    CheckpointError : what is wrong, and where in the file.
    DeviceError : there is no such device here.
    """
    with opened(path, CheckpointError, "checkpoint", limit) as source:
        return read(source, Path(path), device, with_optimizer)


def read(source: Source, path: Path, device: str, with_optimizer: bool = True) -> Checkpoint:
    """What `load` returns, from an open file; the writer checks by it what it is about to keep."""
    root = source.root
    if source.attribute(root, "format", str, required=False) != layout.FORMAT:
        source.fail("it", f"is not an snnr checkpoint (attribute format is not {layout.FORMAT})")
    version = source.attribute(root, "format_version", int)
    if not 1 <= version <= layout.VERSION:
        source.fail(
            "format_version",
            f"is {version}, this snnr reads 1 to {layout.VERSION}; install a newer snnr",
        )
    digest = Digest(source)
    source.watch = digest.note
    network = _read_network(source, device)
    states = _read_states(source)
    _restore(source, list(network), states)
    optimizer = None
    if with_optimizer and source.child(root, "optimizer") is not None:
        optimizer = _read_optimizer(source, network)
        _restore(source, [optimizer], states)
    config = _json(source, source.text(root, "config"), "/config")
    if not isinstance(config, dict):
        source.fail("/config", "must be a JSON object")
    found = Checkpoint(
        path=path,
        network=network,
        optimizer=optimizer,
        history=_read_history(source),
        config=config,
        rng_state=states,
        order=_read_order(source),
        epoch=_natural(source, root, "epoch"),
        step=_natural(source, root, "step"),
        accuracy=_share(source, root, "accuracy", required=False),
        connectivity=_share(source, root, "connectivity"),
        created=source.attribute(root, "created", str),
        snnr_version=source.attribute(root, "snnr_version", str),
    )
    if version >= 2:
        digest.check(leave_out=() if with_optimizer else ("optimizer",))
    return found


def _natural(source: Source, group: h5py.Group, name: str) -> int:
    value: int = source.attribute(group, name, int)
    if value < 0:
        source.fail(f"attribute {name!r} of {group.name}", f"is {value}, expected at least 0")
    return value


def _share(source: Source, group: h5py.Group, name: str, required: bool = True) -> Any:
    value = source.attribute(group, name, float, required)
    if value is not None and not 0 <= value <= 1:
        source.fail(f"attribute {name!r} of {group.name}", f"is {value}, expected 0 to 1")
    return value


def _json(source: Source, text: str, where: str) -> Any:
    # "[[],[]" and so on: an object of 56 bytes and a pointer for every three characters
    source.budget.take(22 * len(text), where)
    return layout.from_json(text, f"{source.path}: {where}")


def _read_network(source: Source, device: str) -> Sequential:
    group = source.group(source.root, "network")
    plan = _json(source, source.attribute(group, "architecture", str), "the architecture")
    described = plan.get("layers") if isinstance(plan, dict) else None
    if not isinstance(plan, dict) or not isinstance(described, list):
        source.fail("the architecture", "must be a JSON object with layers")
    if not 1 <= len(described) <= _MAX_LAYERS:
        source.fail("the architecture", f"has {len(described)} layers")
    T = plan.get("T")
    total = 0
    layers: list[Layer] = []
    for index, entry in enumerate(described):
        if not isinstance(entry, dict) or not isinstance(entry.get("settings"), dict):
            source.fail(f"layer {index}", "has no settings")
        kind, settings = entry.get("type"), entry["settings"]
        name = f"{index}_{str(kind).lower()}"
        if entry.get("name") != name:
            source.fail(f"layer {index}", f"is named {entry.get('name')!r}, expected {name!r}")
        inside = source.group(group, name)
        if source.attribute(inside, "type", str) != kind:
            source.fail(inside.name, f"has another type than the architecture, {kind!r}")
        for steps in (T, settings.get("T")):
            if steps is not None and not (
                type(steps) is int and 1 <= steps <= layout.MAX_TIMESTEPS
            ):
                source.fail(inside.name, f"has T={steps!r}, expected 1..{layout.MAX_TIMESTEPS}")
        weights = _check_size(source, inside, str(kind), settings)
        total += weights
        if total > layout.MAX_WEIGHTS:
            source.fail(inside.name, f"brings the network to {total} weights, more than allowed")
        source.budget.take(8 * weights, inside.name)  # it, and the matrix it is filled from
        wrong = misfit(LAYERS[kind], settings) if kind in LAYERS else None
        if wrong is not None:
            source.fail(inside.name, f"cannot be built: {wrong}")
        try:
            layers.append(build(str(kind), settings))
        except (SnnrError, TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
            source.fail(inside.name, f"cannot be built: {error}")
    network = Sequential(*layers, T=T, device=device)
    for layer in network:
        inside = source.group(group, layer.name)
        for short, parameter in layer.own_parameters().items():
            if short == "weight":
                _read_csr(source, inside, parameter)
            else:
                parameter.data[...] = source.array(inside, short, parameter.shape, "f", 4)
        for short, buffer in layer.buffers().items():
            buffer[...] = source.array(inside, short, buffer.shape, "f", 4)
            if short == "running_var" and buffer.min() < 0:
                source.fail(f"{inside.name}/{short}", "has negative variances")
    return network


def _check_size(source: Source, group: h5py.Group, kind: str, settings: dict[str, Any]) -> int:
    """Hold the declared sizes to those of the stored arrays, before a layer is built from them."""
    try:
        rows, columns = layout.weight_size(kind, settings)
    except CheckpointError as error:
        source.fail(group.name, str(error))
    if rows:
        inside = source.group(group, "weight")
        _expect(source, inside, "shape", (rows, columns))
        if kind == "Conv2d":
            size = settings["kernel_size"]
            shape = (rows, settings["in_channels"], size, size)
            _expect(source, inside, "kernel_shape", shape)
        if source.shape(inside, "indptr") != (rows + 1,):
            source.fail(f"{inside.name}/indptr", f"has not {rows + 1} entries")
        return rows * columns
    features = settings.get("num_features")
    if features is not None:
        if source.shape(group, "scale") != (features,):
            source.fail(f"{group.name}/scale", f"has not num_features (={features!r}) entries")
        source.budget.take(16 * features, group.name)
    return 0


def _expect(source: Source, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    found = source.value(group, name)
    if found != shape:
        source.fail(f"attribute {name!r} of {group.name}", f"is {found}, expected {shape}")


def _read_csr(source: Source, group: h5py.Group, parameter: Parameter) -> None:
    """Fill a weight in place: its memory order is the layer's own affair."""
    inside = source.group(group, "weight")
    encoding = source.attribute(inside, "encoding-type", str)
    if encoding != "csr_matrix":
        source.fail(inside.name, f"is encoded as {encoding!r}, expected csr_matrix")
    rows, columns = parameter.shape[0], math.prod(parameter.shape[1:])
    indptr = _bounded(source, inside, "indptr", rows + 1, rows * columns)
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        source.fail(f"{inside.name}/indptr", f"must rise from 0 to at most {rows * columns}")
    stored = int(indptr[-1])
    data = source.array(inside, "data", (stored,), "f", 4)
    indices = _bounded(source, inside, "indices", stored, columns - 1)
    source.budget.take(16 * stored, inside.name)
    flat = np.repeat(np.arange(rows) * columns, np.diff(indptr)) + indices
    if stored and not (np.diff(flat) > 0).all():
        source.fail(f"{inside.name}/indices", "must rise within each row")
    dense = np.zeros(rows * columns, np.float32)
    dense[flat] = data
    parameter.data[...] = dense.reshape(parameter.shape)
    parameter.connectivity = int(np.count_nonzero(data)) / max(dense.size, 1)


def _bounded(
    source: Source, group: h5py.Group, name: str, count: int, largest: int
) -> NDArray[np.int64]:
    """Whole numbers from 0 to `largest`; compared as they are stored, before any conversion."""
    values = source.array(group, name, (count,), "iu")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= largest:
        source.fail(
            f"{group.name}/{name}",
            f"run from {values.min()} to {values.max()}, expected 0..{largest}",
        )
    return values.astype(np.int64, copy=False)


def _read_optimizer(source: Source, network: Sequential) -> Optimizer:
    group = source.group(source.root, "optimizer")
    settings = source.attributes(group)
    method = settings.get("method")
    if method not in METHODS:
        source.fail("/optimizer", f"has method {method!r}, expected {', '.join(METHODS)}")
    lr = source.attribute(group, "lr", float)
    if not 0 <= lr < math.inf:
        source.fail("attribute 'lr' of /optimizer", f"is {lr}, expected a number, at least 0")
    if len(np.atleast_1d(settings.get("betas", ()))) != 2:
        source.fail("attribute 'betas' of /optimizer", "must be two numbers")
    params = _moved(source, group, network)
    source.budget.take(13 * sum(math.prod(p.shape) for p in params), "/optimizer")
    kind = METHODS[method]
    wrong = misfit(kind, settings)
    if wrong is not None:
        source.fail("/optimizer", f"has settings that make no sense: {wrong}")
    known = set(inspect.signature(kind.__init__).parameters) - {"lr"}
    try:
        optimizer = kind(params, **{k: v for k, v in settings.items() if k in known})
    except (SnnrError, TypeError, ValueError, OverflowError) as error:
        source.fail("/optimizer", f"has settings that make no sense: {error}")
    optimizer.lr = lr  # 0 at the end of a schedule, which no training starts with
    optimizer.step_count = _natural(source, group, "step")
    for p in optimizer.params:
        layer, short = p.name.split(".")
        inside = source.group(source.group(group, layer), short)
        _read_state(source, inside, optimizer, p)
        if p in optimizer.changes:
            optimizer.changes[p].nonzero = int(np.count_nonzero(p.data))
    return optimizer


def _moved(source: Source, group: h5py.Group, network: Sequential) -> list[Parameter]:
    """The parameters that the optimizer moves, in its order."""
    named = {p.name: p for p in network.parameters()}
    told = source.attribute(group, "parameters", str, required=False)
    if told is None:
        return list(named.values())
    where = "attribute 'parameters' of /optimizer"
    names = _json(source, told, where)
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not strings or not names or len(set(names)) != len(names) or not set(names) <= set(named):
        source.fail(where, "must name parameters of the network, each once")
    return [named[name] for name in names]


def _read_state(
    source: Source, inside: h5py.Group, optimizer: Optimizer, p: Parameter
) -> None:
    """Fill the optimizer's arrays of one parameter."""
    state = optimizer.state[p]
    for field in dataclasses.fields(state):
        array = getattr(state, field.name)
        if array is None:
            continue
        values = source.array(inside, field.name, p.shape, array.dtype.kind, array.dtype.itemsize)
        if field.name == "sign" and not (np.abs(values) == 1).all():
            source.fail(f"{inside.name}/sign", "must be -1 or 1 everywhere")
        if field.name == "exp_avg_sq" and values.size and values.min() < 0:
            source.fail(f"{inside.name}/exp_avg_sq", "must not be negative")
        array[...] = values
    if state.theta is not None and state.sign is not None:
        agrees = np.array_equal(np.maximum(state.theta, 0) * state.sign, p.data)
        if not agrees:
            source.fail(
                f"{inside.name}/theta",
                f"contradicts the weight {p.name}, which must be sign*max(theta, 0)",
            )


def _read_history(source: Source) -> dict[str, Any]:
    group = source.group(source.root, "history")
    history: dict[str, Any] = {}
    length: int | None = None

    def column(holder: h5py.Group, name: str) -> list[Any]:
        nonlocal length
        shape = source.shape(holder, name)
        length = shape[0] if length is None and len(shape) == 1 else length
        if shape != (length,) or shape[0] > _MAX_EPOCHS:
            source.fail(
                f"{holder.name}/{name}", f"has shape {list(shape)}, expected one row per epoch"
            )
        # as a list: a pointer and a number of its own for each row
        source.budget.take(40 * shape[0], f"{holder.name}/{name}")
        values: list[Any] = source.array(holder, name, shape, "iuf").tolist()
        return values

    for name in source.names(group):
        if isinstance(source.child(group, name), h5py.Group):
            inside = source.group(group, name)
            history[name] = {layer: column(inside, layer) for layer in source.names(inside)}
        else:
            history[name] = column(group, name)
    return history


def _read_states(source: Source) -> dict[str, Any]:
    group = source.group(source.root, "rng")
    return {
        name: _json(source, source.text(group, name), f"/rng/{name}")
        for name in source.names(group)
        if name != layout.ORDER
    }


def _read_order(source: Source) -> NDArray[np.int64] | None:
    group = source.group(source.root, "rng")
    if source.child(group, layout.ORDER) is None:
        return None
    shape = source.shape(group, layout.ORDER)
    if len(shape) != 1 or shape[0] > _MAX_IMAGES:
        source.fail("/rng/order", f"has shape {list(shape)}, expected one entry per image")
    return _bounded(source, group, layout.ORDER, shape[0], _MAX_IMAGES)


def _restore(source: Source, holders: list[Any], states: dict[str, Any]) -> None:
    """Put the generators that layers or the optimizer draw from into their saved state."""
    for holder in holders:
        name = holder.name if isinstance(holder, Layer) else "optimizer"
        if isinstance(getattr(holder, "rng", None), np.random.Generator) and name in states:
            where = f"{source.path}: /rng/{name}"
            layout.restore_generator(holder.rng, states[name], where)
