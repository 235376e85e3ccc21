"""Exchange of the last two axes, in blocks that stay in the first-level cache."""

from typing import Any

from numba import prange

from snnr.kernels.jit import jit

BLOCK = 32


@jit()
def _block(x: Any, out: Any) -> None:
    for r in range(x.shape[0]):
        row = x[r]
        for c in range(x.shape[1]):
            out[c, r] = row[c]


@jit(parallel=True)
def swap_last(x: Any, out: Any) -> None:
    """out[B, C, R] = x[B, R, C] with its last two axes exchanged."""
    batch, rows, columns = x.shape
    across = (columns + BLOCK - 1) // BLOCK
    for task in prange(batch * across):
        b = task // across
        c0 = (task % across) * BLOCK
        c1 = min(c0 + BLOCK, columns)
        for r0 in range(0, rows, BLOCK):
            r1 = min(r0 + BLOCK, rows)
            _block(x[b, r0:r1, c0:c1], out[b, c0:c1, r0:r1])
