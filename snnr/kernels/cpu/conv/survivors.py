"""Stride-1 convolution that walks the surviving weights of a pruned kernel.

On a channel-major padded layout a connection is an offset: its contribution to a run of output
pixels is the run of input pixels that far away, times the weight. The sums of the run stay in
registers while the list of an output channel's surviving connections is walked. An image is
turned to that layout, and its result turned back, in the cache of the thread that works on it.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.linear.lists import Survivors
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.gather import WIDE_PANEL, gather_scaled
from snnr.kernels.cpu.parts.rows import copy, copy_padded, zero
from snnr.kernels.cpu.parts.square import turn_square
from snnr.kernels.cpu.parts.vector import REGISTER
from snnr.kernels.jit import jit

#: pixels that are turned at a time, and channels of the result: whole registers of any kind
BLOCK = 16

Float = NDArray[np.floating[Any]]
Pair = tuple[int, int]


@jit()
def _regroup(start: Any, count: Any, index: Any, value: Any, taps: Any, wide: int, plane: int,
             backward: bool, first: Any, offset: Any, weight: Any) -> None:  # fmt: skip
    """Lists of the connections of each channel of the result, as offsets into the planes.

    Row (i*kw + j)*C + c of the survivors lists the output channels of tap (i, j) of input channel
    c. Backward, the kernel is mirrored and its channels exchanged. Entries first[n] to first[n + 1]
    belong to channel n.
    """
    high, across, depth = taps
    first[:] = 0
    for turn in range(2):
        for row in range(start.shape[0]):
            k = start.shape[0] - depth - row // depth * depth + row % depth if backward else row
            c = k % depth
            i = k // depth // across
            j = k // depth % across
            if backward:
                i, j = high - 1 - i, across - 1 - j
            for e in range(start[k], start[k] + count[k]):
                o = np.intp(index[e])
                to = c if backward else o
                if turn == 0:
                    first[to + 1] += 1
                else:
                    n = first[to]
                    first[to] = n + 1
                    offset[n] = (o if backward else c) * plane + i * wide + j
                    weight[n] = value[e]
        if turn == 0:
            for n in range(1, first.shape[0]):
                first[n] += first[n - 1]
        else:
            # each now names the start of the next one
            for n in range(first.shape[0] - 1, 0, -1):
                first[n] = first[n - 1]
            first[0] = 0


@jit()
def turn_in(image: Any, top: int, left: int, wide: int, block: Any, planes: Any) -> None:
    """planes[c, (top + y)*wide + left + x] = image[y, x, c]; zero elsewhere."""
    height, width, _ = image.shape
    channels, plane = planes.shape
    flat = planes.reshape(-1)
    lanes = REGISTER // planes.itemsize
    pitch = block.shape[0] // BLOCK
    for r0 in range(0, plane, BLOCK):
        for r in range(r0, r0 + BLOCK):
            y = r // wide - top
            x = r % wide - left
            row = block[(r - r0) * pitch : (r - r0 + 1) * pitch]
            if 0 <= y < height and 0 <= x < width:
                copy_padded(image[y, x], row)
            else:
                zero(row)
        for c in range(0, channels, lanes):
            for r in range(0, BLOCK, lanes):
                turn_square(block, r * pitch + c, pitch, flat, c * plane + r0 + r, plane)


@jit()
def _turn_out(acc: Any, r0: int, c0: int, wide: int, block: Any, image: Any) -> None:
    """image[y, x, c0 + c] = acc[c*WIDE_PANEL + r] where y*wide + x = r0 + r, c < BLOCK."""
    height, width, channels = image.shape
    lanes = REGISTER // image.itemsize
    for c in range(0, BLOCK, lanes):
        for r in range(0, WIDE_PANEL, lanes):
            turn_square(acc, c * WIDE_PANEL + r, WIDE_PANEL, block, r * BLOCK + c, BLOCK)
    last = min(c0 + BLOCK, channels)
    for r in range(WIDE_PANEL):
        y = (r0 + r) // wide
        x = (r0 + r) % wide
        if x < width and y < height:
            copy(block[r * BLOCK : r * BLOCK + last - c0], image[y, x, c0:last])


@jit(parallel=True)
def _conv(x: Any, top: int, left: int, wide: int, first: Any, offset: Any, weight: Any,
          planes: Any, blocks: Any, acc: Any, out: Any) -> None:  # fmt: skip
    batch, height, width, channels = out.shape
    span = (height - 1) * wide + width
    for b in prange(batch):
        thread = numba.get_thread_id()
        mine = acc[thread]
        block = blocks[thread]
        flat = planes[thread].reshape(-1)
        turn_in(x[b], top, left, wide, block[: BLOCK * planes.shape[1]], planes[thread])
        for r0 in range(0, span, WIDE_PANEL):
            for c0 in range(0, channels, BLOCK):
                for c in range(c0, min(c0 + BLOCK, channels)):
                    gather_scaled(
                        flat, r0, 1, offset, first[c], first[c + 1], weight, mine,
                        (c - c0) * WIDE_PANEL, True,
                    )  # fmt: skip
                _turn_out(mine, r0, c0, wide, block, out[b])


def _run(
    x: NDArray[Any], survivors: Survivors, taps: tuple[int, int, int], padding: Pair,
    backward: bool, out: Float,
) -> None:  # fmt: skip
    _, height, width, depth = x.shape
    tall, wide = height + 2 * padding[0], width + 2 * padding[1]
    # a run may read past the last pixel
    plane = -(-(tall * wide + WIDE_PANEL) // BLOCK) * BLOCK
    threads = numba.get_num_threads()
    channels = -(-depth // BLOCK) * BLOCK
    room = int(survivors.count.sum())
    offset, weight = empty((room,), np.uint32), empty((room,), out.dtype)
    first = np.empty(out.shape[3] + 1, np.int64)
    _regroup(
        survivors.start, survivors.count, survivors.index, survivors.value, taps, wide, plane,
        backward, first, offset, weight,
    )  # fmt: skip
    _conv(
        x, padding[0], padding[1], wide, first, offset, weight,
        empty((threads, channels, plane), out.dtype),
        empty((threads, BLOCK * max(channels, WIDE_PANEL)), out.dtype),
        empty((threads, BLOCK * WIDE_PANEL), out.dtype), out,
    )  # fmt: skip


def conv(
    x: NDArray[Any], survivors: Survivors, taps: Pair, padding: Pair, out: Float
) -> None:
    """out[B, Ho, Wo, Co] = x[B, H, W, Ci] * w over the survivors of w[kh*kw*Ci, Co], stride 1."""
    _run(x, survivors, (*taps, x.shape[3]), padding, False, out)


def input_grad(
    dy: Float, survivors: Survivors, taps: Pair, padding: Pair, dx: Float
) -> None:
    """dx[B, H, W, Ci] from dy[B, Ho, Wo, Co]; padding less than the taps."""
    turned = (taps[0] - 1 - padding[0], taps[1] - 1 - padding[1])
    _run(dy, survivors, (*taps, dx.shape[3]), turned, True, dx)
