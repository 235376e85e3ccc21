"""Element by element, and sums and means."""

from math import prod
from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory, copy
from snnr.kernels.cuda.parts import reduce
from snnr.kernels.cuda.parts.walk import places


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _accumulate(part: Any, total: Any) -> None:
    i, step, end = places(total.shape[0])
    while i < end:
        total[i] += part[i]
        i += step


def accumulate(part: Memory, total: Memory) -> None:
    """total += part."""
    launch(_accumulate, *_elements(total.size), part.flat, total.flat)


# Spikes are bytes; their sum with a byte is an integer, with a float a float of the same type.


@kernel()
def _add(a: Any, b: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = a[i] + b[i]
        i += step


@kernel()
def _multiply(a: Any, b: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = a[i] * b[i]
        i += step


@kernel()
def _scale(x: Any, factor: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = factor * x[i]
        i += step


@kernel()
def _spread(value: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = value[0]
        i += step


def add(a: Memory, b: Memory, out: Memory) -> None:
    """out = a + b; spikes become floats."""
    launch(_add, *_elements(out.size), a.flat, b.flat, out.flat)


def multiply(a: Memory, b: Memory, out: Memory) -> None:
    """out = a * b."""
    launch(_multiply, *_elements(out.size), a.flat, b.flat, out.flat)


def scale(x: Memory, factor: float, out: Memory) -> None:
    """out = factor * x."""
    launch(_scale, *_elements(out.size), x.flat, out.dtype.type(factor), out.flat)


@kernel()
def _subtract(a: Any, b: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = a[i] - b[i]
        i += step


@kernel()
def _divide(a: Any, b: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = a[i] / b[i]
        i += step


@kernel()
def _power(x: Any, exponent: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        out[i] = x[i] ** exponent
        i += step


def subtract(a: Memory, b: Memory, out: Memory) -> None:
    """out = a - b."""
    launch(_subtract, *_elements(out.size), a.flat, b.flat, out.flat)


def divide(a: Memory, b: Memory, out: Memory) -> None:
    """out = a / b."""
    launch(_divide, *_elements(out.size), a.flat, b.flat, out.flat)


def power(x: Memory, exponent: float, out: Memory) -> None:
    """out = x ** exponent; a square is a product."""
    if exponent == 2:
        multiply(x, x, out)
        return
    launch(_power, *_elements(out.size), x.flat, out.dtype.type(exponent), out.flat)


@kernel()
def _sum_axes(x: Any, kept: Any, kept_steps: Any, summed: Any, steps: Any, out: Any) -> None:
    """out[i] = sum over the axes `summed`, where i lies in the axes `kept`, the last one first; the
    steps say how far apart neighbours lie in x."""
    count = 1
    for k in range(len(summed)):
        count *= summed[k]
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        rest = i
        start = 0
        for k in range(len(kept)):
            further = rest // kept[k]
            start += (rest - further * kept[k]) * kept_steps[k]
            rest = further
        value = np.float64(0)
        for j in range(count):
            rest = j
            place = start
            for k in range(len(summed)):
                further = rest // summed[k]
                place += (rest - further * summed[k]) * steps[k]
                rest = further
            value += x[place]
        out[i] = value


def sum_axes(x: Memory, out: Memory) -> None:
    """out = sum of x over the axes that have length 1 in out, in float64."""
    if out.size == 1:
        reduce.total(x, out)
        return
    if out.shape == x.shape:
        copy(x, out)
        return
    # an axis of one element is neither kept nor summed
    axes = [axis for axis in reversed(range(x.ndim)) if x.shape[axis] != 1]
    kept = [axis for axis in axes if out.shape[axis] != 1]
    summed = [axis for axis in axes if out.shape[axis] == 1]
    launch(
        _sum_axes, *_elements(out.size), x.flat,
        tuple(x.shape[axis] for axis in kept), tuple(prod(x.shape[axis + 1 :]) for axis in kept),
        tuple(x.shape[axis] for axis in summed),
        tuple(prod(x.shape[axis + 1 :]) for axis in summed), out.flat,
    )  # fmt: skip


def total(x: Memory, out: Memory) -> None:
    """out[()] = sum of all elements."""
    reduce.total(x, out)


def spread(value: Memory, out: Memory) -> None:
    """out = value[()] everywhere."""
    launch(_spread, *_elements(out.size), value.flat, out.flat)


@kernel()
def _mean_time(x: Any, steps: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        total = out.dtype.type(0)
        for t in range(x.shape[0]):
            total += x[t, i]
        out[i] = total / steps
        i += step


def mean_time(x: Memory, out: Memory) -> None:
    """out[M] = mean of x[T, M] over T, added up step by step."""
    steps = x.shape[0]
    launch(
        _mean_time, *_elements(out.size), x.as_array((steps, out.size)), out.dtype.type(steps),
        out.flat,
    )  # fmt: skip


@kernel()
def _mean_time_grad(dy: Any, steps: Any, dx: Any) -> None:
    i, step, end = places(dy.shape[0])
    while i < end:
        share = dy[i] / steps
        for t in range(dx.shape[0]):
            dx[t, i] = share
        i += step


def mean_time_grad(dy: Memory, dx: Memory) -> None:
    """dx[T, M] = dy[M] / T."""
    steps = dx.shape[0]
    launch(
        _mean_time_grad, *_elements(dy.size), dy.flat, dy.dtype.type(steps),
        dx.as_array((steps, dy.size)),
    )  # fmt: skip


@kernel()
def _voting(x: Any, group: Any, out: Any) -> None:
    i, step, end = places(out.shape[0])
    while i < end:
        total = out.dtype.type(0)
        for k in range(x.shape[1]):
            total += x[i, k]
        out[i] = total / group
        i += step


def voting(x: Memory, group: int, out: Memory) -> None:
    """out[R, C] = mean of each `group` neighbours of x[R, C*group]."""
    launch(
        _voting, *_elements(out.size), x.as_array((out.size, group)), out.dtype.type(group),
        out.flat,
    )  # fmt: skip


@kernel()
def _voting_grad(dy: Any, group: Any, dx: Any) -> None:
    i, step, end = places(dy.shape[0])
    while i < end:
        share = dy[i] / group
        for k in range(dx.shape[1]):
            dx[i, k] = share
        i += step


def voting_grad(dy: Memory, group: int, dx: Memory) -> None:
    """dx[R, C*group] = dy[R, C] / group, repeated."""
    launch(
        _voting_grad, *_elements(dy.size), dy.flat, dy.dtype.type(group),
        dx.as_array((dy.size, group)),
    )  # fmt: skip
