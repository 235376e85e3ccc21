"""What is exported: the compiled form of a network, and how its images are normalised."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnr.checkpoint import Checkpoint
from snnr.checkpoint.file import replace as put
from snnr.errors import ConfigError
from snnr.nn import Sequential
from snnr.sparse.form import Form, Shape, form_of, input_shape_of
from snnr.sparse.removal import pruned
from snnr.sparse.source import Normalisation, read

Source = Sequential | Checkpoint | str | os.PathLike[str]
Statistics = Sequence[float] | None


@dataclass(frozen=True, eq=False)
class Exported:
    """A network that is written down.

    form : its stages, without the channels that cannot matter.
    T : time steps of a static input.
    normalisation : of raw images; None where the network takes what is normalised already.
    config : the settings of its training, ``{}`` where they are not known.
    """

    form: Form
    T: int
    normalisation: Normalisation | None
    config: Mapping[str, Any]


def exported(
    source: Source | Exported,
    input_shape: Shape | None = None,
    mean: Statistics = None,
    std: Statistics = None,
    T: int | None = None,
) -> Exported:
    """A network, a checkpoint, its file or the folder of a run, compiled for export.

    Parameters
    ----------
    input_shape : of a sample, ``(C, H, W)`` or ``(features,)``; by default that of the training.
    mean, std : by channel, of pixels scaled to 0..1; by default those of the training.
    T : time steps of a static input; by default those of the network.

    Raises
    ------
    ConfigError : a layer cannot be compiled, or the shape, T or normalisation is not known.
    CheckpointError : the file is damaged.
    """
    if isinstance(source, Exported):
        return source
    described = read(source)
    shape = input_shape or input_shape_of(described)
    if shape is None:
        raise ConfigError(
            "the network does not say which images it takes; give input_shape=(C, H, W)"
        )
    normalisation = described.normalisation
    if (mean is None) != (std is None):
        raise ConfigError("mean and std go together: give both or neither")
    if mean is not None and std is not None:
        normalisation = _normalisation(mean, std, shape[0] if len(shape) == 3 else 1)
    form = form_of(described, shape)
    steps = form.T if T is None else T
    if steps is None:
        raise ConfigError("the network does not say how many time steps it takes; give T")
    if T is not None:
        form = replace(form, T=T)
    return Exported(pruned(form), steps, normalisation, described.config)


def _normalisation(mean: Sequence[float], std: Sequence[float], channels: int) -> Normalisation:
    with np.errstate(over="ignore"):
        found = Normalisation(*(np.asarray(part, np.float32).reshape(-1) for part in (mean, std)))
    if not found.fits(channels):
        raise ConfigError(
            f"mean (={list(mean)}) and std (={list(std)}) must be finite, one for each of "
            f"{channels} channels, std above 0, and pixels from 0 to 1 be finite float32 after "
            "(pixel - mean) / std"
        )
    return found


def write_file(path: str | os.PathLike[str], content: bytes) -> Path:
    """Put an export in its place, whole or not at all."""
    target = Path(path)
    put(target, content)
    return target
