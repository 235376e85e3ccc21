"""Stride-1 convolution that walks the surviving weights of a pruned kernel.

On a channel-major padded layout a connection is an offset: its contribution to a run of output
pixels is the run of input pixels that far away, times the weight. The sums of the run stay in
registers while the list of an output channel's surviving connections is walked.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.gather import WIDE_PANEL, gather_scaled
from snnr.kernels.cpu.parts.rows import zero
from snnr.kernels.jit import jit

Float = NDArray[np.floating[Any]]


@jit(parallel=True)
def _channel_major(x: Any, top: int, left: int, wide: int, planes: Any) -> None:
    """planes[b, c, (top + y)*wide + left + x] = x[b, y, x, c]; zero elsewhere."""
    batch, height, width, channels = x.shape
    for b in prange(batch):
        for c in range(channels):
            zero(planes[b, c])
        for y in range(height):
            for k in range(width):
                r = (top + y) * wide + left + k
                for c in range(channels):
                    planes[b, c, r] = x[b, y, k, c]


@jit(parallel=True)
def _lists(w: Any, wide: int, plane: int, offset: Any, value: Any, count: Any) -> None:
    """Per output channel the surviving connections, as offsets into the planes of an image."""
    kh, kw, depth, channels = w.shape
    for co in prange(channels):
        n = 0
        for i in range(kh):
            for j in range(kw):
                for ci in range(depth):
                    if w[i, j, ci, co] != 0:
                        offset[co, n] = ci * plane + i * wide + j
                        value[co, n] = w[i, j, ci, co]
                        n += 1
        count[co] = n


@jit(parallel=True)
def _conv(planes: Any, wide: int, offset: Any, value: Any, count: Any, acc: Any, out: Any) -> None:
    batch, height, width, channels = out.shape
    size = planes.shape[1] * planes.shape[2]
    slot = offset.shape[1]
    span = (height - 1) * wide + width
    runs = (span + WIDE_PANEL - 1) // WIDE_PANEL
    for task in prange(batch * runs):
        b = task // runs
        r0 = (task % runs) * WIDE_PANEL
        mine = acc[numba.get_thread_id()]
        for co in range(channels):
            gather_scaled(
                planes, b * size + r0, 1, offset, co * slot, co * slot + count[co], value,
                mine, co * WIDE_PANEL, True,
            )  # fmt: skip
        for j in range(WIDE_PANEL):
            y = (r0 + j) // wide
            x = (r0 + j) % wide
            if x < width and y < height:
                for co in range(channels):
                    out[b, y, x, co] = mine[co, j]


def conv(x: NDArray[Any], w: Float, padding: tuple[int, int], out: Float) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w[kh, kw, Ci, Co] over the nonzero w, stride 1."""
    ci, co = w.shape[2:]
    batch, height, width, _ = x.shape
    tall, wide = height + 2 * padding[0], width + 2 * padding[1]
    plane = tall * wide + WIDE_PANEL  # a run may read past the last pixel
    planes = empty((batch, ci, plane), out.dtype)
    _channel_major(x, padding[0], padding[1], wide, planes)
    longest = max(1, int(np.count_nonzero(w, axis=(0, 1, 2)).max()))
    offset = empty((co, longest), np.uint32)
    value = empty((co, longest), w.dtype)
    count = np.empty(co, np.int64)
    _lists(w, wide, plane, offset, value, count)
    acc = empty((numba.get_num_threads(), co, WIDE_PANEL), out.dtype)
    _conv(planes, wide, offset, value, count, acc, out)
