"""Linear layers on the CPU: dense GEMM, or a walk over spikes or over surviving weights.

Which one runs is decided by measured density; the thresholds are where the two paths cost the
same on the shapes of the paper's networks (benchmarks/sparsity.py draws the curves).
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.linear.spikes import scatter_lists, walk_lists
from snnr.kernels.cpu.linear.survivors import walk_both, walk_survivors
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.parts import events
from snnr.kernels.cpu.parts.gather import NARROW_PANEL
from snnr.kernels.cpu.parts.matmul import matmul
from snnr.kernels.cpu.parts.rows import add, zero
from snnr.kernels.cpu.parts.transpose import swap_last
from snnr.kernels.jit import jit

#: spike density above which the dense product is quicker
SPIKE_DENSITY = 0.35
#: the same for float inputs, by the share of entries that differ from the background
FLOAT_DENSITY = 0.25
#: connectivity below which walking the surviving weights is quicker
SPARSE = 0.12
#: output widths up to which the dense product costs less than listing survivors
FEW_OUTPUTS = 32

Float = NDArray[np.floating[Any]]


def linear(
    x: NDArray[Any],
    w: Float,
    bias: Float | None,
    out: Float,
    scale: float = 1.0,
    connectivity: float = 1.0,
    memo: dict[str, Any] | None = None,
) -> None:
    """out[M, O] = scale * x[M, K] @ w[K, O] + bias.

    Spikes (uint8) are walked when they are few. So are floats that mostly hold one value, as
    normalised images do: x = (x - b) + b, and b times the column sums of w is a constant. Lists
    that `linear_weight_grad` of the same x can use are left in `memo`.
    """
    if x.dtype == np.uint8:
        index, count = events.by_row(x)
        density = count.sum() / max(x.size, 1)
        if memo is not None:
            memo["rows"] = index, count
        if density <= SPIKE_DENSITY and connectivity <= SPARSE:
            walk_both(x, w, out)
            _finish(out, scale, bias)
            return
        if density <= SPIKE_DENSITY:
            walk_lists(w, index, count, None, scale, bias, out)
            return
        x = _as_float(x, out.dtype)
    elif x.size:
        index, value, count = events.deviations(x, x[0, 0])
        if count.sum() <= FLOAT_DENSITY * x.size:
            base = _background(x[0, 0], w, scale)
            if bias is not None:
                base += bias
            walk_lists(w, index, count, value, scale, base, out)
            return
    matmul(x, w, out)
    _finish(out, scale, bias)


def _finish(out: Float, scale: float, bias: Float | None) -> None:
    if scale != 1.0:
        out *= out.dtype.type(scale)
    if bias is not None:
        out += bias


def _background(value: Any, m: Float, scale: float) -> Float:
    """scale * value * column sums of m."""
    sums = np.empty(m.shape[1], m.dtype)
    bias_grad(m, sums)
    sums *= m.dtype.type(value * scale)
    return sums


def _transposed(x: Float) -> Float:
    turned = empty((x.shape[1], x.shape[0]), x.dtype)
    swap_last(x[None], turned[None])
    return turned


def _as_float(x: NDArray[Any], dtype: Any) -> Float:
    dense = empty(x.shape, dtype)
    np.copyto(dense, x)
    return dense


def linear_weight_grad(
    x: NDArray[Any],
    dy: Float,
    dw: Float,
    scale: float = 1.0,
    memo: dict[str, Any] | None = None,
) -> None:
    """dw[K, O] = scale * x[M, K].T @ dy[M, O]; walks x as `linear` does."""
    if x.dtype == np.uint8:
        if dw.shape[1] <= NARROW_PANEL:
            index, count = events.by_row(x) if memo is None else memo["rows"]
            scatter_lists(index, count, dy, scale, dw)
            return
        if events.density(x) <= SPIKE_DENSITY:
            index, count = events.by_column(x)
            walk_lists(dy, index, count, None, scale, None, dw)
            return
        x = _as_float(x, dw.dtype)
    elif x.size:
        index, value, count = events.deviations(_transposed(x), x[0, 0])
        if count.sum() <= FLOAT_DENSITY * x.size:
            base = _background(x[0, 0], dy, scale)
            walk_lists(dy, index, count, value, scale, base, dw)
            return
    matmul(x.T, dy, dw)
    if scale != 1.0:
        dw *= dw.dtype.type(scale)


def linear_input_grad(
    dy: Float, w: Float, dx: Float, scale: float = 1.0, connectivity: float = 1.0
) -> None:
    """dx[M, K] = scale * dy[M, O] @ w[K, O].T; walks the surviving weights when they are few."""
    if connectivity <= SPARSE and dy.shape[0] >= NARROW_PANEL and dy.shape[1] > FEW_OUTPUTS:
        walk_survivors(dy, w, scale, dx)
    else:
        matmul(dy, w.T, dx)
        if scale != 1.0:
            dx *= dx.dtype.type(scale)


@jit(parallel=True)
def _column_sums(dy: Any, partial: Any) -> None:
    rows = dy.shape[0]
    parts = partial.shape[0]
    for p in prange(parts):
        mine = partial[p]
        zero(mine)
        for r in range(rows * p // parts, rows * (p + 1) // parts):
            add(dy[r], mine)


def bias_grad(dy: Float, db: Float) -> None:
    """db[O] = column sums of dy[R, O], added up in an order that no scheduler changes."""
    partial = np.empty((16, dy.shape[1]), dy.dtype)
    _column_sums(dy, partial)
    np.sum(partial, axis=0, out=db)
