"""Dense layers on a card: which way a product goes.

Spikes are added up row by row where few were counted (`ways`); otherwise cuBLAS takes what is large
enough for it (`blas.taken`), where it is present, and our own tiles the rest.
"""

from typing import Any

import numpy as np

from snnr.kernels.cuda import ways
from snnr.kernels.cuda.blas import SPLIT, Blas, blas, precision, taken
from snnr.kernels.cuda.linear.columns import column_sums
from snnr.kernels.cuda.linear.spikes import walk
from snnr.kernels.cuda.memory import Memory, empty, zeros
from snnr.kernels.cuda.parts import halves
from snnr.kernels.cuda.parts.gemm import BIASED, MASKED, SCALED
from snnr.kernels.cuda.parts.products import (
    Finish,
    gemm,
    gemm_blas,
    in_two_passes,
    multiply,
    word_for,
    written_columns,
    written_rows,
)
from snnr.kernels.operations import Hints


def matmul(a: Memory, b: Memory, out: Memory) -> None:
    """out[M, N] = a[M, K] @ b[K, N]."""
    gemm(a, b, out)


def _count(kept: dict[str, Any] | None) -> Memory | None:
    """Where spikes are counted."""
    if kept is not None and ways.COUNT not in kept:
        kept[ways.COUNT] = zeros(2, np.int64)
    return None if kept is None else kept[ways.COUNT]


def linear(
    x: Memory, w: Memory, bias: Memory | None, out: Memory, scale: float = 1.0,
    hints: Hints | None = None,
) -> None:  # fmt: skip
    """out[R, O] = scale * x[R, K] @ w[K, O] + bias[O]; x float or spikes, which are counted for
    what is kept with the weight."""
    (rows, inputs), outputs = x.shape, w.shape[1]
    spikes = x.dtype == np.uint8
    kept = hints.weight if hints is not None and spikes else None
    count = _count(kept)
    if ways.way(kept) == ways.SPIKES:
        walk(x, w, bias, out, scale, count)
        return
    library = blas()
    way = taken(rows, outputs, inputs, out.dtype, spikes, library is not None, precision())
    if library is not None and way is not None:
        _linear_blas(library, way, x, w, bias, out, scale, count)
        return
    word = word_for(x, w, out)
    finish = Finish(SCALED if bias is None else BIASED, scale, extra=bias)
    multiply(
        written_rows(x, inputs, word), written_columns(w, outputs, word), (rows, outputs, inputs),
        out, finish, word, count,
    )  # fmt: skip


def _linear_blas(
    library: Blas, way: str, x: Memory, w: Memory, bias: Memory | None, out: Memory, scale: float,
    count: Memory | None,
) -> None:  # fmt: skip
    beta = 0.0
    if bias is not None:
        halves.rows(bias, out)
        beta = 1.0
    if x.dtype != np.uint8:
        gemm_blas(library, way, x, w, out, alpha=scale, beta=beta)
        return
    # a spike that is absent passes over its weights, also those that are not finite
    floats, upper, lower = empty(x.shape), empty(w.shape), empty(w.shape)
    odd = zeros(1, np.int32)
    halves.floats(x, floats, count)
    halves.halves(w, False, upper, lower, odd)
    if way == SPLIT:
        in_two_passes(library, floats, upper, lower, out, False, False, scale, beta)
    else:
        gemm_blas(library, way, floats, upper, out, alpha=scale, beta=beta)
    halves.left_out(x, w, odd, scale, out)


def linear_input_grad(
    dy: Memory, w: Memory, dx: Memory, scale: float = 1.0, hints: Hints | None = None
) -> None:
    """dx[R, K] = scale * dy[R, O] @ w[K, O].T; zero where `hints.needed` is zero."""
    (rows, outputs), inputs = dy.shape, w.shape[0]
    mask = hints.needed if hints else None
    library = blas()
    way = taken(rows, inputs, outputs, dx.dtype, False, library is not None, precision())
    if library is not None and way is not None:
        gemm_blas(library, way, dy, w, dx, transpose_b=True, alpha=scale)
        if mask is not None:
            halves.keep(mask, dx)
        return
    word = word_for(dy, w, dx)
    finish = Finish(SCALED if mask is None else MASKED, scale, extra=mask)
    multiply(
        written_rows(dy, outputs, word), written_rows(w, outputs, word), (rows, inputs, outputs),
        dx, finish, word,
    )  # fmt: skip


def linear_weight_grad(
    x: Memory, dy: Memory, dw: Memory, scale: float = 1.0, hints: Hints | None = None
) -> None:
    """dw[K, O] = scale * x[R, K].T @ dy[R, O]."""
    gemm(x, dy, dw, transpose_a=True, alpha=scale)


def bias_grad(dy: Memory, db: Memory) -> None:
    """db[O] = column sums of dy[R, O]."""
    column_sums(dy, db)
