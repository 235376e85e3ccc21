"""BatchNorm over rows (time, batch, space); channels are the last axis.

A thread stays in its channel and walks down the rows, some of them at a time (see `parts.columns`).
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from snnr.kernels.cuda import device, memory
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory
from snnr.kernels.cuda.parts.columns import (
    THREADS,
    TWICE,
    finish_sums,
    finishing,
    planned,
    workspace,
)

#: rows that a thread reads before it uses the first; float32 sums of so few keep their digits
RUN = 8
THRICE = 3 * THREADS


# Means and variances. A thread takes its rows in runs: the mean of a run, then the sums of the
# distances to it and of their squares, which join its float64 sums of distances to the mean of its
# first run. Threads, then blocks, are joined around their common mean (Chan, Golub & LeVeque,
# 1979). Neither a large mean nor a distant row costs digits, and x is read once.


@kernel(launch_bounds=THREADS)
def _moments(x: Any, rows: Any, columns: Any, partial: Any) -> None:
    shared = cuda.shared.array(THRICE, np.float64)
    values = cuda.local.array(RUN, x.dtype)
    zero = x.dtype.type(0)
    lane, lanes, down = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockDim.y
    column = np.uint64(cuda.blockIdx.x * lanes + lane)
    step = cuda.gridDim.y * down
    count = np.float64(0)
    shift = np.float64(0)
    distance = np.float64(0)
    square = np.float64(0)
    if column < columns:
        for first in range(cuda.blockIdx.y * down + cuda.threadIdx.y, rows, RUN * step):
            total = zero
            number = zero
            for k in range(RUN):
                # past the end the last row once more: no branch between loads
                values[k] = x[np.uint64(min(first + k * step, rows - 1)) * columns + column]
            for k in range(RUN):
                if first + k * step < rows:
                    total += values[k]
                    number += x.dtype.type(1)
            center = total / number
            near = zero
            squares = zero
            for k in range(RUN):
                if first + k * step < rows:
                    d = values[k] - center
                    near += d
                    squares += d * d
            n = np.float64(number)
            if count == 0:
                shift = np.float64(center)
            delta = np.float64(center) - shift
            distance += np.float64(near) + n * delta
            square += np.float64(squares) + delta * (np.float64(near + near) + n * delta)
            count += n
    mean = np.float64(0)
    spread = np.float64(0)
    if count > 0:
        mean = shift + distance / count
        spread = square - distance * (distance / count)
    place = cuda.threadIdx.y * lanes + lane
    shared[place] = count
    shared[THREADS + place] = mean
    shared[TWICE + place] = spread
    cuda.syncthreads()
    if cuda.threadIdx.y == 0 and column < columns:
        count = np.float64(0)
        mean = np.float64(0)
        for y in range(down):
            count += shared[y * lanes + lane]
            mean += shared[y * lanes + lane] * shared[THREADS + y * lanes + lane]
        if count > 0:
            mean /= count
        spread = np.float64(0)
        for y in range(down):
            d = shared[THREADS + y * lanes + lane] - mean
            spread += shared[TWICE + y * lanes + lane] + shared[y * lanes + lane] * d * d
        part = np.uint64(3 * cuda.blockIdx.y) * columns + column
        partial[part] = count
        partial[part + columns] = mean
        partial[part + columns + columns] = spread


@kernel(launch_bounds=THREADS)
def _join_moments(partial: Any, parts: Any, columns: Any, mean: Any, var: Any) -> None:
    shared = cuda.shared.array(TWICE, np.float64)
    lane, lanes, down = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockDim.y
    column = np.uint64(cuda.blockIdx.x * lanes + lane)
    place = cuda.threadIdx.y * lanes + lane
    count = np.float64(0)
    total = np.float64(0)
    if column < columns:
        for part in range(cuda.threadIdx.y, parts, down):
            at = np.uint64(3 * part) * columns + column
            count += partial[at]
            total += partial[at] * partial[at + columns]
    shared[place] = count
    shared[THREADS + place] = total
    cuda.syncthreads()
    count = np.float64(0)
    total = np.float64(0)
    for y in range(down):
        count += shared[y * lanes + lane]
        total += shared[THREADS + y * lanes + lane]
    center = total / count if count > 0 else total
    spread = np.float64(0)
    if column < columns:
        for part in range(cuda.threadIdx.y, parts, down):
            at = np.uint64(3 * part) * columns + column
            d = partial[at + columns] - center
            spread += partial[at + columns + columns] + partial[at] * d * d
    cuda.syncthreads()
    shared[place] = spread
    cuda.syncthreads()
    if cuda.threadIdx.y == 0 and column < columns:
        spread = np.float64(0)
        for y in range(down):
            spread += shared[y * lanes + lane]
        mean[column] = center
        var[column] = spread / count if count > 0 else spread


def batch_norm_stats(x: Memory, mean: Memory, var: Memory) -> None:
    """Mean and biased variance per channel of x[R, C]."""
    rows, columns = x.shape
    plan = planned(columns, rows, RUN)
    partial = workspace(plan, 3, columns)
    launch(
        _moments, plan.grid, plan.block, x.flat, rows, np.uint64(columns), partial.array,
    )  # fmt: skip
    last = finishing(columns, plan.parts)
    launch(
        _join_moments, last.grid, last.block, partial.array, plan.parts, np.uint64(columns),
        mean.array, var.array,
    )  # fmt: skip


@kernel()
def _update_running(
    mean: Any, var: Any, unbiased: Any, momentum: Any, running_mean: Any, running_var: Any
) -> None:
    for c in range(cuda.grid(1), mean.shape[0], cuda.gridsize(1)):
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (unbiased * var[c] - running_var[c])


def update_running(
    mean: Memory, var: Memory, rows: int, momentum: float, running_mean: Memory, running_var: Memory
) -> None:
    """running += momentum * (batch - running); the variance that is kept is the unbiased one."""
    kind = mean.dtype.type
    launch(
        _update_running, *strided(mean.size, device.machine().limits), mean.array, var.array,
        kind(rows / max(rows - 1, 1)), kind(momentum), running_mean.array, running_var.array,
    )  # fmt: skip


@kernel()
def _fold_norm(
    mean: Any, var: Any, scale: Any, shift: Any, eps: Any, inv_std: Any, gain: Any, offset: Any
) -> None:
    for c in range(cuda.grid(1), mean.shape[0], cuda.gridsize(1)):
        inv_std[c] = np.float64(1) / math.sqrt(np.float64(var[c]) + eps)
        gain[c] = scale[c] * inv_std[c]
        offset[c] = shift[c] - mean[c] * gain[c]


def fold_norm(
    mean: Memory,
    var: Memory,
    scale: Memory,
    shift: Memory,
    eps: float,
    inv_std: Memory,
    gain: Memory,
    offset: Memory,
) -> None:
    """inv_std = 1/sqrt(var + eps), gain = scale*inv_std, offset = shift - mean*gain."""
    launch(
        _fold_norm, *strided(mean.size, device.machine().limits), mean.array, var.array,
        scale.array, shift.array, np.float64(eps), inv_std.array, gain.array, offset.array,
    )  # fmt: skip


@kernel(launch_bounds=THREADS)
def _batch_norm(x: Any, gain: Any, offset: Any, rows: Any, columns: Any, out: Any) -> None:
    values = cuda.local.array(RUN, x.dtype)
    column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    if column >= columns:
        return
    g, o = gain[column], offset[column]
    step = cuda.gridDim.y * cuda.blockDim.y
    for first in range(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y, rows, RUN * step):
        for k in range(RUN):
            values[k] = x[np.uint64(min(first + k * step, rows - 1)) * columns + column]
        for k in range(RUN):
            row = first + k * step
            if row < rows:
                out[np.uint64(row) * columns + column] = g * values[k] + o


def batch_norm(x: Memory, gain: Memory, offset: Memory, out: Memory) -> None:
    """out[R, C] = gain*x + offset."""
    rows, columns = x.shape
    plan = planned(columns, rows, RUN)
    launch(
        _batch_norm, plan.grid, plan.block, x.flat, gain.array, offset.array, rows,
        np.uint64(columns), out.flat,
    )  # fmt: skip


@lru_cache
def _sums(scaled: bool) -> Kernel:
    """Parts of the sums of dy and dy*(x - mean), and, with `scaled`, dx = gain*dy on the way."""

    def norm_sums(
        x: Any, dy: Any, mean: Any, gain: Any, dx: Any, rows: Any, columns: Any, partial: Any
    ) -> None:
        shared = cuda.shared.array(TWICE, np.float64)
        xs = cuda.local.array(RUN, x.dtype)
        ys = cuda.local.array(RUN, x.dtype)
        zero = x.dtype.type(0)
        lane, lanes, down = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockDim.y
        column = np.uint64(cuda.blockIdx.x * lanes + lane)
        step = cuda.gridDim.y * down
        sum_y = np.float64(0)
        sum_yx = np.float64(0)
        if column < columns:
            center = mean[column]
            g = zero
            if scaled:
                g = gain[0][column]
            for first in range(cuda.blockIdx.y * down + cuda.threadIdx.y, rows, RUN * step):
                for k in range(RUN):
                    i = np.uint64(min(first + k * step, rows - 1)) * columns + column
                    xs[k] = x[i]
                    ys[k] = dy[i]
                run_y = zero
                run_yx = zero
                for k in range(RUN):
                    row = first + k * step
                    if row < rows:
                        run_y += ys[k]
                        run_yx += ys[k] * (xs[k] - center)
                        if scaled:
                            dx[0][np.uint64(row) * columns + column] = g * ys[k]
                sum_y += run_y
                sum_yx += run_yx
        place = cuda.threadIdx.y * lanes + lane
        shared[place] = sum_y
        shared[THREADS + place] = sum_yx
        cuda.syncthreads()
        if cuda.threadIdx.y == 0 and column < columns:
            for y in range(1, down):
                sum_y += shared[y * lanes + lane]
                sum_yx += shared[THREADS + y * lanes + lane]
            part = np.uint64(2 * cuda.blockIdx.y) * columns + column
            partial[part] = sum_y
            partial[part + columns] = sum_yx

    return kernel(launch_bounds=THREADS)(norm_sums)


@lru_cache
def _apply(centered: bool) -> Kernel:
    """dx = scale*inv_std * (dy - mean(dy) - xhat*mean(dy*xhat)), and the gradients of scale and
    shift. `centered`: the second sum is of dy*(x - mean), else of dy*x."""

    def norm_grad(
        x: Any, dy: Any, mean: Any, inv_std: Any, scale: Any, sum_y: Any, sum_yx: Any, share: Any,
        rows: Any, columns: Any, dscale: Any, dshift: Any, dx: Any,
    ) -> None:  # fmt: skip
        xs = cuda.local.array(RUN, x.dtype)
        ys = cuda.local.array(RUN, x.dtype)
        kind = x.dtype.type
        column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        if column >= columns:
            return
        center = mean[column]
        inv = np.float64(inv_std[column])
        total = np.float64(sum_y[column])
        projected = np.float64(sum_yx[column])
        if not centered:
            projected -= np.float64(center) * total
        projected *= inv
        own = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
        if own == 0:
            dscale[column] = projected
            dshift[column] = total
        factor = np.float64(scale[column]) * inv
        a = kind(factor)
        b = kind(factor * inv * projected * share)
        d = kind(factor * total * share)
        step = cuda.gridDim.y * cuda.blockDim.y
        for first in range(own, rows, RUN * step):
            for k in range(RUN):
                # may be in place: what is read twice here is not used
                i = np.uint64(min(first + k * step, rows - 1)) * columns + column
                xs[k] = x[i]
                ys[k] = dy[i]
            for k in range(RUN):
                row = first + k * step
                if row < rows:
                    dx[np.uint64(row) * columns + column] = a * ys[k] - d - b * (xs[k] - center)

    return kernel(launch_bounds=THREADS)(norm_grad)


def _launch_apply(
    centered: bool, x: Memory, dy: Memory, mean: Memory, inv_std: Memory, scale: Memory,
    sum_y: Memory, sum_yx: Memory, dscale: Memory, dshift: Memory, dx: Memory,
) -> None:  # fmt: skip
    rows, columns = x.shape
    plan = planned(columns, rows, RUN)
    launch(
        _apply(centered), plan.grid, plan.block, x.flat, dy.flat, mean.array, inv_std.array,
        scale.array, sum_y.array, sum_yx.array, np.float64(1 / max(rows, 1)), rows,
        np.uint64(columns), dscale.array, dshift.array, dx.flat,
    )  # fmt: skip


def batch_norm_grad(
    x: Memory,
    dy: Memory,
    mean: Memory,
    inv_std: Memory,
    scale: Memory,
    dscale: Memory,
    dshift: Memory,
    dx: Memory,
) -> None:
    """Backward pass in training mode (Ioffe & Szegedy 2015)."""
    rows, columns = x.shape
    plan = planned(columns, rows, RUN)
    partial = workspace(plan, 2, columns)
    launch(
        _sums(False), plan.grid, plan.block, x.flat, dy.flat, mean.array, (), (), rows,
        np.uint64(columns), partial.array,
    )  # fmt: skip
    total, projected = memory.empty(columns, np.float64), memory.empty(columns, np.float64)
    finish_sums(partial, plan.parts, columns, total, projected)
    _launch_apply(True, x, dy, mean, inv_std, scale, total, projected, dscale, dshift, dx)


def batch_norm_eval_grad(
    x: Memory,
    dy: Memory,
    mean: Memory,
    inv_std: Memory,
    gain: Memory,
    dscale: Memory,
    dshift: Memory,
    dx: Memory,
) -> None:
    """The same with statistics that do not depend on x."""
    rows, columns = x.shape
    plan = planned(columns, rows, RUN)
    partial = workspace(plan, 2, columns)
    launch(
        _sums(True), plan.grid, plan.block, x.flat, dy.flat, mean.array, (gain.array,), (dx.flat,),
        rows, np.uint64(columns), partial.array,
    )  # fmt: skip
    finish_sums(partial, plan.parts, columns, dshift, dscale, inv_std)


def norm_lif_input_grad(
    x: Memory,
    dz: Memory,
    mean: Memory,
    inv_std: Memory,
    scale: Memory,
    sum_dz: Memory,
    sum_dzx: Memory,
    dscale: Memory,
    dshift: Memory,
) -> None:
    """The same from sums that the LIF backward pass has made; dz becomes dx in place."""
    _launch_apply(False, x, dz, mean, inv_std, scale, sum_dz, sum_dzx, dscale, dshift, dz)


@kernel(launch_bounds=THREADS)
def _norm_lif_eval_grad(
    dz: Any, mean: Any, inv_std: Any, gain: Any, sum_dz: Any, sum_dzx: Any, rows: Any,
    columns: Any, dscale: Any, dshift: Any,
) -> None:  # fmt: skip
    column = np.uint64(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    if column >= columns:
        return
    own = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    if own == 0:
        total = np.float64(sum_dz[column])
        projected = np.float64(sum_dzx[column]) - np.float64(mean[column]) * total
        dscale[column] = projected * np.float64(inv_std[column])
        dshift[column] = total
    g = gain[column]
    for row in range(own, rows, cuda.gridDim.y * cuda.blockDim.y):
        dz[np.uint64(row) * columns + column] *= g


def norm_lif_eval_grad(
    dz: Memory,
    mean: Memory,
    inv_std: Memory,
    gain: Memory,
    sum_dz: Memory,
    sum_dzx: Memory,
    dscale: Memory,
    dshift: Memory,
) -> None:
    """The same with statistics that do not depend on x."""
    rows, columns = dz.shape
    plan = planned(columns, rows, RUN)
    launch(
        _norm_lif_eval_grad, plan.grid, plan.block, dz.flat, mean.array, inv_std.array, gain.array,
        sum_dz.array, sum_dzx.array, rows, np.uint64(columns), dscale.array, dshift.array,
    )  # fmt: skip
