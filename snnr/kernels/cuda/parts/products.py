"""Runs products of tiles: which kernel, of how many blocks, and the sum of parts afterwards."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from snnr.kernels.cuda import device
from snnr.kernels.cuda.blas import SPLIT, TF32, Blas, blas, precision, taken
from snnr.kernels.cuda.device import Kernel, cuda, kernel, launch
from snnr.kernels.cuda.geometry import strided
from snnr.kernels.cuda.memory import Memory, empty, zeros
from snnr.kernels.cuda.parts import gemm as tiled
from snnr.kernels.cuda.parts import halves, maps
from snnr.kernels.cuda.parts.gemm import ADDED, BIASED, MASKED, PART, SCALED, Side
from snnr.kernels.cuda.parts.tiles import cut

#: entries of an array whose places fit into 32 bits, and sides of an image that do into 16
NEAR, SHORT_SIDE = 1 << 31, 1 << 15


class Operand(NamedTuple):
    """A matrix in memory, or one that nobody wrote down.

    outer, deep : numbers of the maps of `side`.
    window : rows and columns of the image, where places are checked.
    """

    memory: Memory
    side: Side
    outer: tuple[Any, ...]
    deep: tuple[Any, ...]
    name: str
    window: tuple[int, int] = (1, 1)


class Finish(NamedTuple):
    """What happens to the sums; see `gemm`."""

    end: str = SCALED
    alpha: float = 1.0
    beta: float = 0.0
    extra: Memory | None = None


def word_for(*operands: Memory, side: int = 0) -> Any:
    """The type of places within arrays, and of images that reach as far as `side`."""
    near = side < SHORT_SIDE and all(o.size < NEAR for o in operands)
    return np.uint32 if near else np.uint64


def written_rows(x: Memory, stride: int, word: Any) -> Operand:
    """x[row, term] in rows of `stride`."""
    line = maps.line(word)
    shapes = maps.line_shape(stride, word), maps.line_shape(1, word)
    return Operand(x, Side(line, line), *shapes, "rows")


def written_columns(x: Memory, stride: int, word: Any) -> Operand:
    """x[term, row] in rows of `stride`."""
    line = maps.line(word)
    shapes = maps.line_shape(1, word), maps.line_shape(stride, word)
    return Operand(x, Side(line, line, along=False), *shapes, "columns")


def multiply(
    left: Operand, right: Operand, size: tuple[int, int, int], out: Memory, finish: Finish,
    word: Any, count: Memory | None = None, places: tuple[Any, ...] | None = None,
) -> None:  # fmt: skip
    """out[m, n] = left[m, k] @ right[n, k].T, of size (m, n, k).

    count : int64 [2], see `gemm.product`.
    places : of the rows of out, numbers for `maps.pixels` (None: one after the other).
    """
    m, n, k = size
    dtype: Any = out.dtype.type
    limits = device.machine().limits
    plan = cut(m, n, k, out.dtype.itemsize, limits, whole=places is not None)
    end, alpha, beta, extra = finish
    target, kept = out.flat, out.flat if extra is None else extra.flat
    period = 1 if extra is None or end != MASKED else max(extra.shape[0], 1)
    if plan.parts > 1:
        parts = empty((plan.parts, m, n), out.dtype)
        target, end = parts.flat, PART
    made = tiled.product(
        plan.tile, dtype, word, left.side, right.side,
        maps.line(word) if places is None else maps.pixels(word),
        left.memory.dtype == np.uint8, count is not None, end, f"{left.name}_{right.name}",
    )  # fmt: skip
    launch(
        made, (plan.blocks, plan.parts, 1), plan.tile.threads, left.memory.flat, right.memory.flat,
        kept, target if count is None else count.flat, target,
        tuple(map(np.uint64, (m, n, k, plan.chunk, period))), left.outer, left.deep, right.outer,
        right.deep, places or maps.line_shape(n, word), tuple(map(np.uint32, (*left.window, 0))),
        dtype(alpha), dtype(beta),
    )  # fmt: skip
    if plan.parts > 1:
        launch(
            _add_parts(finish.end, dtype), *strided(m * n, limits), target, kept, out.flat,
            np.int64(n), np.int64(period * n), np.int64(plan.parts), dtype(alpha), dtype(beta),
        )  # fmt: skip


@cache
def _add_parts(end: str, dtype: Any) -> Kernel:
    """Kernel of out = the sum of parts, one after the other, finished as `end` says."""
    biased, masked, added = (end == e for e in (BIASED, MASKED, ADDED))

    def add_parts(parts: Any, extra: Any, out: Any, columns: Any, period: Any, count: Any,
                  alpha: Any, beta: Any) -> None:  # fmt: skip
        size = out.shape[0]
        for i in range(cuda.grid(1), size, cuda.gridsize(1)):
            # few and once per entry: in float64, also where that is slow
            total = np.float64(0)
            for p in range(count):
                total += parts[p * size + i]
            value = alpha * dtype(total)
            if biased:
                value = value + extra[i % columns]
            if added:
                value = value + beta * out[i]
            if masked and extra[i % period] == 0:
                value = dtype(0)
            out[i] = value

    add_parts.__name__ = f"add_parts_{np.dtype(dtype).name}_{end}"
    return kernel()(add_parts)


def gemm_tiles(
    a: Memory, b: Memory, out: Memory, transpose_a: bool = False, transpose_b: bool = False,
    alpha: float = 1.0, beta: float = 0.0,
) -> None:  # fmt: skip
    """out[M, N] = alpha * a @ b + beta * out, where a is [M, K], or [K, M] if it is transposed,
    and b is [K, N] or [N, K]."""
    m, n = out.shape
    k = a.shape[0] if transpose_a else a.shape[1]
    word = word_for(a, b, out)
    left = (written_columns if transpose_a else written_rows)(a, a.shape[1], word)
    right = (written_rows if transpose_b else written_columns)(b, b.shape[1], word)
    multiply(left, right, (m, n, k), out, Finish(ADDED if beta else SCALED, alpha, beta), word)


def gemm_blas(
    library: Blas, way: str, a: Memory, b: Memory, out: Memory, transpose_a: bool = False,
    transpose_b: bool = False, alpha: float = 1.0, beta: float = 0.0,
) -> None:  # fmt: skip
    """`gemm_tiles` by cuBLAS; a float, or exact in TF32 where the way is SPLIT. What is not finite
    in b stays."""
    if way == SPLIT:
        upper, lower, odd = empty(b.shape), empty(b.shape), zeros(1, np.int32)
        halves.halves(b, True, upper, lower, odd)
        in_two_passes(library, a, upper, lower, out, transpose_a, transpose_b, alpha, beta)
    else:
        library.gemm(a, b, out, transpose_a, transpose_b, alpha, beta, tf32=way == TF32)


def in_two_passes(
    library: Blas, a: Memory, upper: Memory, lower: Memory, out: Memory, transpose_a: bool,
    transpose_b: bool, alpha: float, beta: float,
) -> None:  # fmt: skip
    """out = alpha * a @ (upper + lower) + beta * out; the small one first, for its digits."""
    library.gemm(a, lower, out, transpose_a, transpose_b, alpha, beta, tf32=True)
    library.gemm(a, upper, out, transpose_a, transpose_b, alpha, 1.0, tf32=True)


def gemm(
    a: Memory, b: Memory, out: Memory, transpose_a: bool = False, transpose_b: bool = False,
    alpha: float = 1.0, beta: float = 0.0,
) -> None:  # fmt: skip
    """out[M, N] = alpha * a @ b + beta * out, by tiles or by cuBLAS. a is [M, K], or [K, M] if it
    is transposed, b is [K, N] or [N, K]; a may be spikes."""
    library = blas()
    spikes = a.dtype == np.uint8
    (m, n), k = out.shape, a.shape[0] if transpose_a else a.shape[1]
    way = taken(m, n, k, out.dtype, spikes, library is not None, precision())
    if library is None or way is None:
        gemm_tiles(a, b, out, transpose_a, transpose_b, alpha, beta)
        return
    if spikes:
        spiked, a = a, empty(a.shape, out.dtype)
        halves.floats(spiked, a, None)
    gemm_blas(library, way, a, b, out, transpose_a, transpose_b, alpha, beta)
