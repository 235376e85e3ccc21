"""How memory lies against the public shape: the one place that knows which axes are exchanged."""

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


class Layout(Enum):
    """Order of the axes in memory, counted from the end of the public shape."""

    #: as the public shape
    PLAIN = ()
    #: ``[.., C, H, W]`` lies as ``[.., H, W, C]``
    IMAGES = (-2, -1, -3)
    #: a linear weight ``[out, in]`` lies as ``[in, out]``: one spike names one row
    LINEAR = (-1, -2)
    #: a conv weight ``[out, in, kh, kw]`` lies as ``[kh, kw, in, out]``
    CONV = (-2, -1, -3, -4)

    @classmethod
    def of(cls, axes: int, timesteps: int | None) -> "Layout":
        """That of activations: images where one time step has four axes."""
        return cls.IMAGES if axes - (timesteps is not None) == 4 else cls.PLAIN

    @classmethod
    def of_weight(cls, axes: int) -> "Layout":
        """That of a weight with so many axes."""
        return {2: cls.LINEAR, 4: cls.CONV}.get(axes, cls.PLAIN)

    def _order(self, axes: int) -> Shape:
        kept = axes - len(self.value)
        return (*range(kept), *(axes + axis for axis in self.value))

    def memory_shape(self, shape: Shape) -> Shape:
        """Shape in memory of an array of this public shape."""
        return tuple(shape[axis] for axis in self._order(len(shape)))

    def public_shape(self, shape: Shape) -> Shape:
        """Public shape of memory of this shape."""
        order = self._order(len(shape))
        return tuple(shape[order.index(axis)] for axis in range(len(shape)))

    def to_memory(self, array: NDArray[Any]) -> NDArray[Any]:
        """Contiguous host array in memory order; no copy where it lies like that already."""
        return np.ascontiguousarray(array.transpose(self._order(array.ndim)))

    def to_public(self, memory: NDArray[Any]) -> NDArray[Any]:
        """View of a host array in memory order with the public shape."""
        order = self._order(memory.ndim)
        return memory.transpose([order.index(axis) for axis in range(memory.ndim)])

    def axes_to(self, other: "Layout", axes: int) -> Shape:
        """Which axis of this memory becomes each axis of memory in the other layout."""
        mine = self._order(axes)
        return tuple(mine.index(axis) for axis in other._order(axes))
