"""Dense stride-1 convolution from register tiles, without im2col.

On a zero-padded, pixel-major layout every tap of the kernel is a constant row offset, so a tile of
output pixels accumulates over the taps straight from the padded activations while its sums stay in
registers and the first cache.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.matmul import matmul
from snnr.kernels.cpu.parts.panels import panels_of
from snnr.kernels.cpu.parts.register_tile import TILE_ROWS, tile, tile_columns
from snnr.kernels.cpu.parts.rows import copy, zero
from snnr.kernels.jit import jit

MR = TILE_ROWS
#: added to the channel pitch of padded activations, against rows that fall on the same cache sets
SKEW = 16

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _pad(x: Any, top: int, left: int, padded: Any) -> None:
    """padded[b, top + y, left + x, c] = x[b, y, x, c] for the channels of x; zero around them."""
    batch, height, width, channels = x.shape
    tall = padded.shape[1]
    wide = padded.shape[2]
    for row in prange(batch * tall):
        b = row // tall
        y = row % tall - top
        for j in range(wide):
            k = j - left
            if 0 <= y < height and 0 <= k < width:
                copy(x[b, y, k], padded[b, y + top, j, :channels])
            else:
                zero(padded[b, y + top, j, :channels])


def padded(x: NDArray[Any], top: int, left: int, tall: int, wide: int, dtype: Any) -> Float:
    """x[B, H, W, C] as floats on a zero-padded [B, tall, wide, C + SKEW] grid, with slack rows."""
    batch, _, _, channels = x.shape
    pitch = channels + SKEW
    # a tile may read up to MR rows past the last pixel: the values are discarded
    block = empty(((batch * tall * wide + MR) * pitch,), dtype)
    block[batch * tall * wide * pitch :] = 0
    grid = block[: batch * tall * wide * pitch].reshape(batch, tall, wide, pitch)
    _pad(x, top, left, grid)
    return grid


@jit(parallel=True)
def _conv(source: Any, panels: Any, taps: tuple[int, int], depth: int, acc: Any, out: Any) -> None:
    """source[B, tall, wide, pitch] holds the padded input, `depth` of whose channels are real."""
    batch, tall, wide, pitch = source.shape
    _, height, width, channels = out.shape
    blocks, size, columns = panels.shape
    kh, kw = taps
    # whole rows of pixels when they fill tiles, else one run over the padded image
    by_row = width % MR == 0
    span = width if by_row else (height - 1) * wide + width
    runs = height if by_row else 1
    for task in prange(batch * blocks):
        b = task // blocks
        p = task % blocks
        mine = acc[numba.get_thread_id()]
        c0 = p * columns
        c1 = min(c0 + columns, channels)
        for run in range(runs):
            for m0 in range(0, span, MR):
                first = run * wide + m0
                for i in range(kh):
                    for j in range(kw):
                        tile(
                            source, ((b * tall + i) * wide + first + j) * pitch, pitch, 1,
                            panels, (p * size + (i * kw + j) * depth) * columns, columns,
                            mine, 0, columns, depth, i + j > 0,
                        )  # fmt: skip
                for r in range(MR):
                    y = (first + r) // wide
                    x = (first + r) % wide
                    if x < width and y < height:
                        copy(mine[r, : c1 - c0], out[b, y, x, c0:c1])


def conv(x: NDArray[Any], w: Float, padding: tuple[int, int], out: Float) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[kh, kw, Ci, Co], stride 1."""
    kh, kw, ci, co = w.shape
    _, height, width, _ = x.shape
    tall, wide = height + 2 * padding[0], width + 2 * padding[1]
    source = padded(x, padding[0], padding[1], tall, wide, out.dtype)
    columns = tile_columns(out.dtype.itemsize)
    panels = panels_of(w.reshape(-1, co), columns)
    acc = empty((numba.get_num_threads(), MR, columns), out.dtype)
    _conv(source, panels, (kh, kw), ci, acc, out)


def weight_grad(x: NDArray[Any], dy: Float, padding: tuple[int, int], dw: Float) -> None:
    """dw[kh, kw, Ci, Co]: one product per tap of the input, shifted, with the output gradient.

    Both lie on the padded grid, where the shift of a tap is a constant number of rows and the
    rows between images multiply zeros.
    """
    kh, kw, ci, co = dw.shape
    height, width = x.shape[1:3]
    tall, wide = height + 2 * padding[0], width + 2 * padding[1]
    source = padded(x, padding[0], padding[1], tall, wide, dw.dtype).reshape(-1, ci + SKEW)
    grad = padded(dy, 0, 0, tall, wide, dw.dtype).reshape(-1, co + SKEW)
    for i in range(kh):
        for j in range(kw):
            shift = i * wide + j
            rows = source.shape[0] - shift
            matmul(source[shift:, :ci].T, grad[:rows, :co], dw[i, j])
