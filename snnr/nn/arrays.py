"""What arrays a layer has, said before anything is allocated, and their first values."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError
from snnr.layout import Layout
from snnr.tensor import Buffer, Parameter, Stored

Shape = tuple[int, ...]
#: public shape and generator -> values
Initial = Callable[[Shape, np.random.Generator], NDArray[Any]]
Seed = np.random.Generator | int | None


class _Empty:
    """In place of a generator: the arrays stay zero, their values come from elsewhere."""

    def __repr__(self) -> str:
        return "EMPTY"


EMPTY = _Empty()


@dataclass(frozen=True)
class Spec:
    """One array of a layer.

    role : "weight" (prunable), "bias", "scale", "shift"; of a buffer, its name.
    shape : public shape.
    layout : how it lies in memory.
    initial : its first values.
    trained : a Parameter; else a Buffer.
    least : no value is below this (None: no bound).
    """

    role: str
    shape: Shape
    layout: Layout
    initial: Initial
    trained: bool = True
    least: float | None = None

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def make(self, rng: Seed | _Empty) -> Stored:
        """The array, with its first values unless `rng` is EMPTY."""
        kind = Parameter if self.trained else Buffer
        made = kind.unset(self.shape, self.role, self.layout)
        if not isinstance(rng, _Empty):
            made.assign(self.initial(self.shape, generator(rng)))
        return made


def generator(rng: Seed) -> np.random.Generator:
    """A seed, or an existing generator.

    Raises
    ------
    ConfigError : it is neither.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    whole = isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0
    if not (rng is None or whole):
        raise ConfigError(
            f"rng (={rng!r}) must be a seed (a whole number, at least 0), a "
            "numpy.random.Generator, or None"
        )
    return np.random.default_rng(rng)
