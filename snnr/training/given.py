"""What a `Trainer` is given, checked before the first step: samples, numbers, an optimizer, and a
checkpoint to go on from."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from snnr.checkpoint import Checkpoint
from snnr.data import Dataset
from snnr.errors import ArgumentError, CheckpointError, ConfigError
from snnr.input import Samples, canonical_moves
from snnr.nn import Layer
from snnr.optim import Optimizer
from snnr.tensor.checks import described

#: settings of the `Trainer` that a checkpoint keeps in its config
SETTINGS = ("batch_size", "epochs", "loss", "augment", "seed", "schedule")


def samples_of(dataset: Dataset | Samples, augment: Any, device: str) -> Samples:
    """The samples of a data set, on the device of the network. Raises ConfigError."""
    if isinstance(dataset, Dataset):
        return Samples.of(dataset, augment, device)
    if not isinstance(dataset, Samples):
        raise ConfigError(
            f"dataset (a {type(dataset).__name__}) must come from snnr.data.load, which reads "
            "an .npz or .h5 file of yours too, or be snnr.input.Samples"
        )
    for source in (dataset.train, dataset.test):
        if source.device != device:
            raise ConfigError(
                f"the samples of {dataset.name} lie on {source.device}, the network on {device}: "
                f"make them with device={device!r}"
            )
    known = dataset.train.kind  # a source of one's own has a word of its own
    if augment and augment != known and (augment is True or canonical_moves(augment) != known):
        raise ConfigError(
            f"augment (={augment!r}) is for data sets; {dataset.name} holds its own sources: give "
            "snnr.input.Images the kind of moves"
        )
    return dataset


def check_whole(name: str, value: Any) -> None:
    """Refuse what is no whole number. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} (={value!r}) must be a whole number")


def check_kinds(network: Any, optimizer: Any, callbacks: Any) -> None:
    """Refuse what stands in the place of something else. Raises ArgumentError."""
    if not isinstance(network, Layer):
        raise ArgumentError(
            f"Trainer: the first argument is {described(network)}, expected a network; the order "
            "is Trainer(network, optimizer, dataset)"
        )
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"Trainer: the optimizer is {described(optimizer)}, expected one such as "
            "snnr.optim.GradR(network.parameters())"
        )
    if not isinstance(callbacks, Iterable):
        raise ArgumentError(f"Trainer: callbacks is {described(callbacks)}, expected a list")


def check_moves(optimizer: Optimizer, network: Layer) -> None:
    """Refuse an optimizer of another network. Raises ConfigError."""
    owned = set(map(id, network.parameters()))
    if not any(id(p) in owned for p in optimizer.params):
        raise ConfigError(
            "the optimizer moves none of the network's parameters, so nothing would be trained: "
            "make it with network.parameters() of this very network"
        )


def settings_of(found: Checkpoint) -> dict[str, Any]:
    """The settings of the training that wrote a checkpoint.

    Raises
    ------
    CheckpointError : no training can go on from it.
    """
    config = found.config
    config.setdefault("schedule", "constant")  # which older files do not tell
    missing = [key for key in (*SETTINGS, "data") if key not in config]
    if found.optimizer is None or missing or "trainer" not in found.rng_state:
        raise CheckpointError(
            f"{found.path}: no training can go on from this file; it needs an optimizer and "
            "the state that Trainer saves"
        )
    settings = {key: config[key] for key in SETTINGS}
    kinds = {"batch_size": int, "epochs": int, "loss": str, "seed": int, "schedule": str}
    for key, kind in kinds.items():
        if type(settings[key]) is not kind or (kind is int and settings[key] < 0):
            raise CheckpointError(
                f"{found.path}: the state of the training is damaged ({key} is "
                f"{settings[key]!r}); start anew, or take an older file"
            )
    return settings
