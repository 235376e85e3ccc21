"""Inner loops over a row of memory, shared by the kernels.

They are functions of their own because a loop in the body of a `prange` does not vectorise.
"""

from typing import Any

from snnr.kernels.jit import jit


@jit()
def zero(row: Any) -> None:
    """row = 0."""
    for j in range(row.shape[0]):
        row[j] = 0


@jit()
def copy(row: Any, target: Any) -> None:
    """target = row, converted."""
    for j in range(row.shape[0]):
        target[j] = row[j]


@jit()
def copy_padded(row: Any, target: Any) -> None:
    """target = row, zero beyond its end."""
    for j in range(row.shape[0]):
        target[j] = row[j]
    for j in range(row.shape[0], target.shape[0]):
        target[j] = 0


@jit()
def add(row: Any, total: Any) -> None:
    """total += row."""
    for j in range(row.shape[0]):
        total[j] += row[j]


@jit()
def add_scaled(factor: Any, row: Any, total: Any) -> None:
    """total += factor * row."""
    for j in range(row.shape[0]):
        total[j] += factor * row[j]


@jit()
def scale(factor: Any, row: Any) -> None:
    """row *= factor."""
    for j in range(row.shape[0]):
        row[j] *= factor


@jit()
def affine(row: Any, gain: Any, offset: Any, out: Any) -> None:
    """out = gain * row + offset."""
    for j in range(out.shape[0]):
        out[j] = gain[j] * row[j] + offset[j]
