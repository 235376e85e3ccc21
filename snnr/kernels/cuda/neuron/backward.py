"""Back through time, one neuron after the other of a thread; with or without the pooling after it.

A chunk of time steps is kept in registers: the loads of a chunk are on their way together, then the
potentials are computed once more, then the gradient goes back through them.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from snnr.kernels.cuda import memory
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import ceil
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.neuron.step import Kind, charging, going_back, resetting, spiking
from snnr.kernels.cuda.parts.columns import THREADS, TWICE, finish_sums, planned, workspace

#: time steps that stay in registers, for sequences of at most so many
CHUNKS = (4, 8, 16)


def chunk_of(steps: int) -> int:
    """Time steps of one chunk; longer sequences are made of several."""
    return next((chunk for chunk in CHUNKS if steps <= chunk), CHUNKS[-1])


def one_or_none(value: Memory | None) -> tuple[Any, ...]:
    """An argument that may be absent, for a kernel that was made to know whether it is."""
    return () if value is None else (value.flat,)


@lru_cache
def _backward(
    kind: Kind, chunk: int, several: bool, static: bool, gained: bool, shifted: bool,
    started: bool, summed: bool, pooled: bool,
) -> Kernel:  # fmt: skip
    charge, spike, reset, back = (
        charging(), spiking(kind), resetting(kind.soft), going_back(kind),
    )  # fmt: skip
    held_given = kind.held

    def lif_grad(
        x: Any, gain: Any, offset: Any, held: Any, start: Any, saved: Any, dout: Any, index: Any,
        dz: Any, partial: Any, columns: Any, rows: Any, steps: Any, images: Any, scalars: Any,
    ) -> None:  # fmt: skip
        zero = x.dtype.type(0)
        one = x.dtype.type(1)
        xs = cuda.local.array(chunk, x.dtype)
        ds = cuda.local.array(chunk, x.dtype)
        hs = cuda.local.array(chunk, x.dtype)
        sum_z = np.float64(0)
        sum_zx = np.float64(0)
        column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        down = cuda.gridDim.y * cuda.blockDim.y
        g = one
        o = zero
        if column < columns:
            if gained:
                g = gain[0][column]
            if shifted:
                o = offset[0][column]
            total = np.uint64(rows) * columns
            total_out = total
            quarters = 1
            if pooled:
                height, width, tall, wide, quarters = images
                across, windows = (width + 1) // 2, (height + 1) // 2
                pictures = rows // (across * windows)
                total = np.uint64(pictures * height * width) * columns
                total_out = np.uint64(pictures * tall * wide) * columns
            chunks = (steps + chunk - 1) // chunk
            for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, down):
                for q in range(quarters):
                    i = np.uint64(row) * columns + column
                    i_out = i
                    inside = True
                    seen = True
                    if pooled:
                        ox = row % across
                        oy = row // across % windows
                        picture = row // (across * windows)
                        y = 2 * oy + q // 2
                        k_x = 2 * ox + q % 2
                        inside = y < height and k_x < width
                        seen = oy < tall and ox < wide
                        i = np.uint64((picture * height + y) * width + k_x) * columns + column
                        i_out = np.uint64((picture * tall + oy) * wide + ox) * columns + column
                    if inside and not seen:
                        for t in range(1 if static else steps):
                            dz[np.uint64(t) * total + i] = zero
                    if inside and seen:
                        v = scalars[4]
                        if started:
                            v = start[0][i]
                        z = zero
                        whole = zero
                        if static:
                            z = x[i]
                            if gained:
                                z = g * z
                            if shifted:
                                z = z + o
                        if several:
                            for c in range(chunks - 1):
                                saved[0][np.uint64(c) * total + i] = v
                                if not static:
                                    for k in range(chunk):
                                        xs[k] = x[np.uint64(c * chunk + k) * total + i]
                                for k in range(chunk):
                                    if not static:
                                        z = xs[k]
                                        if gained:
                                            z = g * z
                                        if shifted:
                                            z = z + o
                                    h = charge(v, z, scalars)
                                    if held_given:
                                        s = held[0][np.uint64(c * chunk + k) * total + i]
                                    else:
                                        s = spike(h, zero, one, scalars)
                                    v = reset(h, s, scalars)
                        dv = zero
                        for backwards in range(chunks):
                            c = chunks - 1 - backwards
                            if several and backwards > 0:
                                v = saved[0][np.uint64(c) * total + i]
                            for k in range(chunk):
                                # past the end the last step once more: no branch between loads
                                t = np.uint64(min(c * chunk + k, steps - 1))
                                if not static:
                                    xs[k] = x[t * total + i]
                                ds[k] = dout[t * total_out + i_out]
                                if pooled and index[0][t * total_out + i_out] != q:
                                    ds[k] = zero
                            for k in range(chunk):
                                if not static:
                                    z = xs[k]
                                    if gained:
                                        z = g * z
                                    if shifted:
                                        z = z + o
                                h = charge(v, z, scalars)
                                hs[k] = h
                                if held_given:
                                    t = np.uint64(min(c * chunk + k, steps - 1))
                                    s = held[0][t * total + i]
                                else:
                                    s = spike(h, zero, one, scalars)
                                v = reset(h, s, scalars)
                            run_z = zero
                            run_zx = zero
                            for later in range(chunk):
                                k = chunk - 1 - later
                                t = c * chunk + k
                                if t < steps:
                                    h = hs[k]
                                    if held_given:
                                        s = held[0][np.uint64(t) * total + i]
                                    else:
                                        s = spike(h, zero, one, scalars)
                                    dh = back(dv, ds[k], h, s, scalars)
                                    d = scalars[1] * dh
                                    dv = scalars[0] * dh
                                    if static:
                                        run_z += d
                                    else:
                                        dz[np.uint64(t) * total + i] = d
                                        if summed:
                                            run_z += d
                                            run_zx += d * xs[k]
                            if static:
                                whole += run_z
                            elif summed:
                                sum_z += run_z
                                sum_zx += run_zx
                        if static:
                            dz[i] = whole
                            if summed:
                                sum_z += whole
                                sum_zx += whole * x[i]
        if summed:
            shared = cuda.shared.array(TWICE, np.float64)
            lanes = cuda.blockDim.x
            place = cuda.threadIdx.y * lanes + cuda.threadIdx.x
            shared[place] = sum_z
            shared[THREADS + place] = sum_zx
            cuda.syncthreads()
            if cuda.threadIdx.y == 0 and column < columns:
                for y in range(1, cuda.blockDim.y):
                    sum_z += shared[y * lanes + cuda.threadIdx.x]
                    sum_zx += shared[THREADS + y * lanes + cuda.threadIdx.x]
                part = np.uint64(2 * cuda.blockIdx.y) * columns + column
                partial[0][part] = sum_z
                partial[0][part + columns] = sum_zx

    return kernel(launch_bounds=THREADS)(lif_grad)


def backward(
    x: Memory, gain: Memory | None, offset: Memory | None, kind: Kind, scalars: tuple[Any, ...],
    held: Memory | None, start: Memory | None, dout: Memory, index: Memory | None, dz: Memory,
    sum_dz: Memory | None, sum_dzx: Memory | None, sizes: tuple[int, int, int],
    images: tuple[int, ...],
) -> None:  # fmt: skip
    """dz and its sums. sizes: time steps, rows and columns of threads; images: height and width
    before and after pooling and the neurons of a window, or nothing."""
    steps, rows, columns = sizes
    chunk = chunk_of(steps)
    several = steps > chunk
    summed = sum_dz is not None and sum_dzx is not None
    plan = planned(columns, rows)
    # potentials before each chunk but the last
    saved = (
        memory.empty((ceil(steps, chunk) - 1) * (x.size // x.shape[0]), x.dtype)
        if several
        else None
    )
    partial = workspace(plan, 2, columns) if summed else None
    launch(
        _backward(
            kind, chunk, several, x.shape[0] == 1, gain is not None, offset is not None,
            start is not None, summed, index is not None,
        ),
        plan.grid, plan.block, x.flat, one_or_none(gain), one_or_none(offset), one_or_none(held),
        one_or_none(start), one_or_none(saved), dout.flat, one_or_none(index), dz.flat,
        one_or_none(partial), np.uint64(columns), rows, steps, images, scalars,
    )  # fmt: skip
    if partial is not None and sum_dz is not None and sum_dzx is not None:
        finish_sums(partial, plan.parts, columns, sum_dz, sum_dzx)
