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
from snnr.kernels.cpu.neuron.window import (
    fire_window_grad,
    fire_window_hard,
    fire_window_soft,
    scalars_of,
)
from snnr.kernels.cpu.parts.rows import affine, zero
from snnr.kernels.cpu.parts.vector import REGISTER
from snnr.kernels.jit import jit
from snnr.kernels.rules import ATAN, Neuron

Float = NDArray[np.floating[Any]]


@jit()
def _window(x: Any, t: int, b: int, oy: int, ox: int, gain: Any, offset: Any, z: Any) -> None:
    """z[q] = gain*x + offset at position q of the window."""
    for q in range(4):
        affine(x[t, b, 2 * oy + q // 2, 2 * ox + q % 2], gain, offset, z[q])


@jit()
def _unpool_block(index: Any, dout: Any, ds: Any) -> None:
    zero = dout.dtype.type(0)
    for q in range(4):
        for c in range(dout.shape[0]):
            ds[q, c] = dout[c] if index[c] == q else zero


@jit(parallel=True)
def _lif_pool(x: Any, shape: Any, soft: bool, scalars: Any, gain: Any, offset: Any, out: Any,
              index: Any) -> None:  # fmt: skip
    """x, out and index flat; `shape` is that of x."""
    _, batch, tall, wide, channels = shape
    height, width = tall // 2, wide // 2
    size = batch * height * width * channels
    steps = out.shape[0] // max(size, 1)
    static = shape[0] == 1
    step = 0 if static else batch * tall * wide * channels
    for task in prange(batch * height):
        b = task // height
        oy = task % height
        for ox in range(width):
            x0 = ((b * tall + 2 * oy) * wide + 2 * ox) * channels
            o0 = (task * width + ox) * channels
            if soft:
                fire_window_soft(
                    x, x0, wide * channels, channels, step, static, steps, channels, gain, offset,
                    scalars, out, index, o0, size,
                )  # fmt: skip
            else:
                fire_window_hard(
                    x, x0, wide * channels, channels, step, static, steps, channels, gain, offset,
                    scalars, out, index, o0, size,
                )  # fmt: skip


@jit(parallel=True)
def _plain_grad(x: Any, shape: Any, scalars: Any, gain: Any, offset: Any, index: Any, dout: Any,
                scratch: Any, partial: Any, dz: Any) -> None:  # fmt: skip
    """`_lif_pool_grad` for the paper's neuron, in registers."""
    _, batch, tall, wide, channels = shape
    height, width = tall // 2, wide // 2
    size = batch * height * width * channels
    steps = dout.shape[0] // max(size, 1)
    static = shape[0] == 1
    step = 0 if static else batch * tall * wide * channels
    chunks = partial.shape[0]
    tasks = batch * height
    for chunk in prange(chunks):
        mine = scratch[numba.get_thread_id()]
        partial[chunk] = 0
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            b = task // height
            oy = task % height
            for ox in range(width):
                x0 = ((b * tall + 2 * oy) * wide + 2 * ox) * channels
                o0 = (task * width + ox) * channels
                fire_window_grad(
                    x, x0, wide * channels, channels, step, static, steps, channels, gain, offset,
                    scalars, index, dout, o0, size, mine, dz, partial[chunk, 0], partial[chunk, 1],
                )  # fmt: skip


@jit(parallel=True)
def _lif_pool_grad(x: Any, gain: Any, offset: Any, neuron: Any, index: Any, dout: Any,
                   scratch: Any, partial: Any, dz: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, batch, height, width, channels = dout.shape
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


@jit()
def _clear_border(dz: Any) -> None:
    """dz = 0 where no window covers it, when the height or the width is odd."""
    steps, batch, tall, wide, _ = dz.shape
    for t in range(steps):
        for b in range(batch):
            for y in range(tall):
                for k in range(wide):
                    if y >= tall // 2 * 2 or k >= wide // 2 * 2:
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
    _lif_pool(
        x.reshape(-1), x.shape, bool(neuron.soft), scalars_of(neuron, x.dtype), gain, offset,
        out.reshape(-1), index.reshape(-1),
    )  # fmt: skip


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
    steps, channels = dout.shape[0], x.shape[4]
    partial = empty((CHUNKS, 2, channels), x.dtype)
    if neuron.surrogate == ATAN and neuron.detach and not neuron.soft:
        scratch = empty((numba.get_num_threads(), 4 * steps * REGISTER // x.itemsize), x.dtype)
        _plain_grad(
            x.reshape(-1), x.shape, scalars_of(neuron, x.dtype), gain, offset, index.reshape(-1),
            dout.reshape(-1), scratch, partial, dz.reshape(-1),
        )  # fmt: skip
    else:
        scratch = empty((numba.get_num_threads(), 6 + steps, 4 * channels), x.dtype)
        _lif_pool_grad(x, gain, offset, neuron, index, dout, scratch, partial, dz)
    if x.shape[2] % 2 or x.shape[3] % 2:
        _clear_border(dz)
    np.sum(partial[:, 0], axis=0, out=sum_dz)
    np.sum(partial[:, 1], axis=0, out=sum_dzx)
