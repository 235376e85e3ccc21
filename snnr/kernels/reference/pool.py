"""Pooling over [B,H,W,C] in floor mode without padding, in NumPy."""

import numpy as np

from snnr.kernels.reference.types import Array


def _windows(x: Array, size: int, stride: int, shape: tuple[int, ...]) -> list[Array]:
    """The views of x at each position of the window, in row-major order."""
    (rows, columns) = shape[1:3]
    return [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]


def max_pool(x: Array, size: int, stride: int, out: Array, index: Array) -> None:
    """out[B,Ho,Wo,C] and the row-major position of the first maximum; x float or uint8."""
    stacked = np.stack(_windows(x, size, stride, out.shape))
    index[...] = stacked.argmax(axis=0)
    out[...] = stacked.max(axis=0)


def max_pool_grad(dy: Array, index: Array, size: int, stride: int, dx: Array) -> None:
    """dx[B,H,W,C]: each dy goes to the pixel that was the maximum; windows may overlap."""
    dx[...] = 0
    for position, window in enumerate(_windows(dx, size, stride, dy.shape)):
        window += np.where(index == position, dy, 0)


def avg_pool(x: Array, size: int, stride: int, out: Array) -> None:
    """out[B,Ho,Wo,C] = mean of each window; x float or uint8, out float."""
    out[...] = np.stack(_windows(x, size, stride, out.shape)).mean(axis=0, dtype=np.float64)


def avg_pool_grad(dy: Array, size: int, stride: int, dx: Array) -> None:
    """dx[B,H,W,C]: each dy spread evenly over its window; windows may overlap."""
    dx[...] = 0
    for window in _windows(dx, size, stride, dy.shape):
        window += dy / (size * size)
