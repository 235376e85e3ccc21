"""Input gradient where a dropout mask throws much of it away: only what is needed is computed.

Which inputs are needed differs from image to image, but not from time step to time step: a tile
is four time steps of one image times a few rows of the weights that it needs, found by name.
"""

from typing import Any

import numba
import numpy as np
from numba import prange, types
from numpy.typing import NDArray

from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts.vector import (
    INDEX,
    REGISTER,
    WORD,
    Vectors,
    intrinsic,
    one_type,
    pointer_to,
)
from snnr.kernels.jit import jit

#: time steps and weight rows of a tile: 12 or 24 sums, in 16 or 32 registers
STEPS = 4
ROWS = 6 if REGISTER == 64 else 3
#: inputs of a task, and outputs summed up at a time: both operands stay in the second-level cache
BLOCK, DEPTH = 32, 2048

Float = NDArray[np.floating[Any]]


@intrinsic
def dots(typing_context, dy, d0, d_stride, w, w0, w_stride, names, e0, depth, acc):  # type: ignore[no-untyped-def]
    """acc[t*ROWS + r] = sum of dy[d0 + t*d_stride + o] * w[w0 + names[e0 + r]*w_stride + o] over
    o < depth, a whole number of registers."""
    one_type(dy, w, acc)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        (dy, d0, d_stride, w, w0, w_stride, names, e0, depth, acc) = args
        v = Vectors(context, builder, sig.args[0])
        pd = v.pointer(sig.args[0], dy, d0)
        pw = v.pointer(sig.args[3], w, w0)
        pn = pointer_to(context, builder, sig.args[6], names, e0)
        pacc = v.pointer(sig.args[9], acc, WORD(0))
        steps = [v.at(pd, builder.mul(d_stride, WORD(t))) for t in range(STEPS)]
        rows = []
        for r in range(ROWS):
            name = builder.zext(builder.load(builder.gep(pn, [WORD(r)])), WORD)
            rows.append(v.at(pw, builder.mul(name, w_stride)))
        entry = builder.block
        loop = builder.append_basic_block("o")
        done = builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        o = builder.phi(WORD)
        o.add_incoming(WORD(0), entry)
        sums = []
        for _ in range(STEPS * ROWS):
            phi = builder.phi(v.vector)
            phi.add_incoming(v.zero, entry)
            sums.append(phi)
        weights = [v.load(v.at(row, o)) for row in rows]
        new: list[Any] = []
        for step in steps:
            gradient = v.load(v.at(step, o))
            for weight in weights:
                new.append(v.multiply_add(gradient, weight, sums[len(new)]))
        following = builder.add(o, WORD(v.lanes))
        o.add_incoming(following, loop)
        for phi, value in zip(sums, new, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
        builder.position_at_end(done)
        for i, value in enumerate(new):
            builder.store(v.total(value), v.at(pacc, i))
        return context.get_dummy_value()

    i = INDEX
    return types.void(dy, i, i, w, i, i, names, i, i, acc), codegen


@jit()
def _name(needed: Any, k0: int, k1: int, names: Any) -> int:
    """Names of the needed inputs; the last one again up to a whole number of tiles."""
    n = 0
    for k in range(k0, k1):
        if needed[k]:
            names[n] = k
            n += 1
    for e in range(n, n + ROWS):
        names[e] = names[max(n - 1, 0)]
    return n


@jit()
def _add(acc: Any, factor: Any, names: Any, e: int, count: int, at: int, pitch: int,
         dx: Any) -> None:  # fmt: skip
    for t in range(STEPS):
        for r in range(min(ROWS, count - e)):
            dx[at + t * pitch + np.intp(names[e + r])] += factor * acc[t * ROWS + r]


@jit(parallel=True)
def _needed_grad(dy: Any, w: Any, needed: Any, steps: int, outputs: int, factor: Any, lists: Any,
                 sums: Any, dx: Any) -> None:  # fmt: skip
    images, inputs = needed.shape
    for task in prange((inputs + BLOCK - 1) // BLOCK):
        thread = numba.get_thread_id()
        names = lists[thread]
        acc = sums[thread]
        k0 = task * BLOCK
        k1 = min(k0 + BLOCK, inputs)
        for m in range(steps * images):
            dx[m * inputs + k0 : m * inputs + k1] = 0
        for o0 in range(0, outputs, DEPTH):
            depth = min(DEPTH, outputs - o0)
            for n in range(images):
                count = _name(needed[n], k0, k1, names)
                for t in range(0, steps, STEPS):
                    row = t * images + n
                    for e in range(0, count, ROWS):
                        dots(
                            dy, row * outputs + o0, images * outputs, w, o0, outputs, names, e,
                            depth, acc,
                        )  # fmt: skip
                        _add(acc, factor, names, e, count, row * inputs, images * inputs, dx)


def fits(rows: int, w: Float, needed: NDArray[np.uint8]) -> bool:
    """Whether `input_grad` takes these shapes: whole tiles of time steps, registers of outputs."""
    whole = rows % (STEPS * max(needed.shape[0], 1)) == 0
    return whole and w.shape[1] > 0 and w.shape[1] % (REGISTER // w.itemsize) == 0


def input_grad(
    dy: Float, w: Float, needed: NDArray[np.uint8], factor: float, dx: Float
) -> None:
    """dx[M, K] = factor * dy[M, O] @ w[K, O].T where needed[m % N, k], else 0."""
    threads = numba.get_num_threads()
    _needed_grad(
        dy.reshape(-1), w.reshape(-1), needed, dy.shape[0] // max(needed.shape[0], 1), w.shape[1],
        dx.dtype.type(factor), empty((threads, BLOCK + ROWS), np.uint32),
        empty((threads, STEPS * ROWS), dx.dtype), dx.reshape(-1),
    )  # fmt: skip
