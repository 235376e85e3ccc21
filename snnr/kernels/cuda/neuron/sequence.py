"""Spiking neurons over time, with the per-channel affine of a BatchNorm folded in.

A thread owns a neuron, or four neighbours where the channels allow, for the whole sequence, and
keeps the potentials in registers. It reads the inputs of up to `AHEAD` time steps before it uses
the first, so that enough of them are on their way (16 bytes x 8 steps x 500 threads of a processor:
64 KiB, where a card of 3.3 TB/s needs some 16 KiB to be busy).

Bytes of device memory per neuron and time step, float32: forward 4 + 1 (static input 1), which is
all there is to move. The backward pass recomputes the potentials: up to 16 steps they stay in
registers, and 4 (x) + 4 (dout) + 4 (dz) bytes move (static 4), which is all there is. Longer
sequences are walked through twice: once forward, which leaves the potential at the start of each
chunk of 9 to 16 steps, and once back, chunk by chunk. That is 4 + 4 bytes of x, 8/chunk of
potentials, 4 and 4: for 500 steps (chunks of 10) 16.8 where 12 have to move, so that at full
bandwidth it takes 1.4 times the least time (static 4.8 where 4 have to).
Spikes and potentials that round differently where a card joins a product and a sum in one
instruction are those of a neuron within a rounding error of its threshold.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.neuron.backward import backward, chunk_of, one_or_none
from snnr.kernels.cuda.neuron.step import (
    Kind,
    charging,
    forward_kind_of,
    kind_of,
    resetting,
    scalars_of,
    spiking,
)
from snnr.kernels.cuda.parts.columns import THREADS, planned
from snnr.kernels.cuda.parts.vectors import loading
from snnr.kernels.rules import Neuron

#: time steps that the forward pass reads ahead, at most
AHEAD = 10


@lru_cache
def _forward(
    kind: Kind, width: int, ahead: int, rest: bool, static: bool, gained: bool, shifted: bool,
    started: bool, ended: bool, potential: bool,
) -> Kernel:  # fmt: skip
    """Kernel of `lif` and, with `potential`, `lif_potential`."""
    buffered = width * ahead
    load, charge, spike, reset = loading(width), charging(), spiking(kind), resetting(kind.soft)
    held_given = kind.held
    packed = width > 1

    def lif(
        x: Any, gain: Any, offset: Any, held: Any, start: Any, end: Any, out: Any, units: Any,
        rows: Any, steps: Any, scalars: Any,
    ) -> None:  # fmt: skip
        zero = x.dtype.type(0)
        one = x.dtype.type(1)
        column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        if column >= units:
            return
        wide = np.uint64(width)
        total = np.uint64(rows) * units
        g = cuda.local.array(width, x.dtype)
        o = cuda.local.array(width, x.dtype)
        v = cuda.local.array(width, x.dtype)
        buffer = cuda.local.array(buffered, x.dtype)
        if gained:
            load(gain[0], column * wide, g, 0)
        if shifted:
            load(offset[0], column * wide, o, 0)
        down = cuda.gridDim.y * cuda.blockDim.y
        for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, down):
            unit = np.uint64(row) * units + column
            if started:
                load(start[0], unit * wide, v, 0)
            else:
                for j in range(width):
                    v[j] = scalars[4]
            if static:
                load(x, unit * wide, buffer, 0)
                for j in range(width):
                    if gained:
                        buffer[j] = g[j] * buffer[j]
                    if shifted:
                        buffer[j] = buffer[j] + o[j]
            at = unit
            for first in range(0, steps, ahead):
                left = ahead
                if rest:
                    left = min(ahead, steps - first)
                place = at
                for k in range(ahead):
                    if not static:
                        load(x, at * wide, buffer, k * width)
                    # at the end the last step once more: no branch between loads
                    if k + 1 < left:
                        at += total
                at += total
                for k in range(ahead):
                    if k < left:
                        word = np.uint32(0)
                        for j in range(width):
                            if static:
                                z = buffer[j]
                            else:
                                z = buffer[k * width + j]
                                if gained:
                                    z = g[j] * z
                                if shifted:
                                    z = z + o[j]
                            h = charge(v[j], z, scalars)
                            s = spike(h, zero, one, scalars)
                            if held_given:
                                v[j] = reset(h, held[0][place], scalars)
                            else:
                                v[j] = reset(h, s, scalars)
                            if potential:
                                out[place] = v[j]
                            elif packed:
                                bit = 1 << (8 * j) if s == one else 0
                                word = np.uint32(word | np.uint32(bit))
                            else:
                                out[place] = s
                        if packed:
                            out[place] = word
                        place += total
            if ended:
                for j in range(width):
                    end[0][unit * wide + np.uint64(j)] = v[j]

    return kernel(launch_bounds=THREADS)(lif)


def _launch_forward(
    x: Memory, gain: Memory | None, offset: Memory | None, neuron: Neuron, held: Memory | None,
    out: Memory, start: Memory | None, end: Memory | None, potential: bool,
) -> None:  # fmt: skip
    steps, rows, channels = out.shape
    kind = forward_kind_of(neuron, held is not None)
    if gain is None and offset is None:
        rows, channels = 1, rows * channels  # a neuron's channel does not matter
    # four spikes fill a word
    narrow = potential or not kind.plain or channels % 4 or x.dtype != np.float32
    width = 1 if narrow else 4
    units = channels // width
    ahead = chunk_of(steps, AHEAD)
    plan = planned(units, rows)
    launch(
        _forward(
            kind, width, ahead, steps % ahead > 0, x.shape[0] == 1, gain is not None,
            offset is not None, start is not None, end is not None, potential,
        ),
        plan.grid, plan.block, x.flat, one_or_none(gain), one_or_none(offset), one_or_none(held),
        one_or_none(start), one_or_none(end),
        out.flat if width == 1 else out.words(np.uint32), np.uint64(units), rows, steps,
        scalars_of(neuron, x.dtype),
    )  # fmt: skip


def lif(
    x: Memory,
    gain: Memory | None,
    offset: Memory | None,
    neuron: Neuron,
    held: Memory | None,
    out: Memory,
    start: Memory | None = None,
    end: Memory | None = None,
) -> None:
    """Spikes out[T, R, C] of the input gain*x + offset; x[1, R, C] is the same at every step."""
    _launch_forward(x, gain, offset, neuron, held, out, start, end, False)


def lif_potential(
    x: Memory,
    gain: Memory | None,
    offset: Memory | None,
    neuron: Neuron,
    out_v: Memory,
    start: Memory | None = None,
) -> None:
    """Potential after the reset, out_v[T, R, C]."""
    _launch_forward(x, gain, offset, neuron, None, out_v, start, None, True)


def lif_grad(
    x: Memory,
    gain: Memory | None,
    offset: Memory | None,
    neuron: Neuron,
    held: Memory | None,
    dout: Memory,
    dz: Memory,
    sum_dz: Memory | None = None,
    sum_dzx: Memory | None = None,
    start: Memory | None = None,
) -> None:
    """Gradient dz with respect to z = gain*x + offset, and, where they have a place to go, its
    sums per channel (also times x)."""
    steps, rows, channels = dout.shape
    wanted = sum_dz is not None and sum_dzx is not None
    if gain is None and offset is None and not wanted:
        rows, channels = 1, rows * channels
    backward(
        x, gain, offset, kind_of(neuron, held is not None), scalars_of(neuron, x.dtype), held,
        start, dout, None, dz, sum_dz, sum_dzx, (steps, rows, channels), (),
    )  # fmt: skip
