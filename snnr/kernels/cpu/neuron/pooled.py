"""LIF fused with 2x2 max pooling: the spikes before the pooling are never written to memory.

The backward pass recomputes them. Each task takes one row of windows; the four positions of a
window are processed side by side as one block.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.neuron.sequence import CHUNKS
from snnr.kernels.cpu.neuron.step import (
    input_grad_block,
    potentials,
    start_block,
    step_grad_block,
)
from snnr.kernels.cpu.parts.rows import affine, zero
from snnr.kernels.jit import jit
from snnr.kernels.rules import Neuron

Float = NDArray[np.floating[Any]]


@jit()
def _window(x: Any, t: int, b: int, oy: int, ox: int, gain: Any, offset: Any, z: Any) -> None:
    """z[q] = gain*x + offset at position q of the window."""
    for q in range(4):
        affine(x[t, b, 2 * oy + q // 2, 2 * ox + q % 2], gain, offset, z[q])


@jit()
def _pool_block(s: Any, out: Any, index: Any) -> None:
    s0, s1, s2, s3 = s[0], s[1], s[2], s[3]
    for c in range(out.shape[0]):
        late = np.uint8(3) if s3[c] != 0 else np.uint8(0)
        late = np.uint8(2) if s2[c] != 0 else late
        late = np.uint8(1) if s1[c] != 0 else late
        late = np.uint8(0) if s0[c] != 0 else late
        index[c] = late
        out[c] = np.uint8((late != 0) | (s0[c] != 0))


@jit()
def _unpool_block(index: Any, dout: Any, ds: Any) -> None:
    zero = dout.dtype.type(0)
    for q in range(4):
        for c in range(dout.shape[0]):
            ds[q, c] = dout[c] if index[c] == q else zero


@jit(parallel=True)
def _lif_pool(x: Any, gain: Any, offset: Any, neuron: Any, scratch: Any, out: Any,
              index: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, batch, height, width, channels = out.shape
    for task in prange(batch * height):
        mine = scratch[numba.get_thread_id()]
        z, v, h, s = mine[0], mine[1], mine[2], mine[3]
        b = task // height
        oy = task % height
        for ox in range(width):
            start_block(neuron, v)
            for t in range(steps):
                if t == 0 or not static:
                    _window(x, t, b, oy, ox, gain, offset, z.reshape(4, channels))
                potentials(neuron, z, v, h, s, s, False)
                _pool_block(s.reshape(4, channels), out[t, b, oy, ox], index[t, b, oy, ox])


@jit(parallel=True)
def _lif_pool_grad(x: Any, gain: Any, offset: Any, neuron: Any, index: Any, dout: Any,
                   scratch: Any, partial: Any, dz: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, batch, height, width, channels = dout.shape
    tall, wide = x.shape[2], x.shape[3]
    chunks = partial.shape[0]
    drive = x.dtype.type(neuron.drive)
    tasks = batch * height
    for chunk in prange(chunks):
        mine = scratch[numba.get_thread_id()]
        z, v, slope, dv, ds, s = mine[0], mine[1], mine[2], mine[3], mine[4], mine[5]
        partial[chunk] = 0
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            b = task // height
            oy = task % height
            for ox in range(width):
                start_block(neuron, v)
                for t in range(steps):
                    if t == 0 or not static:
                        _window(x, t, b, oy, ox, gain, offset, z.reshape(4, channels))
                    potentials(neuron, z, v, mine[6 + t], s, s, False)
                zero(dv)
                zero(z)
                for t in range(steps - 1, -1, -1):
                    _unpool_block(index[t, b, oy, ox], dout[t, b, oy, ox], ds.reshape(4, channels))
                    step_grad_block(neuron, static, mine[6 + t], slope, ds, dv, z, s, False)
                    if not static or t == 0:
                        source = z.reshape(4, channels)
                        for q in range(4):
                            y = 2 * oy + q // 2
                            k = 2 * ox + q % 2
                            input_grad_block(
                                drive, source[q], x[t, b, y, k], dz[t, b, y, k],
                                partial[chunk, 0], partial[chunk, 1],
                            )  # fmt: skip
    # what no window covers, when the height or the width is odd
    if tall > 2 * height or wide > 2 * width:
        for t in range(dz.shape[0]):
            for b in range(batch):
                for y in range(tall):
                    for k in range(wide):
                        if y >= 2 * height or k >= 2 * width:
                            dz[t, b, y, k] = 0


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
