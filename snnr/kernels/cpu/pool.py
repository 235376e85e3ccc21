"""Pooling (channels-last, no padding, floor mode) and the dropout mask on the CPU."""

from typing import Any

import numpy as np
from numba import prange

from snnr.kernels.jit import jit


@jit(parallel=True)
def max_pool(x: Any, size: int, stride: int, out: Any, index: Any) -> None:
    """out[B, Ho, Wo, C] and the row-major position of the first maximum in its window."""
    batch, height, width, channels = out.shape
    for task in prange(batch * height):
        b = task // height
        oy = task % height
        for ox in range(width):
            for c in range(channels):
                out[b, oy, ox, c] = x[b, oy * stride, ox * stride, c]
                index[b, oy, ox, c] = 0
            for q in range(1, size * size):
                y = oy * stride + q // size
                k = ox * stride + q % size
                for c in range(channels):
                    if x[b, y, k, c] > out[b, oy, ox, c]:
                        out[b, oy, ox, c] = x[b, y, k, c]
                        index[b, oy, ox, c] = q


@jit(parallel=True)
def max_pool_grad(dy: Any, index: Any, size: int, stride: int, dx: Any) -> None:
    """dx[B, H, W, C]: the gradient goes to the maximum of each window."""
    batch, height, width, channels = dy.shape
    for b in prange(batch):
        for y in range(dx.shape[1]):
            for x in range(dx.shape[2]):
                for c in range(channels):
                    dx[b, y, x, c] = 0
        for oy in range(height):
            for ox in range(width):
                for c in range(channels):
                    q = index[b, oy, ox, c]
                    dx[b, oy * stride + q // size, ox * stride + q % size, c] += dy[b, oy, ox, c]


@jit(parallel=True)
def avg_pool(x: Any, size: int, stride: int, out: Any) -> None:
    """out[B, Ho, Wo, C] = mean of each window."""
    batch, height, width, channels = out.shape
    share = out.dtype.type(1.0 / (size * size))
    for task in prange(batch * height):
        b = task // height
        oy = task % height
        for ox in range(width):
            for c in range(channels):
                out[b, oy, ox, c] = 0
            for q in range(size * size):
                y = oy * stride + q // size
                k = ox * stride + q % size
                for c in range(channels):
                    out[b, oy, ox, c] += x[b, y, k, c] * share


@jit(parallel=True)
def avg_pool_grad(dy: Any, size: int, stride: int, dx: Any) -> None:
    """dx[B, H, W, C]: each window shares its gradient out evenly."""
    batch, height, width, channels = dy.shape
    share = dx.dtype.type(1.0 / (size * size))
    for b in prange(batch):
        for y in range(dx.shape[1]):
            for x in range(dx.shape[2]):
                for c in range(channels):
                    dx[b, y, x, c] = 0
        for oy in range(height):
            for ox in range(width):
                for q in range(size * size):
                    y = oy * stride + q // size
                    x = ox * stride + q % size
                    for c in range(channels):
                        dx[b, y, x, c] += dy[b, oy, ox, c] * share


@jit(parallel=True)
def mask_time(x: Any, mask: Any, factor: float, out: Any) -> None:
    """out[T, M] = x*mask*factor; with uint8 out, x*mask."""
    steps, size = x.shape
    scale = np.float32(factor)
    for t in prange(steps):
        for i in range(size):
            if mask[i]:
                out[t, i] = x[t, i] * scale
            else:
                out[t, i] = 0
