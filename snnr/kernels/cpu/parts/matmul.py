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
from numpy.lib.stride_tricks import as_strided
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
def _pack_strip(a: Any, a0: int, row_step: int, step: int, count: int, depth: int,
                strip: Any) -> None:  # fmt: skip
    """strip[k*MR + r] = a[a0 + r*row_step + k*step] for r < count, k < depth; zero for other r."""
    if count < MR:
        zero(strip)
    elif step == 1:
        done = transpose_strip(a, a0, row_step, depth, strip, 0)
        for r in range(MR):
            first = a0 + r * row_step
            _spread(a[first + done : first + depth], r, strip[done * MR :])
        return
    for r in range(count):
        first = a0 + r * row_step
        for k in range(depth):
            strip[k * MR + r] = a[first + k * step]


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
def _product(a: Any, start: int, rows: int, row_step: int, step: int, panels: Any,
             transposed: bool, strips: Any, blocks: Any, out: Any) -> None:  # fmt: skip
    """out = A @ B (or its transpose is written), B in column panels [P, K, width].

    A[m, k] = a[start + m*row_step + k*step]. Contiguous columns are read by the tiles where they
    are.
    """
    depth = panels.shape[1]
    width = panels.shape[2]
    columns = out.shape[0] if transposed else out.shape[1]
    result = out.reshape(-1)
    for s in prange((rows + MR - 1) // MR):
        thread = numba.get_thread_id()
        strip = strips[thread]
        block = blocks[thread]
        m0 = s * MR
        m1 = min(m0 + MR, rows)
        in_place = row_step == 1 and m1 - m0 == MR
        for k0 in range(0, depth, DEPTH):
            k1 = min(k0 + DEPTH, depth)
            a0 = start + m0 * row_step + k0 * step
            if not in_place:
                _pack_strip(a, a0, row_step, step, m1 - m0, k1 - k0, strip)
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
                    tile(a, a0, 1, step, panels, b0, width, target, origin, ldc, kc, more)
                else:
                    tile(strip, 0, 1, MR, panels, b0, width, target, origin, ldc, kc, more)
                if transposed:
                    _store_transposed(block, width, k0 == 0, out[n0:n1, m0:m1])
                elif not direct:
                    _store(block, width, k0 == 0, out[m0:m1, n0:n1])


def _flat(a: Float) -> tuple[Float, int]:
    """The memory of a, and where in it a[0, 0] lies: so one kernel serves every layout of a."""
    if a.flags.c_contiguous:
        return a.reshape(-1), 0
    if a.flags.f_contiguous:
        return a.T.reshape(-1), 0
    last = [(n - 1) * s // a.itemsize for n, s in zip(a.shape, a.strides, strict=True)]
    lowest = a[tuple(slice(None, None, -1 if far < 0 else 1) for far in last)]
    return (
        as_strided(lowest, (1 + sum(map(abs, last)),), (a.itemsize,)),
        -sum(far for far in last if far < 0),
    )


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
    row_step, step = (stride // a.itemsize for stride in a.strides)
    _product(
        *_flat(a), a.shape[0], row_step, step, panels_of(b, width), transposed, strips, blocks, out
    )
