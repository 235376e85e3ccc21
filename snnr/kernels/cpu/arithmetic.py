"""Element by element, and sums and means, on the CPU.

What is large runs in blocks on all cores; what is as small as a rate is left to NumPy.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.parts import rows
from snnr.kernels.jit import jit

#: elements per task: enough to pay for its start, few enough to share out
BLOCK = 16384

Array = NDArray[Any]


@jit()
def _add_block(a: Any, b: Any, out: Any) -> None:
    kind = out.dtype.type
    for i in range(out.shape[0]):
        out[i] = kind(a[i]) + kind(b[i])


@jit()
def _multiply_block(a: Any, b: Any, out: Any) -> None:
    kind = out.dtype.type
    for i in range(out.shape[0]):
        out[i] = kind(a[i]) * kind(b[i])


@jit()
def _scale_block(x: Any, factor: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        out[i] = factor * x[i]


@jit()
def _divide_block(row: Any, divisor: Any) -> None:
    for i in range(row.shape[0]):
        row[i] = row[i] / divisor


@jit(parallel=True)
def _accumulate(part: Any, total: Any) -> None:
    size = total.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i, j = block * BLOCK, min(block * BLOCK + BLOCK, size)
        rows.add(part[i:j], total[i:j])


@jit(parallel=True)
def _add(a: Any, b: Any, out: Any) -> None:
    size = out.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i, j = block * BLOCK, min(block * BLOCK + BLOCK, size)
        _add_block(a[i:j], b[i:j], out[i:j])


@jit(parallel=True)
def _multiply(a: Any, b: Any, out: Any) -> None:
    size = out.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i, j = block * BLOCK, min(block * BLOCK + BLOCK, size)
        _multiply_block(a[i:j], b[i:j], out[i:j])


@jit(parallel=True)
def _scale(x: Any, factor: Any, out: Any) -> None:
    size = out.shape[0]
    for block in prange((size + BLOCK - 1) // BLOCK):
        i, j = block * BLOCK, min(block * BLOCK + BLOCK, size)
        _scale_block(x[i:j], factor, out[i:j])


@jit(parallel=True)
def _mean_time(x: Any, out: Any) -> None:
    steps, size = x.shape
    divisor = out.dtype.type(steps)
    for block in prange((size + BLOCK - 1) // BLOCK):
        i, j = block * BLOCK, min(block * BLOCK + BLOCK, size)
        total = out[i:j]
        rows.copy(x[0, i:j], total)
        for t in range(1, steps):
            rows.add(x[t, i:j], total)
        _divide_block(total, divisor)


def accumulate(part: Array, total: Array) -> None:
    """total += part."""
    _accumulate(part.reshape(-1), total.reshape(-1))


def add(a: Array, b: Array, out: Array) -> None:
    """out = a + b in the dtype of out."""
    _add(a.reshape(-1), b.reshape(-1), out.reshape(-1))


def multiply(a: Array, b: Array, out: Array) -> None:
    """out = a * b in the dtype of out."""
    _multiply(a.reshape(-1), b.reshape(-1), out.reshape(-1))


def scale(x: Array, factor: float, out: Array) -> None:
    """out = factor * x."""
    _scale(x.reshape(-1), out.dtype.type(factor), out.reshape(-1))


def subtract(a: Array, b: Array, out: Array) -> None:
    """out = a - b."""
    np.subtract(a, b, out=out)


def divide(a: Array, b: Array, out: Array) -> None:
    """out = a / b."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(a, b, out=out)


def power(x: Array, exponent: float, out: Array) -> None:
    """out = x ** exponent; a square is a product."""
    if exponent == 2:
        np.multiply(x, x, out=out)
        return
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.power(x, out.dtype.type(exponent), out=out)


def sum_axes(x: Array, out: Array) -> None:
    """out = sum of x over the axes that have length 1 in out."""
    axes = tuple(axis for axis in range(x.ndim) if out.shape[axis] == 1)
    np.sum(x, axis=axes, dtype=out.dtype, out=out, keepdims=True)


def total(x: Array, out: Array) -> None:
    """out[()] = sum of all elements; spikes are counted exactly."""
    out[...] = np.sum(x, dtype=np.int64 if x.dtype == np.uint8 else x.dtype)


def spread(value: Array, out: Array) -> None:
    """out = value[()] everywhere."""
    out.fill(value[()])


def mean_time(x: Array, out: Array) -> None:
    """out[M] = mean of x[T, M] over T, added up step by step."""
    _mean_time(x.reshape(x.shape[0], -1), out.reshape(-1))


def mean_time_grad(dy: Array, dx: Array) -> None:
    """dx[T, M] = dy[M] / T."""
    dx[...] = dy / dy.dtype.type(dx.shape[0])


def voting(x: Array, group: int, out: Array) -> None:
    """out[R, C] = mean of each `group` neighbours of x[R, C*group]."""
    np.sum(x.reshape(*out.shape, group), axis=-1, dtype=out.dtype, out=out)
    out /= out.dtype.type(group)


def voting_grad(dy: Array, group: int, dx: Array) -> None:
    """dx[R, C*group] = dy[R, C] / group, repeated."""
    dx.reshape(*dy.shape, group)[...] = (dy / dy.dtype.type(group))[..., None]
