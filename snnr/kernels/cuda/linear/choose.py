"""Dense layers on a card: which way a product goes."""

from typing import Any

import numpy as np

from snnr.kernels.cuda import ways
from snnr.kernels.cuda.linear.columns import column_sums
from snnr.kernels.cuda.linear.spikes import walk
from snnr.kernels.cuda.memory import Memory, zeros
from snnr.kernels.cuda.parts.gemm import BIASED, MASKED, SCALED
from snnr.kernels.cuda.parts.products import (
    Finish,
    gemm_tiles,
    multiply,
    word_for,
    written_columns,
    written_rows,
)
from snnr.kernels.operations import Hints


def matmul(a: Memory, b: Memory, out: Memory) -> None:
    """out[M, N] = a[M, K] @ b[K, N]."""
    gemm_tiles(a, b, out)


def linear(
    x: Memory, w: Memory, bias: Memory | None, out: Memory, scale: float = 1.0,
    hints: Hints | None = None,
) -> None:  # fmt: skip
    """out[R, O] = scale * x[R, K] @ w[K, O] + bias[O]; x float or spikes."""
    (rows, inputs), outputs = x.shape, w.shape[1]
    kept = hints.weight if hints is not None and x.dtype == np.uint8 else None
    count = _count(kept)
    if ways.way(kept) == ways.SPIKES:
        walk(x, w, bias, out, scale, count)
        return
    word = word_for(x, w, out)
    finish = Finish(SCALED if bias is None else BIASED, scale, extra=bias)
    multiply(
        written_rows(x, inputs, word), written_columns(w, outputs, word), (rows, outputs, inputs),
        out, finish, word, count,
    )  # fmt: skip


def _count(kept: dict[str, Any] | None) -> Memory | None:
    """Where spikes are counted."""
    if kept is not None and ways.COUNT not in kept:
        kept[ways.COUNT] = zeros(2, np.int64)
    return None if kept is None else kept[ways.COUNT]


def linear_input_grad(
    dy: Memory, w: Memory, dx: Memory, scale: float = 1.0, hints: Hints | None = None
) -> None:
    """dx[R, K] = scale * dy[R, O] @ w[K, O].T; zero where `hints.needed` is zero."""
    (rows, outputs), inputs = dy.shape, w.shape[0]
    word = word_for(dy, w, dx)
    mask = hints.needed if hints else None
    finish = Finish(SCALED if mask is None else MASKED, scale, extra=mask)
    multiply(
        written_rows(dy, outputs, word), written_rows(w, outputs, word), (rows, inputs, outputs),
        dx, finish, word,
    )  # fmt: skip


def linear_weight_grad(
    x: Memory, dy: Memory, dw: Memory, scale: float = 1.0, hints: Hints | None = None
) -> None:
    """dw[K, O] = scale * x[R, K].T @ dy[R, O]."""
    inputs, outputs = dw.shape
    word = word_for(x, dy, dw)
    multiply(
        written_columns(x, inputs, word), written_columns(dy, outputs, word),
        (inputs, outputs, x.shape[0]), dw, Finish(SCALED, scale), word,
    )  # fmt: skip


def bias_grad(dy: Memory, db: Memory) -> None:
    """db[O] = column sums of dy[R, O]."""
    column_sums(dy, db)
