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

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.neuron.step import (
    input_grad_block,
    potentials,
    start_block,
    step_grad_block,
)
from snnr.kernels.cpu.parts.rows import affine, copy, zero
from snnr.kernels.jit import jit
from snnr.kernels.rules import Neuron

#: neurons per block: (T + 4) blocks of float32 stay in the first-level cache for T = 8
BLOCK = 512
CHUNKS = 64

Float = NDArray[np.floating[Any]]


@jit()
def _span(block: int, period: int, length: int, total: int) -> tuple[int, int, int]:
    """First and last element of a block, and its place within the period of the channels.

    The elements repeat their channels with `period` (a whole number of rows); blocks of `length`
    do not cross its end.
    """
    per = (period + length - 1) // length
    place = (block % per) * length
    start = (block // per) * period + place
    stop = min(start + min(length, period - place), total)
    return start, stop, place


@jit(parallel=True)
def _lif(x: Any, gain: Any, offset: Any, neuron: Any, held: Any, first: Any, length: int,
         scratch: Any, out: Any, last: Any) -> None:  # fmt: skip
    """`first` and `last`, where they are not empty, are the potentials before and after."""
    static = x.shape[0] == 1
    steps, total = out.shape
    period = gain.shape[0]
    blocks = ((total + period - 1) // period) * ((period + length - 1) // length)
    for block in prange(blocks):
        start, stop, place = _span(block, period, length, total)
        n = stop - start
        if n > 0:
            mine = scratch[numba.get_thread_id()]
            z, v, h, s = mine[0, :n], mine[1, :n], mine[2, :n], mine[3, :n]
            hold = held.size > 0
            if first.size > 0:
                copy(first[start:stop], v)
            else:
                start_block(neuron, v)
            for t in range(steps):
                if t == 0 or not static:
                    affine(x[t, start:stop], gain[place : place + n], offset[place : place + n], z)
                potentials(neuron, z, v, h, s, held[t, start:stop] if hold else s, hold)
                copy(s, out[t, start:stop])
            if last.size > 0:
                copy(v, last[start:stop])


@jit(parallel=True)
def _lif_grad(x: Any, gain: Any, offset: Any, neuron: Any, held: Any, first: Any, dout: Any,
              length: int, scratch: Any, partial: Any, dz: Any) -> None:  # fmt: skip
    static = x.shape[0] == 1
    steps, total = dout.shape
    period = gain.shape[0]
    per = (period + length - 1) // length
    periods = (total + period - 1) // period
    chunks = partial.shape[0]
    drive = x.dtype.type(neuron.drive)
    hold = held.size > 0
    sums = partial.shape[2] > 0
    for chunk in prange(chunks):
        thread = numba.get_thread_id()
        partial[chunk] = 0
        for block in range(periods * chunk // chunks * per, periods * (chunk + 1) // chunks * per):
            start, stop, place = _span(block, period, length, total)
            n = stop - start
            if n <= 0:
                continue
            mine = scratch[thread]
            z, v, slope, dv, s = mine[0, :n], mine[1, :n], mine[2, :n], mine[3, :n], mine[4, :n]
            until = place + n if sums else place
            sum_dz = partial[chunk, 0, place:until]
            sum_dzx = partial[chunk, 1, place:until]
            if first.size > 0:
                copy(first[start:stop], v)
            else:
                start_block(neuron, v)
            for t in range(steps):
                if t == 0 or not static:
                    affine(x[t, start:stop], gain[place : place + n], offset[place : place + n], z)
                potentials(
                    neuron, z, v, mine[5 + t, :n], s, held[t, start:stop] if hold else s, hold
                )
            zero(dv)
            zero(z)
            for t in range(steps - 1, -1, -1):
                step_grad_block(
                    neuron, static, mine[5 + t, :n], slope, dout[t, start:stop], dv, z,
                    held[t, start:stop] if hold else s, hold,
                )  # fmt: skip
                if not static:
                    input_grad_block(drive, z, x[t, start:stop], dz[t, start:stop], sum_dz, sum_dzx)
            if static:
                input_grad_block(drive, z, x[0, start:stop], dz[0, start:stop], sum_dz, sum_dzx)


def _period(channels: int) -> tuple[int, int]:
    """Rows after which the blocks repeat their channels, and the length of a block."""
    if channels <= 2 * BLOCK:
        rows = max(1, BLOCK // channels)
        return rows, rows * channels
    return 1, BLOCK


def _by_step(held: Float | None, dtype: Any) -> Float:
    """[T, R, C] -> [T, R*C]; None becomes an empty array."""
    if held is None:
        return np.empty((0, 0), dtype)
    return held.reshape(held.shape[0], held.shape[1] * held.shape[2])


def _flat(v: Float | None, dtype: Any) -> Float:
    return np.empty(0, dtype) if v is None else v.reshape(-1)


def _coefficients(
    gain: Float | None, offset: Float | None, channels: int, rows: int, dtype: Any
) -> tuple[Float, Float]:
    """gain and offset, 1 and 0 where they are absent, repeated for so many rows."""
    one = np.ones(channels, dtype) if gain is None else gain
    nought = np.zeros(channels, dtype) if offset is None else offset
    return np.tile(one, rows), np.tile(nought, rows)


def lif(
    x: Float,
    gain: Float | None,
    offset: Float | None,
    neuron: Neuron,
    held: Float | None,
    out: NDArray[Any],
    start: Float | None = None,
    end: Float | None = None,
) -> None:
    """Spikes out[T, R, C] of the input gain*x + offset; x[1, R, C] is the same at every step."""
    rows, length = _period(x.shape[2])
    scratch = empty((numba.get_num_threads(), 4, length), x.dtype)
    _lif(
        x.reshape(x.shape[0], -1), *_coefficients(gain, offset, x.shape[2], rows, x.dtype), neuron,
        _by_step(held, x.dtype), _flat(start, x.dtype), length, scratch,
        out.reshape(out.shape[0], -1), _flat(end, x.dtype),
    )  # fmt: skip


def lif_grad(
    x: Float,
    gain: Float | None,
    offset: Float | None,
    neuron: Neuron,
    held: Float | None,
    dout: Float,
    dz: Float,
    sum_dz: Float | None = None,
    sum_dzx: Float | None = None,
    start: Float | None = None,
) -> None:
    """Gradient dz with respect to z = gain*x + offset, and, where they have a place to go, its
    sums per channel (also times x)."""
    channels = x.shape[2]
    rows, length = _period(channels)
    steps = dout.shape[0]
    scratch = empty((numba.get_num_threads(), 5 + steps, length), x.dtype)
    wanted = sum_dz is not None and sum_dzx is not None
    partial = empty((CHUNKS, 2, rows * channels if wanted else 0), x.dtype)
    _lif_grad(
        x.reshape(x.shape[0], -1), *_coefficients(gain, offset, channels, rows, x.dtype), neuron,
        _by_step(held, x.dtype), _flat(start, x.dtype), dout.reshape(steps, -1), length, scratch,
        partial, dz.reshape(x.shape[0], -1),
    )  # fmt: skip
    if sum_dz is not None and sum_dzx is not None:
        sums = partial.reshape(CHUNKS, 2, rows, channels).sum(axis=(0, 2))
        sum_dz[...] = sums[0]
        sum_dzx[...] = sums[1]


@jit()
def _potential(x: Any, gain: Any, offset: Any, neuron: Any, first: Any, out_v: Any) -> None:
    steps, rows, channels = out_v.shape
    z = np.empty(channels, x.dtype)
    v, h, s = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    for r in range(rows):
        if first.size > 0:
            copy(first[r * channels : (r + 1) * channels], v)
        else:
            start_block(neuron, v)
        for t in range(steps):
            affine(x[t if x.shape[0] > 1 else 0, r], gain, offset, z)
            potentials(neuron, z, v, h, s, s, False)
            for c in range(channels):
                out_v[t, r, c] = v[c]


def lif_potential(
    x: Float,
    gain: Float | None,
    offset: Float | None,
    neuron: Neuron,
    out_v: Float,
    start: Float | None = None,
) -> None:
    """Potential after the reset, out_v[T, R, C], for inspection."""
    coefficients = _coefficients(gain, offset, x.shape[2], 1, x.dtype)
    _potential(x, *coefficients, neuron, _flat(start, x.dtype), out_v)
