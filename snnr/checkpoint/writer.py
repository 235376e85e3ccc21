"""Writing a checkpoint: complete or not at all, and only what can be read again."""

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
from snnr.checkpoint.networks import check_network, write_network
from snnr.checkpoint.optimizers import check_optimizer, write_optimizer
from snnr.checkpoint.reader import read
from snnr.checkpoint.records import check_name, columns, random_states, write_history
from snnr.checkpoint.sheet import Sheet
from snnr.errors import CheckpointError, as_path
from snnr.hdf5 import Source, opened_image
from snnr.metrics import connectivity
from snnr.nn import Layer, Sequential
from snnr.optim import Optimizer

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
    target = as_path("path of a checkpoint, the first argument", path)
    check(network, optimizer)
    if optimizer is not None:
        optimizer.reconcile()
    steps = step if step is not None else optimizer.step_count if optimizer else 0
    about: dict[str, Any] = {"epoch": _count(epoch, "epoch"), "step": _count(steps, "step")}
    if accuracy is not None:
        about["accuracy"] = _share(accuracy)
    image = _image(
        str(target),
        about,
        network,
        optimizer,
        columns(history or {}),
        {"config": dict(config or {})},
        {**random_states(network, optimizer), **(rng_state or {})},
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
        sheet = Sheet(Digest(Source(file, name, budget, CheckpointError, own=True)))
        file.attrs["format"] = layout.FORMAT
        file.attrs["format_version"] = layout.VERSION
        file.attrs["snnr_version"] = __version__
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        file.attrs["connectivity"] = connectivity(network)
        for key, value in about.items():
            file.attrs[key] = value
        for key, value in documents.items():
            sheet.text(file, key, layout.to_json(value, key))
        write_network(sheet, file.create_group("network"), network)
        if optimizer is not None:
            write_optimizer(sheet, file.create_group("optimizer"), optimizer)
        write_history(sheet, file.create_group("history"), history)
        random = file.create_group("rng")
        for key, state in states.items():
            check_name(key, "state of a generator")
            sheet.text(random, key, layout.to_json(state, f"state {key!r}"))
        if order is not None:
            sheet.array(random, layout.ORDER, np.asarray(order, np.int64))
        for key in file:
            file[key].attrs[DIGEST] = sheet.digest.member(key)
        file.attrs[DIGEST] = sheet.digest.root()
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def check(network: Layer, optimizer: Optimizer | None = None) -> None:
    """Whether `save` can hold these, before hours of training depend on it.

    Raises
    ------
    CheckpointError : what cannot be saved, and what to do.
    """
    check_network(network)
    if optimizer is not None:
        check_optimizer(network, optimizer)
