"""Writing a checkpoint: complete or not at all."""

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr import __version__
from snnr.checkpoint import layout
from snnr.diagnosis import is_finite
from snnr.errors import CheckpointError
from snnr.nn import LAYERS, Layer, Sequential
from snnr.optim import Optimizer
from snnr.tensor import Parameter

_CHUNK = 1 << 18  # entries
_SMALL = 1 << 10  # a dataset below this many entries is stored as it is


def save(
    path: str | os.PathLike[str],
    network: Sequential,
    optimizer: Optimizer | None = None,
    history: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    rng_state: Mapping[str, Any] | None = None,
    epoch: int = 0,
    step: int | None = None,
    accuracy: float | None = None,
    order: NDArray[np.integer[Any]] | None = None,
) -> Path:
    """Write a checkpoint; an older one at `path` is replaced in one instant, when all is written.

    Parameters
    ----------
    path : the file; its folder must exist.
    network, optimizer : saved with everything that is needed to go on. Generators that dropout
        layers or the optimizer draw from are saved too.
    history : columns ``name -> [one value per epoch]`` and groups ``name -> {layer: column}``.
    config : JSON values, e.g. what the training was called with.
    rng_state : further states of generators, JSON values by name.
    epoch : completed epochs.
    step : optimizer steps; by default the optimizer's own count.
    accuracy : on the test set, 0..1.
    order : order of the training images in the epoch that has begun.

    Raises
    ------
    CheckpointError : something cannot be saved (a value that is not finite, a layer or generator
        the format does not know), or the file cannot be written. The old file is then untouched.
    """
    target = Path(path)
    _check(network)
    steps = step if step is not None else optimizer.step_count if optimizer else 0
    with _replacing(target) as temporary, h5py.File(temporary, "w") as file:
        weights = [p for p in network.parameters() if p.role == "weight"]
        total = sum(p.data.size for p in weights)
        nonzero = sum(int(np.count_nonzero(p.data)) for p in weights)
        file.attrs["format"] = layout.FORMAT
        file.attrs["format_version"] = layout.VERSION
        file.attrs["snnr_version"] = __version__
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        file.attrs["epoch"] = epoch
        file.attrs["step"] = steps
        file.attrs["connectivity"] = nonzero / max(total, 1)
        if accuracy is not None:
            file.attrs["accuracy"] = accuracy
        file["config"] = layout.to_json(dict(config or {}), "config")
        _write_network(file.create_group("network"), network)
        if optimizer is not None:
            _write_optimizer(file.create_group("optimizer"), optimizer)
        _write_history(file.create_group("history"), history or {})
        random = file.create_group("rng")
        for name, state in {**_states(network, optimizer), **(rng_state or {})}.items():
            random[name] = layout.to_json(state, f"state {name!r}")
        if order is not None:
            _write(random, "order", np.asarray(order, np.int64))
    return target


def _check(network: Sequential) -> None:
    for layer in network:
        if layer.kind not in LAYERS:
            raise CheckpointError(
                f"layer {layer.name} is a {layer.kind}, which checkpoints do not know: expected "
                f"one of {', '.join(sorted(LAYERS))}"
            )
        for name, array in _arrays(layer).items():
            if array.dtype != np.float32:
                raise CheckpointError(f"{layer.name}.{name} is {array.dtype}, expected float32")
            if not is_finite(array):
                raise CheckpointError(
                    f"{layer.name}.{name} has values that are not finite: not saved, so that the "
                    "last good checkpoint stays"
                )


def _arrays(layer: Layer) -> dict[str, NDArray[Any]]:
    own = {name: p.data for name, p in layer.own_parameters().items()}
    return {**own, **layer.buffers()}


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A file name beside the target; after the block it takes the target's place, synchronised."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            yield temporary
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        _sync_folder(target.parent)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot be written ({error}); check that the folder exists, may be written "
            "to and has room"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure; not every system can open a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(group: h5py.Group, name: str, array: NDArray[Any]) -> h5py.Dataset:
    """A dataset; one of size is chunked, shuffled, compressed and has checksums."""
    if array.size < _SMALL:
        return group.create_dataset(name, data=array)
    row = array.size // array.shape[0]
    chunk = (max(1, min(array.shape[0], _CHUNK // row)), *array.shape[1:])
    return group.create_dataset(
        name,
        data=array,
        chunks=chunk,
        shuffle=True,
        compression="gzip",
        compression_opts=1,  # higher levels cost time and gain under 1 % on weights
        fletcher32=True,
    )


def _write_network(group: h5py.Group, network: Sequential) -> None:
    layers = [
        {"name": layer.name, "type": layer.kind, "settings": layer.settings()} for layer in network
    ]
    architecture = {"T": network.T, "layers": layers}
    group.attrs["architecture"] = layout.to_json(architecture, "the architecture")
    for layer in network:
        inside = group.create_group(layer.name, track_order=True)
        inside.attrs["type"] = layer.kind
        _write_attributes(inside, layer.settings())
        for name, array in _arrays(layer).items():
            if name == "weight":
                _write_csr(inside.create_group("weight"), array)
            else:
                _write(inside, name, array)


def _write_csr(group: h5py.Group, weight: NDArray[Any]) -> None:
    """Entries with any bit set, row by row, so that even a -0.0 comes back."""
    rows = np.ascontiguousarray(layout.to_rows(weight))
    stored = rows.view(np.uint32) != 0
    indptr = np.zeros(rows.shape[0] + 1, np.int64)
    np.cumsum(stored.sum(axis=1), out=indptr[1:])
    kind = np.int32 if max(indptr[-1], rows.shape[1]) < 1 << 31 else np.int64
    _write(group, "data", rows[stored])
    _write(group, "indices", np.nonzero(stored)[1].astype(kind))
    _write(group, "indptr", indptr.astype(kind))
    group.attrs["encoding-type"] = "csr_matrix"
    group.attrs["encoding-version"] = "0.1.0"
    group.attrs["shape"] = np.array(rows.shape, np.int64)
    if weight.ndim == 4:
        group.attrs["kernel_shape"] = np.array(weight.shape, np.int64)


def _write_attributes(group: h5py.Group, settings: Mapping[str, Any]) -> None:
    """Settings one by one; a nested mapping gives its entries, None nothing."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            group.attrs[key] = value["name"]
            _write_attributes(group, {k: v for k, v in value.items() if k != "name"})
        elif value is not None:
            group.attrs[key] = value


def _write_optimizer(group: h5py.Group, optimizer: Optimizer) -> None:
    settings = {**optimizer.settings, "step": optimizer.step_count}
    _write_attributes(group, settings)
    for p in optimizer.params:
        if p.name.count(".") != 1:
            raise CheckpointError(
                f"the optimizer moves {p!r}, which belongs to no layer of the network; give it "
                "network.parameters()"
            )
        inside = group.create_group(p.name.replace(".", "/"))
        if p.role == "weight":
            _write_attributes(inside, settings)
        for name, array in _state_arrays(optimizer, p).items():
            if not is_finite(array):
                raise CheckpointError(
                    f"the optimizer's {name} of {p.name} has values that are not finite: not "
                    "saved, so that the last good checkpoint stays"
                )
            _write(inside, name, np.ascontiguousarray(array))


def _state_arrays(optimizer: Optimizer, p: Parameter) -> dict[str, NDArray[Any]]:
    state = optimizer.state[p]
    named = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: array for name, array in named.items() if array is not None}


def _write_history(group: h5py.Group, history: Mapping[str, Any]) -> None:
    for name, column in history.items():
        if isinstance(column, Mapping):
            inside = group.create_group(name, track_order=True)
            for layer, values in column.items():
                _write(inside, layer, np.asarray(values))
        else:
            _write(group, name, np.asarray(column))


def _states(network: Sequential, optimizer: Optimizer | None) -> dict[str, Any]:
    """Generators that layers and the optimizer hold in `.rng`, by name."""
    holders: list[tuple[str, Any]] = [(layer.name, layer) for layer in network]
    holders.append(("optimizer", optimizer))
    return {
        name: layout.generator_state(holder.rng, name)
        for name, holder in holders
        if isinstance(getattr(holder, "rng", None), np.random.Generator)
    }
