"""Dense 3x3 stride-1 convolution by Winograd's F(2x2, 3x3) (Lavin & Gray, CVPR 2016).

Sixteen products per 2x2 outputs instead of thirty-six. The transforms only add and halve, so that
the result differs from the direct sum by float32 rounding. Input tiles are transformed into a block
that stays in cache, the sixteen products of a register tile go through the first cache into the
output transform, and nothing else is stored.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.buffers import empty
from snnr.kernels.cpu.gemm import matmul
from snnr.kernels.cpu.panels import panels_of
from snnr.kernels.cpu.rows import copy
from snnr.kernels.cpu.tiles import SKEW, padded
from snnr.kernels.cpu.vector import REGISTER, TILE_ROWS, TILE_VECTORS, tile
from snnr.kernels.cpu.winograd_vector import winograd_input, winograd_output
from snnr.kernels.jit import jit

MR = TILE_ROWS
#: register tiles of windows per block: 2*MR windows of 256 channels, transformed, are 0.5 MB
STRIPS = 2

Float = NDArray[np.floating[Any]]

#: kernel transform G g G^T for a flattened 3x3 kernel g
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_KERNEL = np.kron(_G, _G)


@jit(parallel=True)
def _conv(source: Any, panels: Any, depth: int, blocks: Any, products: Any, squares: Any,
          out: Any) -> None:  # fmt: skip
    """source[B, tall, wide, pitch], panels[16, P, depth, columns] -> out[B, Ho, Wo, Co]."""
    batch, tall, wide, pitch = source.shape
    _, height, width, channels = out.shape
    parts, columns = panels.shape[1], panels.shape[3]
    size = depth * columns
    across = (width + 1) // 2
    windows = batch * ((height + 1) // 2) * across
    per_image = windows // batch
    group = STRIPS * MR
    for task in prange((windows + group - 1) // group):
        thread = numba.get_thread_id()
        v = blocks[thread]
        m = products[thread]
        y = squares[thread]
        first = task * group
        last = min(first + group, windows)
        for w in range(first, last):
            b = w // per_image
            top = 2 * ((w % per_image) // across)
            left = 2 * ((w % per_image) % across)
            corner = ((b * tall + top) * wide + left) * pitch
            winograd_input(
                source, corner, wide * pitch, pitch, depth, v, (w - first) * pitch, group * pitch
            )
        for p in range(parts):
            c0 = p * columns
            c1 = min(c0 + columns, channels)
            for r0 in range(0, last - first, MR):
                for i in range(16):
                    tile(
                        v, (i * group + r0) * pitch, pitch, 1, panels, (i * parts + p) * size,
                        columns, m, i * MR * columns, columns, depth, False,
                    )  # fmt: skip
                for r in range(min(MR, last - first - r0)):
                    winograd_output(m, r * columns, MR * columns, y, 0)
                    w = first + r0 + r
                    b = w // per_image
                    top = 2 * ((w % per_image) // across)
                    left = 2 * ((w % per_image) % across)
                    for q in range(4):
                        i = top + q // 2
                        j = left + q % 2
                        if i < height and j < width:
                            square = y[q * columns : q * columns + c1 - c0]
                            copy(square, out[b, i, j, c0:c1])


def conv(x: NDArray[Any], w: Float, padding: tuple[int, int], out: Float) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[3, 3, Ci, Co], stride 1."""
    ci, co = w.shape[2:]
    height, width = out.shape[1:3]
    # whole 4x4 tiles: one row and column more where the output is odd
    source = padded(
        x, padding[0], padding[1], height + height % 2 + 2, width + width % 2 + 2, out.dtype
    )
    transformed = empty((16, ci * co), out.dtype)
    matmul(_KERNEL.astype(out.dtype), w.reshape(9, -1), transformed)
    columns = TILE_VECTORS * REGISTER // out.dtype.itemsize
    parts = -(-co // columns)
    panels = panels_of(transformed.reshape(16 * ci, co), columns)
    panels = np.ascontiguousarray(
        panels.reshape(parts, 16, ci, columns).transpose(1, 0, 2, 3)
    )
    threads = numba.get_num_threads()
    pitch = ci + SKEW
    blocks = empty((threads, 16 * STRIPS * MR * pitch + SKEW), out.dtype)
    products = empty((threads, 16 * MR * columns), out.dtype)
    squares = empty((threads, 4 * columns), out.dtype)
    _conv(source, panels, ci, blocks, products, squares, out)
