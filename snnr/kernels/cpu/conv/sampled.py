"""The weight gradient of a stride-1 convolution where weights survive: one sum for each.

On channel-major padded layouts of one pitch, the gradient of a connection is the product of two
planes of an image, that of its input channel shifted by its tap. Both are turned to that layout in
the cache of the thread that works on the image.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.conv.survivors import BLOCK, turn_in
from snnr.kernels.cpu.linear.lists import Survivors
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.dots import dot
from snnr.kernels.cpu.parts.rows import add, zero
from snnr.kernels.jit import jit

#: parts of the batch, whose sums are added up in an order that no scheduler changes
PARTS = 16

Float = NDArray[np.floating[Any]]
Pair = tuple[int, int]


@jit(parallel=True)
def _weight_grad(x: Any, dy: Any, taps: Any, padding: Any, wide: int, start: Any, count: Any,
                 index: Any, inputs: Any, outputs: Any, blocks: Any, partial: Any,
                 values: Any) -> None:  # fmt: skip
    batch = x.shape[0]
    depth = x.shape[3]
    parts = partial.shape[0]
    plane = inputs.shape[2]
    span = outputs.shape[2]
    for part in prange(parts):
        thread = numba.get_thread_id()
        block = blocks[thread]
        first_planes = inputs[thread].reshape(-1)
        second_planes = outputs[thread].reshape(-1)
        mine = partial[part]
        zero(mine)
        for b in range(batch * part // parts, batch * (part + 1) // parts):
            turn_in(
                x[b], padding[0], padding[1], wide, block[: BLOCK * inputs.shape[1]], inputs[thread]
            )
            turn_in(dy[b], 0, 0, wide, block[: BLOCK * outputs.shape[1]], outputs[thread])
            for row in range(start.shape[0]):
                shift = row // depth // taps[1] * wide + row // depth % taps[1]
                at = row % depth * plane + shift
                for e in range(start[row], start[row] + count[row]):
                    mine[e] += dot(first_planes, at, second_planes, np.intp(index[e]) * span, span)
    zero(values)
    for part in range(parts):
        add(partial[part], values)


def _whole(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def weight_grad(
    x: NDArray[Any], dy: Float, lists: Survivors, taps: Pair, padding: Pair, values: Float
) -> None:
    """values[e] = dw[i, j, c, o] for the survivor that is entry e of the lists of
    w[kh*kw*Ci, Co], from x[B, H, W, Ci] and dy[B, Ho, Wo, Co]; zero between the lists."""
    batch, height, width, depth = x.shape
    wide = width + 2 * padding[1]
    high, across, channels = dy.shape[1:]
    # the sums run over whole registers, past the last pixel
    plane = _whole((height + 2 * padding[0]) * wide + BLOCK)
    span = _whole((high - 1) * wide + across)
    threads = numba.get_num_threads()
    shapes = (_whole(depth), plane), (_whole(channels), span)
    inputs, outputs = (empty((threads, *shape), dy.dtype) for shape in shapes)
    _weight_grad(
        x, dy, taps, padding, wide, lists.start, lists.count, lists.index, inputs, outputs,
        empty((threads, BLOCK * max(shapes[0][0], shapes[1][0])), dy.dtype),
        empty((max(min(PARTS, batch), 1), values.size), dy.dtype), values,
    )  # fmt: skip
