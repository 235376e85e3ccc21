"""How memory lies against the public shape: the one place that knows which axes are exchanged."""

from enum import Enum
from functools import cache
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

    def memory_shape(self, shape: Shape) -> Shape:
        """Shape in memory of an array of this public shape."""
        return tuple(shape[axis] for axis in _order(self, len(shape)))

    def public_shape(self, shape: Shape) -> Shape:
        """Public shape of memory of this shape."""
        if self is Layout.PLAIN:
            return tuple(shape)
        return tuple(shape[axis] for axis in _places(self, len(shape)))

    def to_memory(self, array: NDArray[Any]) -> NDArray[Any]:
        """Contiguous host array in memory order; no copy where it lies like that already."""
        return np.ascontiguousarray(array.transpose(_order(self, array.ndim)))

    def to_public(self, memory: NDArray[Any]) -> NDArray[Any]:
        """View of a host array in memory order with the public shape."""
        return memory.transpose(_places(self, memory.ndim))

    def axes_to(self, other: "Layout", axes: int) -> Shape:
        """Which axis of this memory becomes each axis of memory in the other layout."""
        mine = _places(self, axes)
        return tuple(mine[axis] for axis in _order(other, axes))


@cache
def _order(layout: Layout, axes: int) -> Shape:
    """The public axis that each axis in memory is."""
    exchanged: Shape = layout.value
    return (*range(axes - len(exchanged)), *(axes + axis for axis in exchanged))


@cache
def _places(layout: Layout, axes: int) -> Shape:
    """Where each public axis lies in memory."""
    order = _order(layout, axes)
    return tuple(order.index(axis) for axis in range(axes))
