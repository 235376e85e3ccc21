"""Matrices cut into column panels, the layout that walks and tiles read."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.gather import NARROW_PANEL, WIDE_PANEL
from snnr.kernels.cpu.parts.rows import copy_padded
from snnr.kernels.jit import jit

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _pack(m: Any, panels: Any) -> None:
    blocks, rows, width = panels.shape
    columns = m.shape[1]
    for r in prange(rows):
        for p in range(blocks):
            first = p * width
            copy_padded(m[r, first : min(first + width, columns)], panels[p, r])


def panel_width(columns: int) -> int:
    """Width of the panels that event walks use for so many columns."""
    return WIDE_PANEL if columns > 3 * NARROW_PANEL else NARROW_PANEL


def panels_of(m: Float, width: int | None = None) -> Float:
    """m[R, O] -> panels[P, R, width]: panels[p, r, j] = m[r, p*width + j], zero past the end."""
    across = width or panel_width(m.shape[1])
    panels = empty((-(-m.shape[1] // across), m.shape[0], across), m.dtype)
    _pack(m, panels)
    return panels
