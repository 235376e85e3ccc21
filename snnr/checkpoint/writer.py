"""Writing a checkpoint: complete or not at all, and only what can be read again."""

import dataclasses
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr import __version__
from snnr.budget import UNLIMITED, Budget
from snnr.checkpoint import layout
from snnr.checkpoint.digest import DIGEST, Digest
from snnr.checkpoint.file import replace
from snnr.checkpoint.reader import read
from snnr.diagnosis import is_finite
from snnr.errors import CheckpointError
from snnr.hdf5 import Source, chunks, opened_image
from snnr.nn import LAYERS, Layer, Sequential
from snnr.optim import Optimizer
from snnr.tensor import Parameter

_CHUNK = 1 << 18  # entries
_SMALL = 1 << 10  # a dataset below this many entries is stored as it is
_BLOCK = 1 << 22  # bytes by which the file in memory grows


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

    The file is made in memory and read back by what `load` reads with, before a byte of it reaches
    the disk: what is saved can be loaded.

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
    about: dict[str, Any] = {"epoch": _count(epoch, "epoch"), "step": _count(steps, "step")}
    if accuracy is not None:
        about["accuracy"] = _share(accuracy)
    image = _image(
        str(target),
        about,
        network,
        optimizer,
        _columns(history or {}),
        {"config": dict(config or {})},
        {**_states(network, optimizer), **(rng_state or {})},
        order,
    )
    try:
        with opened_image(image, str(target), CheckpointError) as source:
            read(source, target, "cpu")
    except CheckpointError as error:
        raise CheckpointError(f"{error}: not saved, for it could not be loaded again") from error
    replace(target, image)
    return target


def _count(value: Any, what: str) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 0 <= value <= layout.MAX_COUNT:
        raise CheckpointError(f"{what} (={value!r}) must be a whole number, at least 0; not saved")
    return int(value)


def _share(accuracy: Any) -> float:
    number = isinstance(accuracy, int | float | np.number) and not isinstance(accuracy, bool)
    if not number or not 0 <= accuracy <= 1:
        raise CheckpointError(
            f"accuracy (={accuracy!r}) must lie between 0 and 1, or be None when it is not known; "
            "not saved"
        )
    return float(accuracy)


def _image(
    name: str,
    about: Mapping[str, Any],
    network: Sequential,
    optimizer: Optimizer | None,
    history: Mapping[str, Any],
    documents: Mapping[str, Any],
    states: Mapping[str, Any],
    order: NDArray[np.integer[Any]] | None,
) -> bytes:
    """The whole file, made in memory: a full disk never meets the HDF5 library."""
    file = h5py.File(name, "w", driver="core", backing_store=False, block_size=_BLOCK)
    with file:
        budget = Budget(name, 0, CheckpointError, UNLIMITED)
        sheet = _Sheet(Digest(Source(file, name, budget, CheckpointError, own=True)))
        weights = [p for p in network.parameters() if p.role == "weight"]
        total = sum(p.data.size for p in weights)
        nonzero = sum(int(np.count_nonzero(p.data)) for p in weights)
        file.attrs["format"] = layout.FORMAT
        file.attrs["format_version"] = layout.VERSION
        file.attrs["snnr_version"] = __version__
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        file.attrs["connectivity"] = nonzero / max(total, 1)
        for key, value in about.items():
            file.attrs[key] = value
        for key, value in documents.items():
            sheet.text(file, key, layout.to_json(value, key))
        _write_network(sheet, file.create_group("network"), network)
        if optimizer is not None:
            _write_optimizer(sheet, file.create_group("optimizer"), optimizer)
        _write_history(sheet, file.create_group("history"), history)
        random = file.create_group("rng")
        for key, state in states.items():
            _check_name(key, "state of a generator")
            sheet.text(random, key, layout.to_json(state, f"state {key!r}"))
        if order is not None:
            sheet.array(random, layout.ORDER, np.asarray(order, np.int64))
        for key in file:
            file[key].attrs[DIGEST] = sheet.digest.member(key)
        file.attrs[DIGEST] = sheet.digest.root()
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


class _Sheet:
    """Writes datasets and takes down the hash of each."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest

    def array(self, group: h5py.Group, name: str, array: NDArray[Any]) -> None:
        """A dataset; one of size is chunked, shuffled, compressed and has checksums."""
        if array.size < _SMALL:
            group.create_dataset(name, data=array)
        else:
            row = array.size // array.shape[0]
            chunk = (max(1, min(array.shape[0], _CHUNK // row)), *array.shape[1:])
            chunks.write(group, name, array, chunk)
        self.digest.note(f"{group.name.rstrip('/')}/{name}", array)

    def text(self, group: h5py.Group, name: str, text: str) -> None:
        """A string of fixed length, which lies in no heap."""
        packed = text.encode()
        kind = h5py.string_dtype("utf-8", len(packed))
        group.create_dataset(name, data=np.array(packed, kind), dtype=kind)
        self.digest.note(f"{group.name.rstrip('/')}/{name}", text)


def _check(network: Sequential) -> None:
    for layer in network:
        if LAYERS.get(layer.kind) is not type(layer):
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


def _write_network(sheet: _Sheet, group: h5py.Group, network: Sequential) -> None:
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
                _write_csr(sheet, inside.create_group("weight"), array)
            else:
                sheet.array(inside, name, array)


def _write_csr(sheet: _Sheet, group: h5py.Group, weight: NDArray[Any]) -> None:
    """Entries with any bit set, row by row, so that even a -0.0 comes back."""
    rows = np.ascontiguousarray(layout.to_rows(weight))
    stored = rows.view(np.uint32) != 0
    indptr = np.zeros(rows.shape[0] + 1, np.int64)
    np.cumsum(stored.sum(axis=1), out=indptr[1:])
    kind = np.int32 if max(indptr[-1], rows.shape[1]) < 1 << 31 else np.int64
    sheet.array(group, "data", rows[stored])
    sheet.array(group, "indices", np.nonzero(stored)[1].astype(kind))
    sheet.array(group, "indptr", indptr.astype(kind))
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


def _write_optimizer(sheet: _Sheet, group: h5py.Group, optimizer: Optimizer) -> None:
    if not (optimizer.lr >= 0 and math.isfinite(optimizer.lr)):
        raise CheckpointError(f"lr (={optimizer.lr}) must be a number, at least 0; not saved")
    settings = {**optimizer.settings, "step": optimizer.step_count}
    _write_attributes(group, settings)
    group.attrs["parameters"] = layout.to_json([p.name for p in optimizer.params], "parameters")
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
            sheet.array(inside, name, np.ascontiguousarray(array))


def _state_arrays(optimizer: Optimizer, p: Parameter) -> dict[str, NDArray[Any]]:
    state = optimizer.state[p]
    named = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: array for name, array in named.items() if array is not None}


def _columns(history: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of numbers as arrays, with names that the file can hold."""

    def column(values: Any, where: str) -> NDArray[Any]:
        try:
            array = np.asarray(values)
        except ValueError:  # rows of unequal length
            array = np.empty(0, object)
        # an empty list has no type of its own
        if array.dtype.kind not in "iuf" or array.ndim != 1:
            raise CheckpointError(f"history {where!r} must be one number per epoch; not saved")
        return array.astype(np.float64) if array.dtype.itemsize > 8 else array

    found: dict[str, Any] = {}
    for name, value in history.items():
        _check_name(name, "column of the history")
        if isinstance(value, Mapping):
            for layer in value:
                _check_name(layer, f"layer in the history's {name}")
            found[name] = {k: column(v, f"{name}/{k}") for k, v in value.items()}
        else:
            found[name] = column(value, name)
    return found


def _write_history(sheet: _Sheet, group: h5py.Group, history: Mapping[str, Any]) -> None:
    for name, column in history.items():
        if isinstance(column, Mapping):
            inside = group.create_group(name, track_order=True)
            for layer, values in column.items():
                sheet.array(inside, layer, values)
        else:
            sheet.array(group, name, column)


def _check_name(name: Any, what: str) -> None:
    if not layout.is_name(name) or (what.startswith("state") and name == layout.ORDER):
        raise CheckpointError(
            f"{name!r} cannot name a {what}: use up to 255 characters without a slash; not saved"
        )


def _states(network: Sequential, optimizer: Optimizer | None) -> dict[str, Any]:
    """Generators that layers and the optimizer hold in `.rng`, by name."""
    holders: list[tuple[str, Any]] = [(layer.name, layer) for layer in network]
    holders.append(("optimizer", optimizer))
    return {
        name: layout.generator_state(holder.rng, name)
        for name, holder in holders
        if isinstance(getattr(holder, "rng", None), np.random.Generator)
    }
