"""Pooling (channels-last, no padding, floor mode) on the CPU."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.parts.rows import add_scaled, copy, zero
from snnr.kernels.jit import jit

Array = NDArray[Any]


@jit()
def _larger(row: Any, q: int, best: Any, index: Any) -> None:
    for c in range(row.shape[0]):
        # NaN, which compares with nothing, is the largest value, as everywhere
        larger = (not row[c] <= best[c]) & (best[c] == best[c])
        best[c] = row[c] if larger else best[c]
        index[c] = q if larger else index[c]


@jit()
def _route(dy: Any, index: Any, q: int, dx: Any) -> None:
    for c in range(dy.shape[0]):
        if index[c] == q:
            dx[c] += dy[c]


@jit(parallel=True)
def _max_pool(x: Any, size: int, stride: int, out: Any, index: Any) -> None:
    batch, height, width, _ = out.shape
    for task in prange(batch * height):
        b = task // height
        oy = task % height
        for ox in range(width):
            copy(x[b, oy * stride, ox * stride], out[b, oy, ox])
            zero(index[b, oy, ox])
            for q in range(1, size * size):
                y = oy * stride + q // size
                k = ox * stride + q % size
                _larger(x[b, y, k], np.uint8(q), out[b, oy, ox], index[b, oy, ox])


def max_pool(x: Array, size: int, stride: int, out: Array, index: Array) -> None:
    """out[B, Ho, Wo, C] and the row-major position of the first maximum in its window."""
    _max_pool(x, size, stride, out, index)


@jit(parallel=True)
def _max_pool_grad(dy: Any, index: Any, size: int, stride: int, dx: Any) -> None:
    batch, height, width, _ = dy.shape
    for b in prange(batch):
        for y in range(dx.shape[1]):
            for x in range(dx.shape[2]):
                zero(dx[b, y, x])
        for oy in range(height):
            for ox in range(width):
                for q in range(size * size):
                    y = oy * stride + q // size
                    k = ox * stride + q % size
                    _route(dy[b, oy, ox], index[b, oy, ox], q, dx[b, y, k])


def max_pool_grad(dy: Array, index: Array, size: int, stride: int, dx: Array) -> None:
    """dx[B, H, W, C]: the gradient goes to the maximum of each window."""
    _max_pool_grad(dy, index, size, stride, dx)


@jit(parallel=True)
def _avg_pool(x: Any, size: int, stride: int, out: Any) -> None:
    batch, height, width, _ = out.shape
    share = out.dtype.type(1.0 / (size * size))
    for task in prange(batch * height):
        b = task // height
        oy = task % height
        for ox in range(width):
            zero(out[b, oy, ox])
            for q in range(size * size):
                y = oy * stride + q // size
                k = ox * stride + q % size
                add_scaled(share, x[b, y, k], out[b, oy, ox])


def avg_pool(x: Array, size: int, stride: int, out: Array) -> None:
    """out[B, Ho, Wo, C] = mean of each window."""
    _avg_pool(x, size, stride, out)


@jit(parallel=True)
def _avg_pool_grad(dy: Any, size: int, stride: int, dx: Any) -> None:
    batch, height, width, _ = dy.shape
    share = dx.dtype.type(1.0 / (size * size))
    for b in prange(batch):
        for y in range(dx.shape[1]):
            for x in range(dx.shape[2]):
                zero(dx[b, y, x])
        for oy in range(height):
            for ox in range(width):
                for q in range(size * size):
                    y = oy * stride + q // size
                    x = ox * stride + q % size
                    add_scaled(share, dy[b, oy, ox], dx[b, y, x])


def avg_pool_grad(dy: Array, size: int, stride: int, dx: Array) -> None:
    """dx[B, H, W, C]: each window shares its gradient out evenly."""
    _avg_pool_grad(dy, size, stride, dx)
