"""Spikes as floats, and floats as two halves, for products on the tensor cores.

These round float32 to TF32, 10 bits of mantissa. Spikes are exact in it, and so is the upper half
of a weight; the lower half keeps 11 of the 13 bits that are left. Weights that are not finite are
left out of the halves and told by a flag; what they contribute is added where a spike meets them.
"""

from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory

_UPPER = np.uint32(0xFFFFE000)


@kernel()
def _floats(x: Any, count: Any, counted: Any, out: Any) -> None:
    seen = cuda.shared.array(1, np.uint64)
    first = cuda.threadIdx.x == 0
    if first:
        seen[0] = np.uint64(0)
    cuda.syncthreads()
    found = np.uint64(0)
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        out[i] = x[i]
        found += np.uint64(x[i])
    if counted:
        cuda.atomic.add(seen, 0, found)
        cuda.syncthreads()
        if first:
            cuda.atomic.add(count, 0, np.int64(seen[0]))
            if cuda.blockIdx.x == 0:
                cuda.atomic.add(count, 1, np.int64(out.shape[0]))


def floats(x: Memory, out: Memory, count: Memory | None) -> None:
    """out = x, spikes; count[0] += them, count[1] += x.size."""
    limits = device.machine().limits
    where = count.flat if count is not None else out.flat
    launch(_floats, *strided(out.size, limits), x.flat, where, count is not None, out.flat)


@kernel()
def _halves(x: Any, words: Any, keep: Any, upper: Any, upper_words: Any, lower: Any,
            odd: Any) -> None:  # fmt: skip
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        value = x[i]
        if value - value == 0:
            upper_words[i] = words[i] & _UPPER
            lower[i] = value - upper[i]
        else:
            upper_words[i] = words[i] if keep else np.uint32(0)
            lower[i] = 0
            odd[0] = 1


def halves(x: Memory, keep: bool, upper: Memory, lower: Memory, odd: Memory) -> None:
    """x float32 = upper + lower, nearly; odd[0] int32 = 1 if there is a value that is not finite,
    which is kept in the upper half or left out."""
    limits = device.machine().limits
    launch(
        _halves, *strided(x.size, limits), x.flat, x.words(np.uint32), keep, upper.flat,
        upper.words(np.uint32), lower.flat, odd.flat,
    )  # fmt: skip


@kernel()
def _left_out(x: Any, w: Any, odd: Any, scale: Any, out: Any) -> None:
    if odd[0] != 0:
        inputs, outputs = w.shape
        for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
            row, column = i // outputs, i % outputs
            for k in range(inputs):
                value = w[k, column]
                if value - value != 0 and x[row * inputs + k] != 0:
                    out[i] += scale * value


def left_out(x: Memory, w: Memory, odd: Memory, scale: float, out: Memory) -> None:
    """out[R, O] += scale * x[R, K] @ w[K, O] over the weights that are not finite, if there are
    any."""
    limits = device.machine().limits
    launch(
        _left_out, *strided(out.size, limits), x.flat, w.array, odd.flat, out.dtype.type(scale),
        out.flat,
    )  # fmt: skip


@kernel()
def _rows(row: Any, out: Any) -> None:
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        out[i] = row[i % row.shape[0]]


def rows(row: Memory, out: Memory) -> None:
    """out[R, O] = row[O]."""
    launch(_rows, *strided(out.size, device.machine().limits), row.flat, out.flat)


@kernel()
def _keep(mask: Any, out: Any) -> None:
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        if mask[i % mask.shape[0]] == 0:
            out[i] = 0


def keep(mask: Memory, out: Memory) -> None:
    """out = 0 where the mask is, which repeats."""
    launch(_keep, *strided(out.size, device.machine().limits), mask.flat, out.flat)
