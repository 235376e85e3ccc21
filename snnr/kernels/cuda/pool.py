"""Pooling (channels-last, no padding, floor mode).

A thread stays in its channel and walks over pixels. Gradients are gathered by the pixel that they
belong to, window by window in one order, so that windows may overlap.
"""

from typing import Any

import numpy as np

from snnr.kernels.cuda.device import cuda, kernel, launch
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.columns import THREADS, planned


@kernel(launch_bounds=THREADS)
def _max_pool(
    x: Any, sizes: Any, size: Any, stride: Any, rows: Any, columns: Any, out: Any, index: Any
) -> None:
    column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    if column >= columns:
        return
    height, width, tall, wide = sizes
    step = cuda.gridDim.y * cuda.blockDim.y
    for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, step):
        top = row // wide % tall * stride + row // (wide * tall) * height
        corner = top * width + row % wide * stride
        best = x[np.uint64(corner) * columns + column]
        found = 0
        for i in range(size):
            for j in range(size):
                value = x[np.uint64(corner + i * width + j) * columns + column]
                # NaN, which compares with nothing, is the largest value, as everywhere
                if not value <= best and best == best:
                    best = value
                    found = i * size + j
        out[np.uint64(row) * columns + column] = best
        index[np.uint64(row) * columns + column] = np.uint8(found)


def _sizes(x: Memory, pooled: Memory) -> tuple[int, int, int, int]:
    """Height and width before and after."""
    return x.shape[1], x.shape[2], pooled.shape[1], pooled.shape[2]


def _pixels(x: Memory) -> tuple[int, int]:
    return x.shape[0] * x.shape[1] * x.shape[2], x.shape[3]


def max_pool(x: Memory, size: int, stride: int, out: Memory, index: Memory) -> None:
    """out[N, Ho, Wo, C] and the row-major position of the first maximum in its window."""
    rows, columns = _pixels(out)
    plan = planned(columns, rows)
    launch(
        _max_pool, plan.grid, plan.block, x.flat, _sizes(x, out), size, stride, rows,
        np.uint64(columns), out.flat, index.flat,
    )  # fmt: skip


@kernel(launch_bounds=THREADS)
def _max_pool_grad(
    dy: Any, index: Any, sizes: Any, size: Any, stride: Any, rows: Any, columns: Any, dx: Any
) -> None:
    column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    if column >= columns:
        return
    height, width, tall, wide = sizes
    step = cuda.gridDim.y * cuda.blockDim.y
    for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, step):
        k = row % width
        y = row // width % height
        picture = row // (width * height)
        total = dx.dtype.type(0)
        for i in range(max(0, (y - size + stride) // stride), min(y // stride + 1, tall)):
            for j in range(max(0, (k - size + stride) // stride), min(k // stride + 1, wide)):
                at = np.uint64((picture * tall + i) * wide + j) * columns + column
                if index[at] == (y - i * stride) * size + k - j * stride:
                    total += dy[at]
        dx[np.uint64(row) * columns + column] = total


def max_pool_grad(dy: Memory, index: Memory, size: int, stride: int, dx: Memory) -> None:
    """dx[N, H, W, C]: the gradient goes to the maximum of each window."""
    rows, columns = _pixels(dx)
    plan = planned(columns, rows)
    launch(
        _max_pool_grad, plan.grid, plan.block, dy.flat, index.flat, _sizes(dx, dy), size, stride,
        rows, np.uint64(columns), dx.flat,
    )  # fmt: skip


@kernel(launch_bounds=THREADS)
def _avg_pool(
    x: Any, sizes: Any, size: Any, stride: Any, share: Any, rows: Any, columns: Any, out: Any
) -> None:
    column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    if column >= columns:
        return
    height, width, tall, wide = sizes
    step = cuda.gridDim.y * cuda.blockDim.y
    for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, step):
        top = row // wide % tall * stride + row // (wide * tall) * height
        corner = top * width + row % wide * stride
        total = out.dtype.type(0)
        for i in range(size):
            for j in range(size):
                value = x[np.uint64(corner + i * width + j) * columns + column]
                total += out.dtype.type(value)
        out[np.uint64(row) * columns + column] = share * total


def avg_pool(x: Memory, size: int, stride: int, out: Memory) -> None:
    """out[N, Ho, Wo, C] = mean of each window."""
    rows, columns = _pixels(out)
    plan = planned(columns, rows)
    launch(
        _avg_pool, plan.grid, plan.block, x.flat, _sizes(x, out), size, stride,
        out.dtype.type(1 / (size * size)), rows, np.uint64(columns), out.flat,
    )  # fmt: skip


@kernel(launch_bounds=THREADS)
def _avg_pool_grad(
    dy: Any, sizes: Any, size: Any, stride: Any, share: Any, rows: Any, columns: Any, dx: Any
) -> None:
    column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    if column >= columns:
        return
    height, width, tall, wide = sizes
    step = cuda.gridDim.y * cuda.blockDim.y
    for row in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, step):
        k = row % width
        y = row // width % height
        picture = row // (width * height)
        total = dx.dtype.type(0)
        for i in range(max(0, (y - size + stride) // stride), min(y // stride + 1, tall)):
            for j in range(max(0, (k - size + stride) // stride), min(k // stride + 1, wide)):
                total += dy[np.uint64((picture * tall + i) * wide + j) * columns + column]
        dx[np.uint64(row) * columns + column] = share * total


def avg_pool_grad(dy: Memory, size: int, stride: int, dx: Memory) -> None:
    """dx[N, H, W, C]: each window shares its gradient out evenly."""
    rows, columns = _pixels(dx)
    plan = planned(columns, rows)
    launch(
        _avg_pool_grad, plan.grid, plan.block, dy.flat, _sizes(dx, dy), size, stride,
        dx.dtype.type(1 / (size * size)), rows, np.uint64(columns), dx.flat,
    )  # fmt: skip
