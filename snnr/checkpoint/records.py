"""History, generators and the order of an epoch, in a file."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import layout
from snnr.checkpoint.arrays import bounded
from snnr.checkpoint.sheet import Sheet
from snnr.errors import CheckpointError
from snnr.hdf5 import Source
from snnr.nn import Layer
from snnr.nn.dropout import Draws
from snnr.optim import Optimizer

_MAX_EPOCHS = 1 << 20
_MAX_IMAGES = 1 << 28


def columns(history: Mapping[str, Any]) -> dict[str, Any]:
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
        check_name(name, "column of the history")
        if isinstance(value, Mapping):
            for layer in value:
                check_name(layer, f"layer in the history's {name!r}")
            found[name] = {k: column(v, f"{name}/{k}") for k, v in value.items()}
        else:
            found[name] = column(value, name)
    return found


def check_name(name: Any, what: str) -> None:
    """Refuse what cannot name a member of the file."""
    if not layout.is_name(name) or (what.startswith("state") and name == layout.ORDER):
        raise CheckpointError(
            f"{name!r} cannot name a {what}: use up to 255 characters without a slash; not saved"
        )


def write_history(sheet: Sheet, group: h5py.Group, history: Mapping[str, Any]) -> None:
    """What `columns` made."""
    for name, column in history.items():
        if isinstance(column, Mapping):
            inside = group.create_group(name, track_order=True)
            for layer, values in column.items():
                sheet.array(inside, layer, values)
        else:
            sheet.array(group, name, column)


def read_history(source: Source) -> dict[str, Any]:
    """Columns of equal length, and groups of them."""
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


def _holders(network: Layer, optimizer: Optimizer | None) -> dict[str, Any]:
    """Who may draw random numbers, by the name in the file."""
    holders: dict[str, Any] = {layer.name: layer for layer in network.layers() if layer.name}
    return holders if optimizer is None else {**holders, "optimizer": optimizer}


def random_states(network: Layer, optimizer: Optimizer | None) -> dict[str, Any]:
    """What layers and the optimizer draw from (`rng`, a generator, or `draws`), by name."""
    states: dict[str, Any] = {}
    for name, holder in _holders(network, optimizer).items():
        draws, rng = getattr(holder, "draws", None), getattr(holder, "rng", None)
        if isinstance(draws, Draws):
            states[name] = {"philox": {"key": draws.key, "counter": draws.counter}}
        elif isinstance(rng, np.random.Generator):
            states[name] = layout.generator_state(rng, name)
    return states


def restore_random(
    source: Source, network: Layer, optimizer: Optimizer | None, states: Mapping[str, Any]
) -> None:
    """Put them into their saved state."""
    for name, holder in _holders(network, optimizer).items():
        if name not in states:
            continue
        where = f"{source.path}: /rng/{name}"
        draws, rng = getattr(holder, "draws", None), getattr(holder, "rng", None)
        if isinstance(draws, Draws):
            holder.draws = _draws(states[name], where)
            holder.draws.to(holder.device)
        elif isinstance(rng, np.random.Generator):
            layout.restore_generator(rng, states[name], where)


def _draws(state: Any, where: str) -> Draws:
    try:
        if "bit_generator" in state:
            # version 1 drew masks from a generator; they go on from a key made of its state
            return Draws(int(state["state"]["state"]) % (1 << 63))
        key, counter = (state["philox"][name] for name in ("key", "counter"))
        if not all(type(v) is int and 0 <= v < 1 << 64 for v in (key, counter)):
            raise ValueError(f"key {key!r} and counter {counter!r} must lie in 0..2**64 - 1")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: not the state of random numbers ({error!r})") from None
    return Draws(key, counter)


def read_states(source: Source) -> dict[str, Any]:
    """The JSON in /rng, by name."""
    group = source.group(source.root, "rng")
    return {
        name: layout.read_json(source, source.text(group, name), f"/rng/{name}")
        for name in source.names(group)
        if name != layout.ORDER
    }


def read_order(source: Source) -> NDArray[np.int64] | None:
    """The order of the images in an epoch that had begun."""
    group = source.group(source.root, "rng")
    if source.child(group, layout.ORDER) is None:
        return None
    shape = source.shape(group, layout.ORDER)
    if len(shape) != 1 or shape[0] > _MAX_IMAGES:
        source.fail("/rng/order", f"has shape {list(shape)}, expected one entry per image")
    return bounded(source, group, layout.ORDER, shape[0], _MAX_IMAGES)
