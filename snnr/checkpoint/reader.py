"""Reading a checkpoint back; nothing in the file is believed before it has been checked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import layout
from snnr.checkpoint.arrays import SparseWeight
from snnr.checkpoint.digest import Digest
from snnr.checkpoint.networks import read_arrays, read_network
from snnr.checkpoint.optimizers import read_optimizer
from snnr.checkpoint.records import read_history, read_order, read_states, restore_random
from snnr.errors import CheckpointError, as_path
from snnr.hdf5 import Source, opened
from snnr.nn import Sequential
from snnr.optim import Optimizer

#: name of the file in the folder of a run
CHECKPOINT = "checkpoint.h5"
#: and of the one with its best epoch, see `snnr.training.folder`
BEST = "best.h5"


@dataclass(eq=False, repr=False)
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

    def __repr__(self) -> str:
        how = "none" if self.optimizer is None else type(self.optimizer).__name__
        known = "unknown" if self.accuracy is None else f"{100 * self.accuracy:.2f} %"
        return (
            f"Checkpoint({str(self.path)!r}, epoch {self.epoch}, accuracy {known}, connectivity "
            f"{100 * self.connectivity:.2f} %, {len(self.network)} layers, optimizer {how})"
        )


def load(
    path: str | os.PathLike[str],
    device: str = "cpu",
    with_optimizer: bool = True,
    limit: int | None = None,
) -> Checkpoint:
    """Read a checkpoint; the network is in evaluation mode.

    Parameters
    ----------
    path : the file, or the folder of a run.
    device : where the network is to run.
    with_optimizer : False leaves the optimizer's arrays (most of the file) alone.
    limit : bytes of memory that the file may ask for; by default in proportion to its size
        (`snnr.budget`), or `$SNNR_READ_LIMIT`.

    Raises
    ------
    CheckpointError : what is wrong, and where in the file.
    DeviceError : there is no such device here.
    """
    file = located(path)
    with opened(file, CheckpointError, "checkpoint", limit) as source:
        return read(source, file, device, with_optimizer)


def located(path: str | os.PathLike[str]) -> Path:
    """The file itself, or the checkpoint in the folder of a run."""
    found = as_path("path of a checkpoint", path)
    return found / CHECKPOINT if found.is_dir() else found


def _begin(source: Source) -> tuple[int, Digest]:
    """The format's version, and a digest that sees all that is read from now on."""
    root = source.root
    if source.attribute(root, "format", str, required=False) != layout.FORMAT:
        source.fail("it", f"is not an snnr checkpoint (attribute format is not {layout.FORMAT})")
    version: int = source.attribute(root, "format_version", int)
    if not 1 <= version <= layout.VERSION:
        source.fail(
            "format_version",
            f"is {version}, this snnr reads 1 to {layout.VERSION}; install a newer snnr",
        )
    digest = Digest(source)
    source.watch = digest.note
    return version, digest


def _config(source: Source) -> dict[str, Any]:
    config = layout.read_json(source, source.text(source.root, "config"), "/config")
    if not isinstance(config, dict):
        source.fail("/config", "must be a JSON object")
    return config


def read(source: Source, path: Path, device: str, with_optimizer: bool = True) -> Checkpoint:
    """What `load` returns, from an open file; the writer checks by it what it is about to keep."""
    version, digest = _begin(source)
    root = source.root
    network = read_network(source, device)
    states = read_states(source)
    optimizer = None
    if with_optimizer and source.child(root, "optimizer") is not None:
        optimizer = read_optimizer(source, network)
    restore_random(source, network, optimizer, states)
    found = Checkpoint(
        path=path,
        network=network,
        optimizer=optimizer,
        history=read_history(source),
        config=_config(source),
        rng_state=states,
        order=read_order(source),
        epoch=layout.read_natural(source, root, "epoch"),
        step=layout.read_natural(source, root, "step"),
        accuracy=_share(source, root, "accuracy", required=False),
        connectivity=_share(source, root, "connectivity"),
        created=source.attribute(root, "created", str),
        snnr_version=source.attribute(root, "snnr_version", str),
    )
    if version >= 2:
        digest.check(leave_out=() if with_optimizer else ("optimizer",))
    return found


def _share(source: Source, group: h5py.Group, name: str, required: bool = True) -> Any:
    value = source.attribute(group, name, float, required)
    if value is not None and not 0 <= value <= 1:
        source.fail(f"attribute {name!r} of {group.name}", f"is {value}, expected 0 to 1")
    return value


@dataclass(eq=False)
class Record:
    """What a file tells of a training, for whoever needs neither network nor optimizer; as in
    `Checkpoint`."""

    path: Path
    config: dict[str, Any]
    history: dict[str, Any]
    epoch: int
    step: int
    accuracy: float | None
    connectivity: float
    created: str


def load_record(path: str | os.PathLike[str], limit: int | None = None) -> Record:
    """Read settings and history alone; the digests of all else are left alone. Raises as `load`."""
    file = located(path)
    with opened(file, CheckpointError, "checkpoint", limit) as source:
        version, digest = _begin(source)
        root = source.root
        found = Record(
            path=file,
            config=_config(source),
            history=read_history(source),
            epoch=layout.read_natural(source, root, "epoch"),
            step=layout.read_natural(source, root, "step"),
            accuracy=_share(source, root, "accuracy", required=False),
            connectivity=_share(source, root, "connectivity"),
            created=source.attribute(root, "created", str),
        )
        if version >= 2:
            digest.check(leave_out=("network", "optimizer", "rng"))
        return found


@dataclass(eq=False)
class StoredNetwork:
    """A network as it is stored, for whoever needs no dense weights.

    architecture : ``{"T", "layers": [{"name", "type", "settings"}]}``.
    arrays : by path, e.g. "0_linear.weight": `SparseWeight`, or a float32 array.
    config : as it was saved.
    """

    path: Path
    architecture: dict[str, Any]
    arrays: dict[str, SparseWeight | NDArray[Any]]
    config: dict[str, Any]


def load_sparse(path: str | os.PathLike[str], limit: int | None = None) -> StoredNetwork:
    """Read a network with its weights as CSR, in memory proportional to what is stored.

    Layers of somebody's own keep their inner arrays to themselves here. Raises as `load`.
    """
    with opened(located(path), CheckpointError, "checkpoint", limit) as source:
        version, digest = _begin(source)
        architecture, arrays = read_arrays(source)
        config = _config(source)
        if version >= 2:
            digest.check(leave_out=("optimizer", "history", "rng"))
        return StoredNetwork(Path(path), architecture, arrays, config)
