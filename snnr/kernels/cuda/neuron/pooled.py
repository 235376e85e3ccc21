"""Spiking neurons with the 2x2 max pooling that follows them: spikes before it are never stored.

Forward a thread owns the four neurons of a window (of four channels, where they allow) and moves 4
bytes per neuron and step, and 2/4 of the window: all there is to move. Backward it takes the four
neurons one after the other: the window's gradient (4/4) and index (1/4) come from the device once
and from the cache three times; the rest is as in `lif_grad`.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.neuron.backward import backward
from snnr.kernels.cuda.neuron.step import (
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

#: time steps that are read ahead, of four neurons each
AHEAD = 2


@lru_cache
def _pooled(soft: bool, channels: int, static: bool) -> Kernel:
    """`channels` neighbours of one thread, 1 or 4."""
    neurons = 4 * channels
    buffered = AHEAD * neurons
    kind = forward_kind_of(Neuron(0, 0, 0, 0, 0, int(soft), 1, 0, 0, 0), False)
    load, charge, spike, reset = loading(channels), charging(), spiking(kind), resetting(soft)
    packed = channels > 1

    def lif_pool(
        x: Any, gain: Any, offset: Any, out: Any, index: Any, units: Any, rows: Any, steps: Any,
        images: Any, scalars: Any,
    ) -> None:  # fmt: skip
        zero = x.dtype.type(0)
        one = x.dtype.type(1)
        column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        if column >= units:
            return
        height, width, tall, wide = images
        neighbours = np.uint64(channels)
        total = np.uint64(rows // (tall * wide) * height * width) * units
        total_out = np.uint64(rows) * units
        line = np.uint64(width) * units
        g = cuda.local.array(channels, x.dtype)
        o = cuda.local.array(channels, x.dtype)
        v = cuda.local.array(neurons, x.dtype)
        buffer = cuda.local.array(buffered, x.dtype)
        load(gain, column * neighbours, g, 0)
        load(offset, column * neighbours, o, 0)
        down = cuda.gridDim.y * cuda.blockDim.y
        for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, down):
            ox = row % wide
            oy = row // wide % tall
            picture = row // (wide * tall)
            corner = np.uint64((picture * height + 2 * oy) * width + 2 * ox) * units + column
            unit = np.uint64(row) * units + column
            for j in range(neurons):
                v[j] = scalars[4]
            for first in range(0, steps, AHEAD):
                if not static or first == 0:
                    for k in range(AHEAD):
                        if k == 0 or not static:
                            # past the end the last step once more: no branch between loads
                            t = np.uint64(min(first + k, steps - 1))
                            if static:
                                t = np.uint64(0)
                            at = t * total + corner
                            load(x, at * neighbours, buffer, k * neurons)
                            load(x, (at + units) * neighbours, buffer, k * neurons + channels)
                            load(x, (at + line) * neighbours, buffer, k * neurons + 2 * channels)
                            load(
                                x, (at + line + units) * neighbours, buffer,
                                k * neurons + 3 * channels,
                            )  # fmt: skip
                for k in range(AHEAD):
                    if first + k < steps:
                        word = np.uint32(0)
                        word_index = np.uint32(0)
                        for j in range(channels):
                            found = 0
                            place = 0
                            for back in range(4):
                                # from the last to the first: the first that fires is left
                                q = 3 - back
                                n = q * channels + j
                                if static:
                                    z = g[j] * buffer[n] + o[j]
                                else:
                                    z = g[j] * buffer[k * neurons + n] + o[j]
                                h = charge(v[n], z, scalars)
                                s = spike(h, zero, one, scalars)
                                v[n] = reset(h, s, scalars)
                                if s == one:
                                    found = 1
                                    place = q
                            word = np.uint32(word | np.uint32(found << (8 * j)))
                            word_index = np.uint32(word_index | np.uint32(place << (8 * j)))
                        at_out = np.uint64(first + k) * total_out + unit
                        if packed:
                            out[at_out] = word
                            index[at_out] = word_index
                        else:
                            out[at_out] = np.uint8(word)
                            index[at_out] = np.uint8(word_index)

    return kernel(launch_bounds=THREADS)(lif_pool)


def lif_pool(
    x: Memory,
    gain: Memory,
    offset: Memory,
    neuron: Neuron,
    out: Memory,
    index: Memory,
) -> None:
    """Pooled spikes out[T, N, H//2, W//2, C] and the position (0..3) of each first maximum."""
    steps, count, tall, wide, channels = out.shape
    width = 1 if channels % 4 or x.dtype != np.float32 else 4
    units, rows = channels // width, count * tall * wide
    if rows == 0:
        return
    plan = planned(units, rows)
    launch(
        _pooled(bool(neuron.soft), width, x.shape[0] == 1), plan.grid, plan.block, x.flat,
        gain.array, offset.array, out.flat if width == 1 else out.words(np.uint32),
        index.flat if width == 1 else index.words(np.uint32), np.uint64(units), rows,
        steps, (x.shape[2], x.shape[3], tall, wide), scalars_of(neuron, x.dtype),
    )  # fmt: skip


def lif_pool_grad(
    x: Memory,
    gain: Memory,
    offset: Memory,
    neuron: Neuron,
    index: Memory,
    dout: Memory,
    dz: Memory,
    sum_dz: Memory,
    sum_dzx: Memory,
) -> None:
    """Gradient with respect to z = gain*x + offset, and its sums per channel (also times x)."""
    steps, count, tall, wide, channels = dout.shape
    _, _, height, width, _ = x.shape
    rows = count * ((height + 1) // 2) * ((width + 1) // 2)
    backward(
        x, gain, offset, kind_of(neuron, False), scalars_of(neuron, x.dtype), None, None, dout,
        index, dz, sum_dz, sum_dzx, (steps, rows, channels), (height, width, tall, wide, 4),
    )  # fmt: skip
