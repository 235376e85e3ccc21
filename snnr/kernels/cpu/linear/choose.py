"""Linear layers on the CPU: dense GEMM, or a walk over spikes or over surviving weights.

Which one runs is decided by measured density; the thresholds are where the two paths cost the
same on the shapes of the paper's networks (benchmarks/sparsity.py draws the curves). Beside pruned
weights the costs depend on more than one density: `_sparse_cost` and its neighbours estimate them.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from snnr.kernels.cpu.count import is_finite
from snnr.kernels.cpu.linear import bits, deviations, needed, sampled, survivors
from snnr.kernels.cpu.linear.lists import survivors_for
from snnr.kernels.cpu.linear.outer import outer
from snnr.kernels.cpu.linear.spikes import walk_lists
from snnr.kernels.cpu.memory import empty
from snnr.kernels.cpu.packed import pack
from snnr.kernels.cpu.parts import events
from snnr.kernels.cpu.parts.gather import NARROW_PANEL, WIDE_PANEL
from snnr.kernels.cpu.parts.matmul import matmul as product
from snnr.kernels.cpu.parts.rows import add, zero
from snnr.kernels.jit import jit
from snnr.kernels.operations import Hints, Packed

#: spike density above which the dense product is quicker
SPIKE_DENSITY = 0.35
#: the same for float inputs, by the share of entries that differ from the background
FLOAT_DENSITY = 0.25
#: share of an input gradient that is needed above which all of it is quicker
NEEDED = 0.7
#: output widths up to which the dense product costs less than listing survivors
FEW_OUTPUTS = 32

# Nanoseconds of one core, per weight, pruned or not, as measured on the layers of the networks
#: to look at it; to list a surviving one; to walk that one with 64 rows
LOOK, LIST, WALK = 0.25, 3.0, 4.0
#: of the dense product, per row; of the walk over the input, per spike or differing float
DENSE, SPIKE, FLOAT = 0.02, 0.04, 0.06
#: of the walk over the spikes for few outputs, per spike and for all of them
NARROW = 1.5
#: rows of a float input that are looked at before it is decided how to walk it
SAMPLE = 16

Float = NDArray[np.floating[Any]]


def matmul(a: Float, b: Float, out: Float) -> None:
    """out[M, N] = a[M, K] @ b[K, N]; a and b may be strided views."""
    product(a, b, out)


def linear(
    x: NDArray[Any],
    w: Float,
    bias: Float | None,
    out: Float,
    scale: float = 1.0,
    hints: Hints | None = None,
) -> None:
    """out[M, O] = scale * x[M, K] @ w[K, O] + bias.

    Spikes (uint8) are walked when they are few. So are floats that mostly hold one value, as
    normalised images do: x = (x - b) + b, and b times the column sums of w is a constant. Lists
    that `linear_weight_grad` of the same x can use are left in `hints.call`.
    """
    if x.dtype == np.uint8:
        walked = _walk_spikes(x, w, bias, out, scale, hints)
    else:
        walked = _walk_floats(x, w, bias, out, scale, hints)
    if not walked:
        product(_as_float(x, out.dtype), w, out)
        _finish(out, scale, bias)


def _sparse_cost(rows: int, connectivity: float, listed: bool = False) -> float:
    """Nanoseconds per weight of a walk over the survivors, which may be listed already."""
    walk = connectivity * WALK * -(-rows // WIDE_PANEL)
    return walk if listed else walk + LOOK + LIST * connectivity


def _walk_spikes(
    x: NDArray[np.uint8], w: Float, bias: Float | None, out: Float, scale: float,
    hints: Hints | None,
) -> bool:  # fmt: skip
    """`linear` over the spikes of x or the survivors of w, unless both are many."""
    words, spikes = packed = bits.pack(x)
    if hints:
        hints.call["words"] = packed
    rows, inputs = x.shape
    few = spikes <= SPIKE_DENSITY * x.size and scale != 0
    narrow = few and w.shape[1] <= NARROW_PANEL
    if hints and scale != 0:
        # the way back of wide layers needs the lists as well: they cost nothing here
        cost = _sparse_cost(rows, hints.connectivity, listed=not narrow)
        each = NARROW / max(w.shape[1], 1) if narrow else SPIKE
        if cost < min(DENSE * rows, each * spikes / max(inputs, 1)):
            lists = survivors_for(w, hints)
            if lists.finite:
                survivors.forward(words, lists, scale, bias, out)
                return True
    if narrow:
        bits.narrow(words, w, scale, bias, out)
        return True
    # a spike that is absent passes over its weights, also those that are not finite
    walked = few or (scale != 0 and not is_finite(w))
    if walked:
        walk_lists(w, *events.by_row(x), None, scale, bias, out)
    return walked


def _walk_floats(
    x: Float, w: Float, bias: Float | None, out: Float, scale: float, hints: Hints | None
) -> bool:
    """`linear` over the survivors of w, or over the entries that are not x[0, 0], unless both are
    many."""
    rows = x.shape[0]
    if x.size == 0 or scale == 0:
        return False
    background = x[0, 0]
    if hints and w.shape[1] > NARROW_PANEL:
        few = x[:: max(rows // SAMPLE, 1)]
        share = np.count_nonzero(few != background) / few.size
        if _sparse_cost(rows, hints.connectivity) < rows * min(DENSE, FLOAT * share):
            panels = hints.call["panels"] = survivors.turned(x)
            survivors.forward(panels, survivors_for(w, hints), scale, bias, out)
            return True
    index, value, count = events.deviations(x, background)
    if not _mostly_background(x, background, count):
        return False
    base = _background_sums(w, background * scale)
    if bias is not None:
        base += bias
    walk_lists(w, index, count, value, scale, base, out)
    return True


def _background_sums(m: Float, factor: Any) -> Float:
    """factor times the column sums of m."""
    base = np.empty(m.shape[1], m.dtype)
    bias_grad(m, base)
    base *= m.dtype.type(factor)
    return base


def _mostly_background(x: Float, background: Any, count: NDArray[np.int64]) -> bool:
    """Whether x is quicker as background and differences, and loses no digits that way.

    A row that hardly meets the background must not be small beside it: the differences would be
    rounded to the background's last digit.
    """
    if not np.isfinite(background) or count.sum() > FLOAT_DENSITY * x.size:
        return False
    columns = x.shape[1]
    apart = np.flatnonzero(count > columns - columns // 16)
    if apart.size == 0:
        return True
    return bool((8 * np.abs(x[apart]).max(axis=1, initial=0) >= abs(background)).all())


def _finish(out: Float, scale: float, bias: Float | None) -> None:
    if scale != 1.0:
        out *= out.dtype.type(scale)
    if bias is not None:
        out += bias


def _as_float(x: NDArray[Any], dtype: Any) -> Float:
    if x.dtype == dtype:
        return x
    dense = empty(x.shape, dtype)
    np.copyto(dense, x)
    return dense


def linear_weight_grad(
    x: NDArray[Any],
    dy: Float,
    dw: Float | Packed,
    scale: float = 1.0,
    hints: Hints | None = None,
) -> None:
    """dw[K, O] = scale * x[M, K].T @ dy[M, O]; walks x as `linear` does, or what survives where no
    more is wanted."""
    if not isinstance(dw, Packed):
        _whole_grad(x, dy, dw, scale, hints)
        return
    rows, inputs = x.shape
    binary, each = x.dtype == np.uint8, FLOAT
    if binary:
        words, spikes = _words(x, hints)
        each = SPIKE * spikes / max(rows * inputs, 1)
    share = dw.pattern.total / max(inputs * dy.shape[1], 1)
    if _sparse_cost(rows, share, listed=True) <= rows * min(DENSE, each):
        source = words if binary else _panels(x, hints)
        sampled.weight_grad(source, dy, dw.pattern, scale, dw.values)
        return
    whole = empty(dw.shape, dw.dtype)
    _whole_grad(x, dy, whole, scale, hints)
    pack(whole, dw)


def _words(x: NDArray[np.uint8], hints: Hints | None) -> tuple[bits.Words, int]:
    """Spikes as words, and how many there are, as the forward pass left them."""
    return (hints.call.get("words") if hints else None) or bits.pack(x)


def _panels(x: Float, hints: Hints | None) -> Float:
    """Floats turned, as the forward pass may have left them."""
    left = hints.call.get("panels") if hints else None
    return survivors.turned(x) if left is None else left


def _whole_grad(
    x: NDArray[Any], dy: Float, dw: Float, scale: float, hints: Hints | None
) -> None:
    walked = False
    if x.dtype == np.uint8:
        words, spikes = _words(x, hints)
        walked = spikes <= SPIKE_DENSITY * x.size and scale != 0
        if walked and dw.shape[1] <= NARROW_PANEL:
            bits.narrow_grad(words, dy, scale, dw)
        elif walked:
            outer(dy, *bits.by_input(words), None, scale, None, dw)
    elif x.size and scale != 0:
        background = x[0, 0]
        index, value, count = deviations.by_column(x, background)
        walked = _mostly_background(x.T, background, count)
        if walked:
            outer(dy, index, count, value, scale, _background_sums(dy, background * scale), dw)
    if not walked:
        product(_as_float(x, dw.dtype).T, dy, dw)
        _finish(dw, scale, None)


def linear_input_grad(
    dy: Float, w: Float, dx: Float, scale: float = 1.0, hints: Hints | None = None
) -> None:
    """dx[M, K] = scale * dy[M, O] @ w[K, O].T; walks the surviving weights when they are few, and
    computes what `hints.needed` names when that is quicker."""
    mask = hints.needed if hints else None
    rows, outputs = dy.shape
    dense = 1.0  # what the product costs that leaves out what is not needed, or all of it
    if mask is not None and needed.fits(rows, w, mask):
        dense = min(events.density(mask) / NEEDED, 1.0)
    sparse = hints and _sparse_cost(rows, hints.connectivity) < DENSE * rows * dense
    if hints and sparse and outputs > FEW_OUTPUTS:
        survivors.backward(dy, survivors_for(w, hints), scale, mask, dx)
    elif mask is not None and dense < 1:
        needed.input_grad(dy, w, mask, scale, dx)
    else:
        product(dy, w.T, dx)
        _finish(dx, scale, None)
        if mask is not None:
            _keep(mask.reshape(-1), dx.reshape(-1, mask.size))


@jit()
def _keep_row(mask: Any, row: Any) -> None:
    nothing = row.dtype.type(0)
    for i in range(row.shape[0]):
        row[i] = row[i] if mask[i] else nothing


@jit(parallel=True)
def _keep(mask: Any, x: Any) -> None:
    """x = 0 where the mask is."""
    for t in prange(x.shape[0]):
        _keep_row(mask, x[t])


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
