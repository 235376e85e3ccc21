"""A network as layers in order with their arrays, out of a `Sequential` or out of a checkpoint.

Weights come as CSR: out of a file nothing of a dense weight's size is made.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import Checkpoint, SparseWeight, load_sparse
from snnr.errors import CheckpointError, ConfigError, SnnrError
from snnr.nn import (
    IF,
    LIF,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
    Voting,
    describe,
)
from snnr.nn import Sequential as Sequence_

Array = NDArray[Any]

#: layers that can be compiled, but for weights and BatchNorm, and their classes
PLAIN: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Flatten, Dropout, LIF, IF, MaxPool2d, AvgPool2d, Voting)
}
WEIGHTS = ("Linear", "Conv2d")
NORMS: dict[str, type[Layer]] = {kind.__name__: kind for kind in (BatchNorm1d, BatchNorm2d)}


@dataclass(frozen=True, eq=False)
class Entry:
    """One layer: its path, its class by name, its settings, and its arrays by short name."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, Any]

    def refuse(self, why: str) -> ConfigError:
        """What is raised for a layer that cannot be compiled."""
        return ConfigError(f"{self.name} ({self.kind}) cannot be compiled: {why}")


@dataclass(frozen=True, eq=False)
class Normalisation:
    """How raw images become floats: (pixel / 255 - mean) / std, by channel."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def table(self) -> NDArray[np.float32]:
        """The float of each of the 256 pixels, ``[C, 256]``, in the arithmetic of training."""
        pixels = np.arange(256, dtype=np.float32) / np.float32(255)
        return (pixels - self.mean[:, None]) / self.std[:, None]

    def fits(self, channels: int) -> bool:
        """Whether there is a number for each channel, and every pixel becomes a finite float."""
        if not self.mean.shape == self.std.shape == (channels,):
            return False
        if not (np.isfinite(self.std) & (self.std > 0)).all():
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(self.table()).all())


@dataclass(frozen=True, eq=False)
class Described:
    """What is compiled.

    entries : layers in order, nested sequences opened.
    input_shape : of one sample, as far as it is known.
    normalisation : of raw images, None where it is not known.
    network : the dense network, where it came from one.
    config : the settings of the training, ``{}`` where they are not known.
    """

    entries: tuple[Entry, ...]
    input_shape: tuple[int, ...] | None
    normalisation: Normalisation | None
    config: Mapping[str, Any]
    network: Sequence_ | None = None


def read(
    source: "Sequence_ | Checkpoint | str | os.PathLike[str]", limit: int | None = None
) -> Described:
    """A network (its weights as they are now), a checkpoint, its file, or the folder of a run.

    Raises
    ------
    CheckpointError : the file is damaged, or its settings make no sense.
    ConfigError : a layer cannot be compiled; it is named.
    """
    if isinstance(source, Sequence_):
        return of_network(source)
    if isinstance(source, Checkpoint):
        found = of_network(source.network)
        shape, normalisation = _images(source.config, str(source.path))
        return replace(
            found, input_shape=shape or found.input_shape, normalisation=normalisation,
            config=source.config,
        )  # fmt: skip
    if isinstance(source, Layer):
        raise ConfigError(
            f"compile takes a Sequential or a checkpoint, not a {type(source).__name__}; wrap it: "
            "nn.Sequential(layer)"
        )
    stored = load_sparse(source, limit)
    plan = stored.architecture
    entries = tuple(_opened(plan["layers"], "", plan["T"], stored.arrays))
    shape, normalisation = _images(stored.config, str(stored.path))
    return Described(entries, shape, normalisation, stored.config)


def of_network(network: Sequence_) -> Described:
    """A network that is in memory; its device does not matter."""
    layers = {layer.name: layer for layer in network.layers()}
    described = [describe(layer) for layer in network]
    arrays: dict[str, Any] = {}
    for layer in layers.values():
        if getattr(layer, "smooth", False):
            raise ConfigError(
                f"{layer.name} ({layer.kind}) cannot be compiled: it emits smooth spikes, which "
                "are for gradient checks"
            )
        for short, array in layer.arrays().items():
            values = array.numpy()
            if not np.isfinite(values).all():
                raise ConfigError(f"{array.name} has values that are not finite: train anew")
            weight = short == "weight" and values.ndim > 1
            arrays[array.name] = _compressed(values) if weight else values.astype(np.float32)
    entries = tuple(_opened(described, "", network.T, arrays))
    return Described(entries, None, None, {}, network)


def _compressed(weight: Array) -> SparseWeight:
    """A dense weight as CSR; float64 is rounded."""
    rows = np.asarray(weight.reshape(weight.shape[0], -1), np.float32)
    present = rows != 0
    indptr = np.zeros(rows.shape[0] + 1, np.int64)
    np.cumsum(present.sum(axis=1), out=indptr[1:])
    return SparseWeight(rows[present], np.nonzero(present)[1], indptr, weight.shape)


def _opened(
    described: Sequence[Mapping[str, Any]], prefix: str, T: int | None, arrays: Mapping[str, Any]
) -> Iterator[Entry]:
    """The layers of nested sequences one after the other; a neuron without T has that of the
    innermost sequence around it that has one."""
    for index, layer in enumerate(described):
        kind, settings = layer["type"], dict(layer["settings"])
        name = f"{prefix}{index}_{kind.lower()}"
        if kind == "Sequential":
            inner = settings.get("T")
            yield from _opened(
                settings["layers"], f"{name}.", T if inner is None else inner, arrays
            )
            continue
        if kind in ("LIF", "IF") and settings.get("T") is None:
            settings["T"] = T
        own = {key.rpartition(".")[2]: a for key, a in arrays.items() if key.startswith(f"{name}.")}
        entry = Entry(name, kind, settings, own)
        if kind not in (*PLAIN, *WEIGHTS, *NORMS):
            known = ", ".join(sorted((*PLAIN, *WEIGHTS, *NORMS, "Sequential")))
            raise entry.refuse(f"expected one of {known}; run the dense network instead")
        yield entry


def _images(
    config: Mapping[str, Any], path: str
) -> tuple[tuple[int, ...] | None, Normalisation | None]:
    """Shape of a sample and normalisation, from what the trainer wrote down of its data."""
    data = config.get("data")
    if not isinstance(data, Mapping):
        return None, None
    shape = data.get("image_shape")
    if shape is None:
        return None, None
    whole = isinstance(shape, list) and all(
        type(size) is int and 1 <= size <= 1 << 20 for size in shape
    )
    if not whole or len(shape) not in (1, 3):
        raise CheckpointError(f"{path}: the image_shape of its data (={shape!r}) makes no sense")
    if data.get("mean") is None:
        return tuple(shape), None
    try:
        with np.errstate(over="ignore"):
            mean, std = (np.array(data[key], np.float32) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        mean = std = np.zeros(0, np.float32)
    found = Normalisation(mean, std)
    if not found.fits(shape[0]):
        raise CheckpointError(f"{path}: mean and std of the data make no sense; train anew")
    return tuple(shape), found


def made(entry: Entry) -> Layer:
    """A layer of few numbers or none, for its settings, which are checked where it is made."""
    try:
        settings = dict(entry.settings)
        surrogate = settings.pop("surrogate", None)
        del surrogate  # of no effect on spikes
        return (PLAIN | NORMS)[entry.kind](**settings)
    except (SnnrError, TypeError, ValueError) as error:
        raise entry.refuse(str(error)) from None
