"""Dense matrix product on our own threads.

Blocked as in BLIS (Van Zee & van de Geijn, ACM TOMS 2015), but the larger operand is packed strip
by strip while it is used, so that a skinny product reads it once. It stays off NumPy's BLAS because
that brings a second thread pool: beside one busy process its threads wait for each other, and a
product takes ten times as long.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.panels import panels_of
from snnr.kernels.cpu.parts.register_tile import TILE_ROWS, tile, tile_columns, transpose_strip
from snnr.kernels.cpu.parts.rows import add, copy, zero
from snnr.kernels.cpu.parts.vector import REGISTER
from snnr.kernels.jit import jit

#: depth of a packed strip: TILE_ROWS x DEPTH floats stay in the second-level cache
DEPTH = 1024
MR = TILE_ROWS

Float = NDArray[np.floating[Any]]


@jit()
def _spread(row: Any, r: int, strip: Any) -> None:
    """strip[k*MR + r] = row[k]."""
    for k in range(row.shape[0]):
        strip[k * MR + r] = row[k]


@jit()
def _pack_strip(a: Any, m0: int, k0: int, k1: int, pitch: int, strip: Any) -> None:
    """strip[k*MR + r] = a[m0 + r, k0 + k], zero where a has no such row.

    `pitch` > 0 says that rows of a are contiguous and that far apart.
    """
    count = min(MR, a.shape[0] - m0)
    if count < MR:
        zero(strip)
    elif pitch > 0:
        done = transpose_strip(a, m0 * pitch + k0, pitch, k1 - k0, strip, 0)
        for r in range(MR):
            _spread(a[m0 + r, k0 + done : k1], r, strip[done * MR :])
        return
    for r in range(count):
        _spread(a[m0 + r, k0:k1], r, strip)


@jit()
def _store(block: Any, width: int, first: bool, out: Any) -> None:
    for r in range(out.shape[0]):
        row = block[r * width : r * width + out.shape[1]]
        if first:
            copy(row, out[r])
        else:
            add(row, out[r])


@jit()
def _store_transposed(block: Any, width: int, first: bool, out: Any) -> None:
    for j in range(out.shape[0]):
        for r in range(out.shape[1]):
            if first:
                out[j, r] = block[r * width + j]
            else:
                out[j, r] += block[r * width + j]


@jit(parallel=True)
def _product(a: Any, row_pitch: int, pitch: int, panels: Any, transposed: bool, strips: Any,
             blocks: Any, out: Any) -> None:  # fmt: skip
    """out = a @ b (or its transpose is written), b in column panels [P, K, width].

    With a `pitch`, the columns of a are contiguous and that far apart: tiles read it where it is.
    With a `row_pitch` its rows are.
    """
    rows, depth = a.shape
    width = panels.shape[2]
    columns = out.shape[0] if transposed else out.shape[1]
    result = out.reshape(-1)
    for s in prange((rows + MR - 1) // MR):
        thread = numba.get_thread_id()
        strip = strips[thread]
        block = blocks[thread]
        m0 = s * MR
        m1 = min(m0 + MR, rows)
        in_place = pitch > 0 and m1 - m0 == MR
        for k0 in range(0, depth, DEPTH):
            k1 = min(k0 + DEPTH, depth)
            if not in_place:
                _pack_strip(a, m0, k0, k1, row_pitch, strip)
            for p in range(panels.shape[0]):
                n0 = p * width
                n1 = min(n0 + width, columns)
                b0 = (p * depth + k0) * width
                kc = k1 - k0
                # whole tiles go straight to the result, where its rows are those of a
                direct = not transposed and m1 - m0 == MR and n1 - n0 == width
                target = result if direct else block
                origin = m0 * columns + n0 if direct else 0
                ldc = columns if direct else width
                more = direct and k0 > 0
                if in_place:
                    tile(
                        a, m0 + k0 * pitch, 1, pitch, panels, b0, width, target, origin, ldc, kc,
                        more,
                    )  # fmt: skip
                else:
                    tile(strip, 0, 1, MR, panels, b0, width, target, origin, ldc, kc, more)
                if transposed:
                    _store_transposed(block, width, k0 == 0, out[n0:n1, m0:m1])
                elif not direct:
                    _store(block, width, k0 == 0, out[m0:m1, n0:n1])


def matmul(a: Float, b: Float, out: Float) -> None:
    """out[M, N] = a[M, K] @ b[K, N]; a and b may be strided views."""
    if a.shape[1] == 0:
        out.fill(0)
        return
    transposed = a.size < b.size
    if transposed:
        a, b = b.T, a.T
    width = tile_columns(out.dtype.itemsize)
    threads = numba.get_num_threads()
    slack = REGISTER // out.itemsize
    strips = empty((threads, min(DEPTH, a.shape[1]) * MR + slack), out.dtype)
    blocks = empty((threads, MR * width), out.dtype)
    pitch = a.strides[1] // a.itemsize if a.strides[0] == a.itemsize else 0
    row_pitch = a.strides[0] // a.itemsize if a.strides[1] == a.itemsize else 0
    _product(a, row_pitch, pitch, panels_of(b, width), transposed, strips, blocks, out)
