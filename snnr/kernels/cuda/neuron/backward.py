"""Back through time, one neuron after the other of a thread; with or without the pooling after it.

A chunk of time steps is kept in registers: the loads of a chunk are on their way together, then the
potentials are computed once more, then the gradient goes back through them.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels.cuda import memory
from snnr.kernels.cuda.device import Kernel, cuda, function, kernel, launch
from snnr.kernels.cuda.geometry import ceil
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.neuron.step import Kind, charging, going_back, resetting, spiking
from snnr.kernels.cuda.parts.columns import THREADS, TWICE, finish_sums, planned, workspace

#: time steps that stay in registers
LONGEST = 16


def chunk_of(steps: int, longest: int = LONGEST) -> int:
    """Time steps of one chunk: all of them, or as many as leave no rest where there is such a
    number, so that nothing in a kernel has to ask for the end of the sequence."""
    if steps <= longest:
        return max(steps, 1)
    return next((n for n in range(longest, longest // 2, -1) if steps % n == 0), longest)


def one_or_none(value: Memory | None) -> tuple[Any, ...]:
    """An argument that may be absent, for a kernel that was made to know whether it is."""
    return () if value is None else (value.flat,)


class Variant(NamedTuple):
    """What is constant in a kernel. `chunk` steps are in registers at a time; `several` chunks make
    a sequence, with a `rest`; and which arguments are given."""

    kind: Kind
    chunk: int
    several: bool
    rest: bool
    static: bool
    gained: bool
    shifted: bool
    started: bool
    summed: bool
    pooled: bool


def _one_step(variant: Variant) -> Any:
    """A function for kernels: potential before the reset, what the reset follows, and potential
    after it, of the input `value` and, where spikes are held, `q`."""
    charge, spike, reset = charging(), spiking(variant.kind), resetting(variant.kind.soft)
    gained, shifted, held = variant.gained, variant.shifted, variant.kind.held

    def one_step(
        v: Any, value: Any, q: Any, g: Any, o: Any, zero: Any, one: Any, scalars: Any
    ) -> Any:
        z = value
        if gained:
            z = g * z
        if shifted:
            z = z + o
        h = charge(v, z, scalars)
        s = q if held else spike(h, zero, one, scalars)
        return h, s, reset(h, s, scalars)

    return function(one_step)


def _one_neuron(variant: Variant) -> Any:
    """A function for kernels: dz of the neuron whose steps are at i, i + total, .. of x and at
    i_out, i_out + total_out, .. of dout; returns the two sums with its own added. `registers` are
    arrays of one chunk."""
    step, spike, back = _one_step(variant), spiking(variant.kind), going_back(variant.kind)
    _, chunk, several, rest, static, _, _, _, summed, pooled = variant
    held_given = variant.kind.held

    def one_neuron(
        x: Any, held: Any, saved: Any, dout: Any, index: Any, dz: Any, i: Any, total: Any,
        i_out: Any, total_out: Any, q: Any, v: Any, g: Any, o: Any, steps: Any, zero: Any, one: Any,
        scalars: Any, registers: Any, sum_z: Any, sum_zx: Any,
    ) -> Any:  # fmt: skip
        xs, ds, hs, qs = registers
        whole = zero
        value = zero
        if static:
            value = x[i]
        chunks = (steps + chunk - 1) // chunk
        if several:
            at = i
            for c in range(chunks - 1):
                saved[0][np.uint64(c) * total + i] = v
                for k in range(chunk):
                    if not static:
                        xs[k] = x[at]
                    if held_given:
                        qs[k] = held[0][at]
                    at += total
                for k in range(chunk):
                    _, _, v = step(v, value if static else xs[k], qs[k], g, o, zero, one, scalars)
        dv = zero
        for done in range(chunks):
            c = chunks - 1 - done
            if several and done > 0:
                v = saved[0][np.uint64(c) * total + i]
            left = chunk
            if rest:
                left = min(chunk, steps - c * chunk)
            at = np.uint64(c * chunk) * total + i
            at_out = np.uint64(c * chunk) * total_out + i_out
            for k in range(chunk):
                if not static:
                    xs[k] = x[at]
                if held_given:
                    qs[k] = held[0][at]
                ds[k] = dout[at_out]
                if pooled and index[0][at_out] != q:
                    ds[k] = zero
                # at the end the last step once more: no branch between loads
                if k + 1 < left:
                    at += total
                    at_out += total_out
            for k in range(chunk):
                hs[k], _, v = step(v, value if static else xs[k], qs[k], g, o, zero, one, scalars)
            run_z = zero
            run_zx = zero
            for later in range(chunk):
                k = chunk - 1 - later
                if k < left:
                    s = qs[k] if held_given else spike(hs[k], zero, one, scalars)
                    dh = back(dv, ds[k], hs[k], s, scalars)
                    d = scalars[1] * dh
                    dv = scalars[0] * dh
                    if not static:
                        dz[at] = d
                        at -= total
                    if static or summed:
                        run_z += d
                    if summed and not static:
                        run_zx += d * xs[k]
            if static:
                whole += run_z
            if summed and not static:
                sum_z += run_z
                sum_zx += run_zx
        if static:
            dz[i] = whole
            if summed:
                sum_z += whole
                sum_zx += whole * value
        return sum_z, sum_zx

    return function(one_neuron)


@lru_cache
def _backward(variant: Variant) -> Kernel:
    neuron = _one_neuron(variant)
    _, chunk, _, _, static, gained, shifted, started, summed, pooled = variant

    def lif_grad(
        x: Any, gain: Any, offset: Any, held: Any, start: Any, saved: Any, dout: Any, index: Any,
        dz: Any, partial: Any, columns: Any, rows: Any, steps: Any, images: Any, scalars: Any,
    ) -> None:  # fmt: skip
        zero = x.dtype.type(0)
        one = x.dtype.type(1)
        registers = (
            cuda.local.array(chunk, x.dtype), cuda.local.array(chunk, x.dtype),
            cuda.local.array(chunk, x.dtype), cuda.local.array(chunk, x.dtype),
        )  # fmt: skip
        sum_z = np.float64(0)
        sum_zx = np.float64(0)
        lanes = cuda.blockDim.x
        column = np.uint64(cuda.blockIdx.x * lanes + cuda.threadIdx.x)
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
            down = cuda.gridDim.y * cuda.blockDim.y
            for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, down):
                for q in range(quarters):
                    i = np.uint64(row) * columns + column
                    i_out = i
                    there = True
                    if pooled:
                        ox = row % across
                        oy = row // across % windows
                        picture = row // (across * windows)
                        y, k = 2 * oy + q // 2, 2 * ox + q % 2
                        i = np.uint64((picture * height + y) * width + k) * columns + column
                        i_out = np.uint64((picture * tall + oy) * wide + ox) * columns + column
                        there = oy < tall and ox < wide
                        if not there and y < height and k < width:
                            # the last row or column, which no window covers
                            for t in range(1 if static else steps):
                                dz[np.uint64(t) * total + i] = zero
                    if there:
                        v = scalars[4]
                        if started:
                            v = start[0][i]
                        sum_z, sum_zx = neuron(
                            x, held, saved, dout, index, dz, i, total, i_out, total_out, q, v, g, o,
                            steps, zero, one, scalars, registers, sum_z, sum_zx,
                        )  # fmt: skip
        if summed:
            shared = cuda.shared.array(TWICE, np.float64)
            place = cuda.threadIdx.y * lanes + cuda.threadIdx.x
            shared[place] = sum_z
            shared[THREADS + place] = sum_zx
            cuda.syncthreads()
            if cuda.threadIdx.y == 0 and column < columns:
                for y in range(1, cuda.blockDim.y):
                    sum_z += shared[y * lanes + cuda.threadIdx.x]
                    sum_zx += shared[THREADS + y * lanes + cuda.threadIdx.x]
                own = np.uint64(2 * cuda.blockIdx.y) * columns + column
                partial[0][own] = sum_z
                partial[0][own + columns] = sum_zx

    # one block of a processor may take what registers it needs: spilling costs more than it hides
    return kernel(launch_bounds=(THREADS, 1))(lif_grad)


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
    variant = Variant(
        kind, chunk, several, steps % chunk > 0, x.shape[0] == 1, gain is not None,
        offset is not None, start is not None, summed, index is not None,
    )  # fmt: skip
    launch(
        _backward(variant),
        plan.grid, plan.block, x.flat, one_or_none(gain), one_or_none(offset), one_or_none(held),
        one_or_none(start), one_or_none(saved), dout.flat, one_or_none(index), dz.flat,
        one_or_none(partial), np.uint64(columns), rows, steps, images, scalars,
    )  # fmt: skip
    if partial is not None and sum_dz is not None and sum_dzx is not None:
        finish_sums(partial, plan.parts, columns, sum_dz, sum_dzx)
