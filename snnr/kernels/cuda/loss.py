"""Losses and their gradients: a thread for each row of scores, which are few."""

import math
from typing import Any

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts import reduce
from snnr.kernels.cuda.parts.reduce import THREADS, fold
from snnr.kernels.cuda.parts.walk import places

#: promotes nothing
_ONE = np.int8(1)


def _elements(count: int) -> tuple[int, int]:
    return strided(count, device.machine().limits)


@kernel()
def _mse(x: Any, target: Any, divisor: Any, difference: Any, out: Any) -> None:
    """out[block] = sum of the squares of its share, divided."""
    scratch = cuda.shared.array((1, THREADS), np.float64)
    mine = np.float64(0)
    i, step, end = places(x.shape[0])
    while i < end:
        apart = x[i] - target[i]
        difference[i] = apart
        mine += np.float64(apart) * np.float64(apart)
        i += step
    scratch[0, cuda.threadIdx.x] = mine
    fold(scratch)
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = scratch[0, 0] / divisor


def _mean(of: Kernel, count: int, a: Any, b: Any, per_row: Any, out: Memory) -> None:
    """out[()] = mean over `count` places of what a kernel sums up, block by block."""
    limits = device.machine().limits
    blocks = reduce.blocks(count, limits)
    if blocks == 1:
        launch(of, 1, limits.threads, a, b, np.float64(count), per_row, out.flat)
        return
    parts = reduce.partial(blocks)
    launch(of, blocks, limits.threads, a, b, np.float64(1), per_row, parts.array)
    reduce.finish(parts, count, out)


def mse(x: Memory, target: Memory, difference: Memory, out: Memory) -> None:
    """difference = x - target; out[()] = mean of its squares."""
    _mean(_mse, x.size, x.flat, target.flat, difference.flat, out)


@kernel()
def _mse_grad(difference: Any, grad: Any, factor: Any, dx: Any) -> None:
    i, step, end = places(dx.shape[0])
    while i < end:
        dx[i] = grad[0] * factor * difference[i]
        i += step


def mse_grad(difference: Memory, grad: Memory, dx: Memory) -> None:
    """dx = grad[()] * 2/size * difference."""
    factor = dx.dtype.type(2.0 / difference.size)
    launch(_mse_grad, *_elements(dx.size), difference.flat, grad.flat, factor, dx.flat)


@kernel()
def _cross_entropy(x: Any, labels: Any, divisor: Any, probability: Any, out: Any) -> None:
    """out[block] = sum of -log probability over its rows, divided."""
    scratch = cuda.shared.array((1, THREADS), np.float64)
    rows, classes = x.shape
    mine = np.float64(0)
    for r in range(cuda.grid(1), rows, cuda.gridsize(1)):
        top = x[r, 0]
        for c in range(1, classes):
            top = max(top, x[r, c])
        total = math.exp(x[r, 0] - top)
        probability[r, 0] = total
        for c in range(1, classes):
            exponent = math.exp(x[r, c] - top)
            probability[r, c] = exponent
            total += exponent
        for c in range(classes):
            probability[r, c] /= total
        mine += math.log(total) - (x[r, labels[r]] - top)
    scratch[0, cuda.threadIdx.x] = mine
    fold(scratch)
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = scratch[0, 0] / divisor


def cross_entropy(x: Memory, labels: Memory, probability: Memory, out: Memory) -> None:
    """probability[N, C] = softmax of x[N, C]; out[()] = mean of -log probability of the labels."""
    _mean(_cross_entropy, x.shape[0], x.array, labels.array, probability.array, out)


@kernel()
def _cross_entropy_grad(probability: Any, labels: Any, grad: Any, count: Any, dx: Any) -> None:
    classes = probability.shape[1]
    for i in range(cuda.grid(1), probability.size, cuda.gridsize(1)):
        r = i // classes
        c = i - r * classes
        apart = probability[r, c]
        if c == labels[r]:
            apart -= _ONE
        dx[r, c] = apart * (grad[0] / count)


def cross_entropy_grad(probability: Memory, labels: Memory, grad: Memory, dx: Memory) -> None:
    """dx = grad[()]/N * (probability - one-hot)."""
    launch(
        _cross_entropy_grad, *_elements(dx.size), probability.array, labels.array, grad.flat,
        dx.dtype.type(dx.shape[0]), dx.array,
    )  # fmt: skip


@kernel()
def _one_hot(labels: Any, out: Any) -> None:
    classes = out.shape[1]
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        r = i // classes
        c = i - r * classes
        out[r, c] = c == labels[r]


def one_hot(labels: Memory, out: Memory) -> None:
    """out[N, C] = 1 at each of labels[N], else 0."""
    launch(_one_hot, *_elements(out.size), labels.array, out.array)
