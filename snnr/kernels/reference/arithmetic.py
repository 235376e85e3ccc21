"""Element by element, and sums and means, in NumPy. Sums are made in float64 and rounded once."""

import numpy as np

from snnr.kernels.reference.types import Array


def accumulate(part: Array, total: Array) -> None:
    """total += part."""
    total += part


def add(a: Array, b: Array, out: Array) -> None:
    """out = a + b in the dtype of out, so that two spikes make 2.0."""
    out[...] = a.astype(out.dtype) + b.astype(out.dtype)


def multiply(a: Array, b: Array, out: Array) -> None:
    """out = a * b in the dtype of out."""
    out[...] = a.astype(out.dtype) * b.astype(out.dtype)


def scale(x: Array, factor: float, out: Array) -> None:
    """out = factor * x."""
    out[...] = out.dtype.type(factor) * x


def subtract(a: Array, b: Array, out: Array) -> None:
    """out = a - b."""
    out[...] = a.astype("f8") - b.astype("f8")


def divide(a: Array, b: Array, out: Array) -> None:
    """out = a / b."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        out[...] = a.astype("f8") / b.astype("f8")


def power(x: Array, exponent: float, out: Array) -> None:
    """out = x ** exponent."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        out[...] = x.astype("f8") ** exponent


def sum_axes(x: Array, out: Array) -> None:
    """out = sum of x over the axes that have length 1 in out."""
    axes = tuple(axis for axis in range(x.ndim) if out.shape[axis] == 1)
    out[...] = x.sum(axis=axes, dtype="f8", keepdims=True)


def total(x: Array, out: Array) -> None:
    """out[()] = sum of all elements."""
    out[...] = x.sum(dtype="f8")


def spread(value: Array, out: Array) -> None:
    """out = value[()] everywhere."""
    out[...] = value


def mean_time(x: Array, out: Array) -> None:
    """out[M] = mean of x[T,M] over T."""
    out[...] = x.mean(axis=0, dtype="f8")


def mean_time_grad(dy: Array, dx: Array) -> None:
    """dx[T,M] = dy[M] / T."""
    dx[...] = dy / dy.dtype.type(len(dx))


def voting(x: Array, group: int, out: Array) -> None:
    """out[R,C] = mean of each `group` neighbours of x[R,C*group]."""
    out[...] = x.reshape(*out.shape, group).mean(axis=-1, dtype="f8")


def voting_grad(dy: Array, group: int, dx: Array) -> None:
    """dx[R,C*group] = dy[R,C] / group, repeated."""
    dx[...] = (dy / dy.dtype.type(group)).repeat(group, axis=-1)
