"""Convolution by way of patches: any stride, and inputs of so few channels that copying is cheap.

Patches are made for a group of images at a time, so that the copy stays in cache however large the
batch is.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.matmul import matmul
from snnr.kernels.cpu.parts.register_tile import TILE_ROWS, tile, tile_columns
from snnr.kernels.cpu.parts.rows import add, copy, zero
from snnr.kernels.jit import jit

#: floats in the patches of one group of images
GROUP = 1 << 20
#: values of a patch up to which its gradients cost less than to pack what they are multiplied with
THIN = 64
#: parts of the pixels, whose sums are added up in an order that no scheduler changes; pixels of
#: one of them whose gradients stay in the second-level cache
PARTS, DEPTH = 16, 256

Float = NDArray[np.floating[Any]]
Pair = tuple[int, int]


@jit(parallel=True)
def _gather(x: Any, taps: Any, stride: Any, padding: Any, size: Any, patches: Any) -> None:
    """patches[b, y, x, i, j] = the input pixel under tap (i, j), zero outside the image."""
    ho, wo = size
    for row in prange(x.shape[0] * ho):
        b = row // ho
        oy = row % ho
        for ox in range(wo):
            for i in range(taps[0]):
                y = oy * stride[0] - padding[0] + i
                for j in range(taps[1]):
                    k = ox * stride[1] - padding[1] + j
                    if 0 <= y < x.shape[1] and 0 <= k < x.shape[2]:
                        copy(x[b, y, k], patches[b, oy, ox, i, j])
                    else:
                        zero(patches[b, oy, ox, i, j])


@jit(parallel=True)
def _scatter(patches: Any, stride: Any, padding: Any, dx: Any) -> None:
    """Inverse of `_gather`: dx = the sum over every place a pixel was copied to."""
    batch, ho, wo, kh, kw, _ = patches.shape
    for b in prange(batch):
        zero(dx[b].reshape(-1))
        for oy in range(ho):
            for ox in range(wo):
                for i in range(kh):
                    y = oy * stride[0] - padding[0] + i
                    for j in range(kw):
                        k = ox * stride[1] - padding[1] + j
                        if 0 <= y < dx.shape[1] and 0 <= k < dx.shape[2]:
                            add(patches[b, oy, ox, i, j], dx[b, y, k])


def _groups(batch: int, floats: int) -> Iterator[slice]:
    step = max(1, GROUP // max(floats, 1))
    for first in range(0, batch, step):
        yield slice(first, min(first + step, batch))


def conv(x: NDArray[Any], w: Float, stride: Pair, padding: Pair, out: Float) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[kh, kw, Ci, Co]."""
    flat = w.reshape(-1, w.shape[3])
    ho, wo = out.shape[1:3]
    for part in _groups(x.shape[0], ho * wo * flat.shape[0]):
        shape = (part.stop - part.start, ho, wo, *w.shape[:3])
        patches = empty(shape, out.dtype)
        _gather(x[part], w.shape[:2], stride, padding, (ho, wo), patches)
        matmul(patches.reshape(-1, flat.shape[0]), flat, out[part].reshape(-1, w.shape[3]))


@jit(parallel=True)
def _thin(patches: Any, size: int, dy: Any, channels: int, width: int, partial: Any,
          dw: Any) -> None:  # fmt: skip
    """dw[t, o] += sum over the pixels n of patches[n, t] * dy[n, o], of whole register tiles of
    `width` channels: the gradients are read where they lie, and once. All are flat."""
    parts, rows = partial.shape[:2]
    pixels = dy.shape[0] // channels
    for part in prange(parts):
        last = pixels * (part + 1) // parts
        mine = partial[part].reshape(-1)
        zero(mine)
        for n in range(pixels * part // parts, last, DEPTH):
            for r in range(0, rows, TILE_ROWS):
                for c in range(0, channels, width):
                    tile(
                        patches, n * size + r, 1, size, dy, n * channels + c, channels, mine,
                        r * channels + c, channels, min(DEPTH, last - n), True,
                    )  # fmt: skip
    for part in range(parts):
        add(partial[part].reshape(-1)[: dw.shape[0]], dw)


def weight_grad(x: NDArray[Any], dy: Float, stride: Pair, padding: Pair, dw: Float) -> None:
    """dw[kh, kw, Ci, Co] from x[B, H, W, Ci] and dy[B, Ho, Wo, Co]."""
    flat = dw.reshape(-1, dw.shape[3])
    ho, wo = dy.shape[1:3]
    size, channels = flat.shape
    width = tile_columns(dw.itemsize)
    thin = size <= THIN and channels > 0 and channels % width == 0
    rows = -(-size // TILE_ROWS) * TILE_ROWS
    partial = empty((PARTS, rows, channels) if thin else flat.shape, dw.dtype)
    flat.fill(0)
    for part in _groups(x.shape[0], ho * wo * size):
        shape = (part.stop - part.start, ho, wo, *dw.shape[:3])
        # the last tile reads past its rows
        block = empty((prod(shape) + TILE_ROWS,), dw.dtype)
        patches = block[: prod(shape)].reshape(shape)
        _gather(x[part], dw.shape[:2], stride, padding, (ho, wo), patches)
        if thin:
            _thin(block, size, dy[part].reshape(-1), channels, width, partial, flat.reshape(-1))
            continue
        matmul(patches.reshape(-1, size).T, dy[part].reshape(-1, channels), partial)
        flat += partial


def input_grad(dy: Float, w: Float, stride: Pair, padding: Pair, dx: Float) -> None:
    """dx[B, H, W, Ci] from dy[B, Ho, Wo, Co]."""
    flat = w.reshape(-1, w.shape[3])
    ho, wo = dy.shape[1:3]
    for part in _groups(dy.shape[0], ho * wo * flat.shape[0]):
        shape = (part.stop - part.start, ho, wo, *w.shape[:3])
        patches = empty(shape, dx.dtype)
        matmul(dy[part].reshape(-1, w.shape[3]), flat.T, patches.reshape(-1, flat.shape[0]))
        _scatter(patches, stride, padding, dx[part])
