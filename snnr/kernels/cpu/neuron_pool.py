"""LIF fused with 2x2 max pooling: the spikes before the pooling are never written to memory.

The backward pass recomputes them. Each task takes one row of windows; the four positions of a
window are processed side by side as one block.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.buffers import empty
from snnr.kernels.cpu.blocks import derivative_block, potentials, reset_grad_block, start_block
from snnr.kernels.cpu.neuron import CHUNKS
from snnr.kernels.jit import jit
from snnr.kernels.rules import Neuron

Float = NDArray[np.floating[Any]]


@jit()
def _window(x: Any, t: int, b: int, oy: int, ox: int, gain: Any, offset: Any, z: Any) -> None:
    """z[q*C + c] = gain*x + offset at position q of the window."""
    channels = x.shape[4]
    for q in range(4):
        y = 2 * oy + q // 2
        k = 2 * ox + q % 2
        for c in range(channels):
            z[q * channels + c] = gain[c] * x[t, b, y, k, c] + offset[c]


@jit(parallel=True)
def _lif_pool(x: Any, gain: Any, offset: Any, neuron: Any, scratch: Any, out: Any,
              index: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, batch, height, width, channels = out.shape
    n = 4 * channels
    for task in prange(batch * height):
        mine = scratch[numba.get_thread_id()]
        z, v, h, s = mine[0], mine[1], mine[2], mine[3]
        b = task // height
        oy = task % height
        for ox in range(width):
            start_block(neuron, n, v)
            for t in range(steps):
                if t == 0 or not static:
                    _window(x, t, b, oy, ox, gain, offset, z)
                potentials(neuron, n, z, v, h, s, s, False)
                for c in range(channels):
                    s0 = s[c] != 0
                    s1 = s[channels + c] != 0
                    s2 = s[2 * channels + c] != 0
                    s3 = s[3 * channels + c] != 0
                    out[t, b, oy, ox, c] = s0 | s1 | s2 | s3
                    late = np.uint8(3) if s3 else np.uint8(0)
                    late = np.uint8(2) if s2 else late
                    late = np.uint8(1) if s1 else late
                    index[t, b, oy, ox, c] = np.uint8(0) if s0 else late


@jit(parallel=True)
def _lif_pool_grad(x: Any, gain: Any, offset: Any, neuron: Any, index: Any, dout: Any,
                   scratch: Any, partial: Any, dz: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, batch, height, width, channels = dout.shape
    tall, wide = x.shape[2], x.shape[3]
    n = 4 * channels
    chunks = partial.shape[0]
    drive = x.dtype.type(neuron.drive)
    decay = x.dtype.type(neuron.decay)
    zero = x.dtype.type(0)
    tasks = batch * height
    for chunk in prange(chunks):
        mine = scratch[numba.get_thread_id()]
        z, v, slope, dv, ds, s = mine[0], mine[1], mine[2], mine[3], mine[4], mine[5]
        for c in range(channels):
            partial[chunk, 0, c] = 0
            partial[chunk, 1, c] = 0
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            b = task // height
            oy = task % height
            for ox in range(width):
                start_block(neuron, n, v)
                for t in range(steps):
                    if t == 0 or not static:
                        _window(x, t, b, oy, ox, gain, offset, z)
                    potentials(neuron, n, z, v, mine[6 + t], s, s, False)
                for i in range(n):
                    dv[i] = 0
                    z[i] = 0
                for t in range(steps - 1, -1, -1):
                    h = mine[6 + t]
                    derivative_block(neuron, n, h, slope)
                    for q in range(4):
                        for c in range(channels):
                            wins = index[t, b, oy, ox, c] == q
                            ds[q * channels + c] = dout[t, b, oy, ox, c] if wins else zero
                    reset_grad_block(neuron, n, h, slope, ds, dv, s, False)
                    if static:
                        for i in range(n):
                            z[i] += dv[i]
                    if not static or t == 0:
                        source = z if static else dv
                        for q in range(4):
                            y = 2 * oy + q // 2
                            k = 2 * ox + q % 2
                            for c in range(channels):
                                g = drive * source[q * channels + c]
                                dz[t, b, y, k, c] = g
                                partial[chunk, 0, c] += g
                                partial[chunk, 1, c] += g * x[t, b, y, k, c]
                    for i in range(n):
                        dv[i] = decay * dv[i]
    # what no window covers, when the height or the width is odd
    for t in range(dz.shape[0]):
        for b in range(batch):
            for y in range(tall):
                for k in range(wide):
                    if y >= 2 * height or k >= 2 * width:
                        for c in range(channels):
                            dz[t, b, y, k, c] = 0


def lif_pool(
    x: Float,
    gain: Float,
    offset: Float,
    neuron: Neuron,
    out: NDArray[np.uint8],
    index: NDArray[np.uint8],
) -> None:
    """Pooled spikes out[T, B, H//2, W//2, C] and the position (0..3) of each first maximum."""
    scratch = empty((numba.get_num_threads(), 4, 4 * x.shape[4]), x.dtype)
    _lif_pool(x, gain, offset, neuron, scratch, out, index)


def lif_pool_grad(
    x: Float,
    gain: Float,
    offset: Float,
    neuron: Neuron,
    index: NDArray[np.uint8],
    dout: Float,
    dz: Float,
    sum_dz: Float,
    sum_dzx: Float,
) -> None:
    """Gradient with respect to z = gain*x + offset, and its sums per channel (also times x)."""
    scratch = empty((numba.get_num_threads(), 6 + dout.shape[0], 4 * x.shape[4]), x.dtype)
    partial = empty((CHUNKS, 2, x.shape[4]), x.dtype)
    _lif_pool_grad(x, gain, offset, neuron, index, dout, scratch, partial, dz)
    np.sum(partial[:, 0], axis=0, out=sum_dz)
    np.sum(partial[:, 1], axis=0, out=sum_dzx)
