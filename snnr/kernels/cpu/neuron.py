"""Spiking neurons over time on the CPU, with the per-channel affine of a BatchNorm folded in.

A block of neurons lives in the first-level cache for the whole sequence: the input is read once,
spikes are written once, and the backward pass recomputes the potentials instead of loading them.
Rows are cut into a fixed number of chunks, so that sums over rows do not depend on the scheduler.
"""

from typing import Any

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.kernels.buffers import empty
from snnr.kernels.cpu.blocks import derivative_block, potentials, reset_grad_block, start_block
from snnr.kernels.jit import jit
from snnr.kernels.rules import Neuron

#: neurons per block: (T + 4) blocks of float32 stay in the first-level cache for T = 8
BLOCK = 512
CHUNKS = 64

Float = NDArray[np.floating[Any]]
_surrogate_slope = jit()(rules.surrogate_slope)
_surrogate_peak = jit()(rules.surrogate_peak)


@jit()
def _affine_block(x: Any, t: int, r0: int, rows: int, c0: int, c1: int, gain: Any, offset: Any,
                  z: Any) -> None:  # fmt: skip
    width = c1 - c0
    for r in range(rows):
        for c in range(width):
            z[r * width + c] = gain[c0 + c] * x[t, r0 + r, c0 + c] + offset[c0 + c]


@jit(parallel=True)
def _lif(x: Any, gain: Any, offset: Any, neuron: Any, held: Any, tile: Any, scratch: Any,
         out: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, total, channels = out.shape
    rows, width = tile
    across = (channels + width - 1) // width
    down = (total + rows - 1) // rows
    one = x.dtype.type(1)
    for block in prange(down * across):
        mine = scratch[numba.get_thread_id()]
        z, v, h, s = mine[0], mine[1], mine[2], mine[3]
        r0 = (block // across) * rows
        nr = min(rows, total - r0)
        c0 = (block % across) * width
        c1 = min(c0 + width, channels)
        n = nr * (c1 - c0)
        start_block(neuron, n, v)
        for t in range(steps):
            if t == 0 or not static:
                _affine_block(x, t, r0, nr, c0, c1, gain, offset, z)
            if held.size > 0:
                for r in range(nr):
                    for c in range(c1 - c0):
                        mine[4, r * (c1 - c0) + c] = held[t, r0 + r, c0 + c]
            potentials(neuron, n, z, v, h, s, mine[4], held.size > 0)
            for r in range(nr):
                for c in range(c1 - c0):
                    if neuron.smooth:
                        out[t, r0 + r, c0 + c] = s[r * (c1 - c0) + c]
                    else:
                        out[t, r0 + r, c0 + c] = s[r * (c1 - c0) + c] >= one


@jit(parallel=True)
def _lif_grad(x: Any, gain: Any, offset: Any, neuron: Any, held: Any, dout: Any, tile: Any,
              scratch: Any, partial: Any, dz: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, total, channels = dout.shape
    rows, width = tile
    across = (channels + width - 1) // width
    down = (total + rows - 1) // rows
    chunks = partial.shape[0]
    drive = x.dtype.type(neuron.drive)
    decay = x.dtype.type(neuron.decay)
    for chunk in prange(chunks):
        mine = scratch[numba.get_thread_id()]
        z, v, slope, dv, ds = mine[0], mine[1], mine[2], mine[3], mine[4]
        for c in range(channels):
            partial[chunk, 0, c] = 0
            partial[chunk, 1, c] = 0
        for block in range(down * chunk // chunks * across, down * (chunk + 1) // chunks * across):
            r0 = (block // across) * rows
            nr = min(rows, total - r0)
            c0 = (block % across) * width
            c1 = min(c0 + width, channels)
            w = c1 - c0
            n = nr * w
            start_block(neuron, n, v)
            for t in range(steps):
                if t == 0 or not static:
                    _affine_block(x, t, r0, nr, c0, c1, gain, offset, z)
                if held.size > 0:
                    for r in range(nr):
                        for c in range(w):
                            ds[r * w + c] = held[t, r0 + r, c0 + c]
                potentials(neuron, n, z, v, mine[6 + t], mine[5], ds, held.size > 0)
            for i in range(n):
                dv[i] = 0
                z[i] = 0
            for t in range(steps - 1, -1, -1):
                h = mine[6 + t]
                derivative_block(neuron, n, h, slope)
                for r in range(nr):
                    for c in range(w):
                        ds[r * w + c] = dout[t, r0 + r, c0 + c]
                if held.size > 0:
                    for r in range(nr):
                        for c in range(w):
                            mine[5, r * w + c] = held[t, r0 + r, c0 + c]
                reset_grad_block(neuron, n, h, slope, ds, dv, mine[5], held.size > 0)
                if static:
                    for i in range(n):
                        z[i] += dv[i]
                else:
                    for r in range(nr):
                        for c in range(w):
                            g = drive * dv[r * w + c]
                            dz[t, r0 + r, c0 + c] = g
                            partial[chunk, 0, c0 + c] += g
                            partial[chunk, 1, c0 + c] += g * x[t, r0 + r, c0 + c]
                for i in range(n):
                    dv[i] = decay * dv[i]
            if static:
                for r in range(nr):
                    for c in range(w):
                        g = drive * z[r * w + c]
                        dz[0, r0 + r, c0 + c] = g
                        partial[chunk, 0, c0 + c] += g
                        partial[chunk, 1, c0 + c] += g * x[0, r0 + r, c0 + c]


def _tile(channels: int) -> tuple[int, int]:
    """Rows and columns of a block: whole rows when they are short, else a part of one row."""
    if channels <= 2 * BLOCK:
        return max(1, BLOCK // channels), channels
    return 1, BLOCK


def lif(
    x: Float, gain: Float, offset: Float, neuron: Neuron, held: Float, out: NDArray[Any]
) -> None:
    """Spikes out[T, R, C] of the input gain*x + offset; x[1, R, C] is the same at every step."""
    rows, width = _tile(x.shape[2])
    scratch = empty((numba.get_num_threads(), 5, rows * width), x.dtype)
    _lif(x, gain, offset, neuron, held, (rows, width), scratch, out)


def lif_grad(
    x: Float,
    gain: Float,
    offset: Float,
    neuron: Neuron,
    held: Float,
    dout: Float,
    dz: Float,
    sum_dz: Float,
    sum_dzx: Float,
) -> None:
    """Gradient dz with respect to z = gain*x + offset, and its sums per channel (also times x)."""
    rows, width = _tile(x.shape[2])
    scratch = empty((numba.get_num_threads(), 6 + dout.shape[0], rows * width), x.dtype)
    partial = empty((CHUNKS, 2, x.shape[2]), x.dtype)
    _lif_grad(x, gain, offset, neuron, held, dout, (rows, width), scratch, partial, dz)
    np.sum(partial[:, 0], axis=0, out=sum_dz)
    np.sum(partial[:, 1], axis=0, out=sum_dzx)


@jit()
def lif_potential(x: Any, gain: Any, offset: Any, neuron: Any, out_v: Any) -> None:
    """Potential after the reset, out_v[T, R, C], for inspection."""
    steps, rows, channels = out_v.shape
    z = np.empty(channels, x.dtype)
    v, h, s = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    for r in range(rows):
        start_block(neuron, channels, v)
        for t in range(steps):
            _affine_block(x, t if x.shape[0] > 1 else 0, r, 1, 0, channels, gain, offset, z)
            potentials(neuron, channels, z, v, h, s, s, False)
            for c in range(channels):
                out_v[t, r, c] = v[c]
