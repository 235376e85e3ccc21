"""What is in the weights of a run: histograms of w and theta, and what the first layer looks at."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import Checkpoint

Array = NDArray[Any]

_BINS = 60


@dataclass(frozen=True)
class Histogram:
    """Counts of a weight's entries: of those that survive, and of theta (None: the method has
    none). Edges have one entry more than counts."""

    name: str
    nonzero: int
    size: int
    weight: tuple[Array, Array]
    theta: tuple[Array, Array] | None


def histograms(found: Checkpoint) -> list[Histogram]:
    """One for each prunable weight, in order."""
    made = []
    for parameter in found.network.parameters():
        if parameter.role != "weight":
            continue
        values = parameter.numpy()
        alive = values[values != 0]
        state = found.optimizer.state.get(parameter) if found.optimizer is not None else None
        theta = None
        if state is not None and "theta" in state.kept:
            theta = np.histogram(state.numpy("theta"), _BINS)
        layer = parameter.name.rpartition(".")[0]
        counted = np.histogram(alive, _BINS) if alive.size else (np.zeros(1), np.array([-1.0, 1.0]))
        made.append(Histogram(layer, alive.size, values.size, counted, theta))
    return made


@dataclass(frozen=True)
class Fields:
    """Receptive fields of the first layer.

    images : float, ``[n, H, W]``, the mean over input channels; NaN where no connection survives.
    outputs : which neurons (channels, for a convolution) these are: those with most connections.
    connections : how many each has; `of` is how many there were.
    """

    name: str
    images: Array
    outputs: Array
    connections: Array
    of: int
    total: int


def fields(found: Checkpoint, most: int = 24) -> Fields | None:
    """None where the first weights do not look at an image."""
    parameters = [p for p in found.network.parameters() if p.role == "weight"]
    if not parameters:
        return None
    first = parameters[0]
    values = first.numpy()
    data = found.config.get("data")
    shape: Any = data.get("image_shape") if isinstance(data, dict) else None
    if values.ndim == 2:
        if not _is_shape(shape) or math.prod(shape) != values.shape[1]:
            return None
        values = values.reshape(values.shape[0], *shape)
    if min(values.shape[2:]) < 2:
        return None
    alive = values != 0
    count = alive.sum(axis=(1, 2, 3))
    chosen = np.argsort(-count, kind="stable")[:most]
    chosen = chosen[count[chosen] > 0]
    if not chosen.size:
        return None
    seen = alive[chosen].sum(axis=1)
    total = values[chosen].sum(axis=1)
    images = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    return Fields(
        first.name.rpartition(".")[0], images, chosen, count[chosen],
        math.prod(values.shape[1:]), values.shape[0],
    )  # fmt: skip


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and len(shape) == 3 and all(type(n) is int for n in shape)
