"""Random masks and their use on the CPU."""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.backend import philox_blocks
from snnr.kernels.cpu.parts.random import philox
from snnr.kernels.jit import jit

#: blocks of four words per task
BLOCK = 4096


@jit()
def _mask_block(key: Any, counter: Any, limit: Any, out: Any) -> None:
    """out = 1 where its word is at least `limit`."""
    whole = out.shape[0] // 4
    for b in range(whole):
        w0, w1, w2, w3 = philox(counter + np.uint64(b), np.uint64(0), key)
        out[4 * b] = w0 >= limit
        out[4 * b + 1] = w1 >= limit
        out[4 * b + 2] = w2 >= limit
        out[4 * b + 3] = w3 >= limit
    words = philox(counter + np.uint64(whole), np.uint64(0), key)
    for i in range(4 * whole, out.shape[0]):
        out[i] = words[i - 4 * whole] >= limit


@jit(parallel=True)
def _mask(key: Any, counter: Any, limit: Any, out: Any) -> None:
    size = out.shape[0]
    span = 4 * BLOCK
    for block in prange((size + span - 1) // span):
        i, j = block * span, min(block * span + span, size)
        _mask_block(key, counter + np.uint64(block * BLOCK), limit, out[i:j])


def dropout_mask(key: int, counter: NDArray[np.uint64], p: float, out: NDArray[np.uint8]) -> None:
    """out uint8 = 1 where the word of the element is at least round(p * 2**32); the counter
    moves on."""
    _mask(np.uint64(key), counter[0], np.uint64(round(p * 2**32)), out.reshape(-1))
    counter += np.uint64(philox_blocks(out.size))


@jit()
def _mask_row(row: Any, mask: Any, factor: Any, out: Any) -> None:
    for i in range(row.shape[0]):
        out[i] = row[i] * mask[i] * factor


@jit(parallel=True)
def _mask_time(x: Any, mask: Any, factor: Any, out: Any) -> None:
    for t in prange(x.shape[0]):
        _mask_row(x[t], mask, factor, out[t])


def mask_time(x: NDArray[Any], mask: NDArray[np.uint8], factor: float, out: NDArray[Any]) -> None:
    """out[T, M] = x*mask*factor; with uint8 out, x*mask."""
    _mask_time(x, mask, out.dtype.type(factor), out)
