"""Dense 3x3 stride-1 convolution by Winograd's F(4x4, 3x3) (Lavin & Gray, CVPR 2016).

Thirty-six products per 4x4 outputs instead of one hundred and forty-four. Input tiles are
transformed into a block that stays in cache, the products of a register tile go through the cache
into the output transform, and nothing else is stored.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.conv.tiles import SKEW, padded
from snnr.kernels.cpu.conv.winograd_transforms import (
    OUTPUTS,
    PRODUCTS,
    winograd_input,
    winograd_kernel,
    winograd_output,
)
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.register_tile import TILE_ROWS, tile, tile_columns
from snnr.kernels.cpu.parts.rows import copy, copy_padded
from snnr.kernels.jit import jit

MR = TILE_ROWS
#: most register tiles of windows per block; one panel of the kernel serves them from cache
STRIPS = 4

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _transform(w: Any, columns: int, rows: Any, panels: Any) -> None:
    """panels[i, p, ci, j] = product i of the kernel w[9, ci, p*columns + j], zero past the end."""
    taps, depth, channels = w.shape
    parts = panels.shape[1]
    flat = panels.reshape(-1)
    size = depth * columns
    for ci in prange(depth):
        row = rows[numba.get_thread_id()]
        for p in range(parts):
            c0 = p * columns
            c1 = min(c0 + columns, channels)
            for t in range(taps):
                copy_padded(w[t, ci, c0:c1], row[t * columns : (t + 1) * columns])
            winograd_kernel(row, 0, columns, flat, p * size + ci * columns, parts * size)


@jit(parallel=True)
def _conv(source: Any, panels: Any, depth: int, strips: int, blocks: Any, products: Any,
          squares: Any, out: Any) -> None:  # fmt: skip
    """source[B, tall, wide, pitch], panels[PRODUCTS, P, depth, columns] -> out[B, Ho, Wo, Co]."""
    batch, tall, wide, pitch = source.shape
    _, height, width, channels = out.shape
    parts, columns = panels.shape[1], panels.shape[3]
    size = depth * columns
    across = (width + OUTPUTS - 1) // OUTPUTS
    per_image = ((height + OUTPUTS - 1) // OUTPUTS) * across
    windows = batch * per_image
    group = strips * MR
    for task in prange((windows + group - 1) // group):
        thread = numba.get_thread_id()
        v = blocks[thread]
        m = products[thread]
        y = squares[thread]
        first = task * group
        last = min(first + group, windows)
        for w in range(first, last):
            b = w // per_image
            top = OUTPUTS * ((w % per_image) // across)
            left = OUTPUTS * ((w % per_image) % across)
            corner = ((b * tall + top) * wide + left) * pitch
            winograd_input(
                source, corner, wide * pitch, pitch, depth, v, (w - first) * pitch, group * pitch
            )
        for p in range(parts):
            c0 = p * columns
            c1 = min(c0 + columns, channels)
            for i in range(PRODUCTS):
                for r0 in range(0, last - first, MR):
                    tile(
                        v, (i * group + r0) * pitch, pitch, 1, panels, (i * parts + p) * size,
                        columns, m, (i * group + r0) * columns, columns, depth, False,
                    )  # fmt: skip
            for w in range(first, last):
                winograd_output(m, (w - first) * columns, group * columns, y, 0)
                b = w // per_image
                top = OUTPUTS * ((w % per_image) // across)
                left = OUTPUTS * ((w % per_image) % across)
                for i in range(top, min(top + OUTPUTS, height)):
                    for j in range(left, min(left + OUTPUTS, width)):
                        q = ((i - top) * OUTPUTS + j - left) * columns
                        copy(y[q : q + c1 - c0], out[b, i, j, c0:c1])


def _whole(size: int) -> int:
    """Inputs that whole tiles of outputs need."""
    return -(-size // OUTPUTS) * OUTPUTS + 2


def conv(x: NDArray[Any], w: Float, padding: tuple[int, int], out: Float) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[3, 3, Ci, Co], stride 1."""
    ci, co = w.shape[2:]
    batch, height, width, _ = out.shape
    source = padded(x, padding[0], padding[1], _whole(height), _whole(width), out.dtype)
    columns = tile_columns(out.dtype.itemsize)
    panels = empty((PRODUCTS, -(-co // columns), ci, columns), out.dtype)
    rows = empty((numba.get_num_threads(), 9 * columns), out.dtype)
    _transform(w.reshape(9, ci, co), columns, rows, panels)
    threads = numba.get_num_threads()
    windows = batch * -(-height // OUTPUTS) * -(-width // OUTPUTS)
    # enough tasks to share out evenly
    strips = max(1, min(STRIPS, windows // (MR * threads * 8)))
    pitch = ci + SKEW
    blocks = empty((threads, PRODUCTS * strips * MR * pitch + SKEW), out.dtype)
    products = empty((threads, PRODUCTS * strips * MR * columns), out.dtype)
    squares = empty((threads, OUTPUTS * OUTPUTS * columns), out.dtype)
    _conv(source, panels, ci, strips, blocks, products, squares, out)
