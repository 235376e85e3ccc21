"""Vector code of Winograd's F(4x4, 3x3) transforms, and the matrices behind it.

Y = A^T [(G g G^T) * (B^T d B)] A for a 3x3 kernel g and a 6x6 input tile d (Lavin & Gray, CVPR
2016). Interpolating at 0, ±3/4, ±3/2 and infinity instead of the usual integers keeps the rounding
error at a few float32 units (Barabasz et al., ACM TOMS 2020); all entries of A and B are exact.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from snnr.kernels.cpu.vector import (
    REGISTER,
    TILE_VECTORS,
    element,
    intrinsic,
    load,
    multiply_add,
    pointer_to,
    splat_constant,
    store,
)

#: outputs per tile and direction, inputs they need, and products per tile
OUTPUTS = 4
INPUTS = OUTPUTS + 2
PRODUCTS = INPUTS * INPUTS
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)

Matrix = NDArray[np.float64]


def cook_toom(points: tuple[float, ...], outputs: int) -> tuple[Matrix, Matrix, Matrix]:
    """Matrices A^T, B^T and G of `outputs` results of a kernel of three, with infinity added."""
    size = len(points) + 1
    a = np.array(points)
    spread = np.array([np.prod([p - q for q in points if q != p]) for p in points])
    to_outputs = np.zeros((outputs, size))
    of_kernel = np.zeros((size, 3))
    of_inputs = np.zeros((size, size))
    to_outputs[:, :-1] = a[None] ** np.arange(outputs)[:, None]
    to_outputs[-1, -1] = 1
    of_kernel[:-1] = a[:, None] ** np.arange(3) / spread[:, None]
    of_kernel[-1, -1] = 1
    for i in range(size - 1):
        of_inputs[i, :-1] = np.polynomial.polynomial.polyfromroots(np.delete(a, i))
    of_inputs[-1] = np.polynomial.polynomial.polyfromroots(a)
    # powers of two even out the sizes of both transforms and round nothing
    norms = np.linalg.norm(of_kernel, axis=1) / np.linalg.norm(of_inputs, axis=1)
    even = 2.0 ** np.round(np.log2(norms) / 2)
    return to_outputs, of_inputs * even[:, None], of_kernel / even[:, None]


TO_OUTPUTS, OF_INPUTS, OF_KERNEL = cook_toom(_POINTS, OUTPUTS)


def _combine(builder: Any, matrix: Matrix, vectors: list[Any]) -> list[Any]:
    """matrix @ vectors, leaving out zeros and multiplications by one."""
    kind = vectors[0].type
    results = []
    for row in matrix:
        total = None
        for factor, vector in zip(row, vectors, strict=True):
            if factor == 0:
                continue
            if total is None:
                one = factor == 1
                total = (
                    vector if one else builder.fmul(splat_constant(kind, float(factor)), vector)
                )
            else:
                constant = splat_constant(kind, float(factor))
                total = multiply_add(builder, kind, constant, vector, total)
        results.append(total)
    return results


def _both_ways(builder: Any, matrix: Matrix, square: list[list[Any]]) -> list[list[Any]]:
    """matrix @ square @ matrix.T, for a square of vectors."""
    columns = [
        _combine(builder, matrix, [row[j] for row in square]) for j in range(len(square[0]))
    ]
    rows = [[column[i] for column in columns] for i in range(len(matrix))]
    return [_combine(builder, matrix, row) for row in rows]


@intrinsic
def winograd_input(typing_context, x, x0, row_stride, pixel_stride, channels, v, v0, v_stride):  # type: ignore[no-untyped-def]
    """v[v0 + i*v_stride + c] for i < PRODUCTS: B^T d B of the tile whose corner is x[x0].

    Runs over `channels`, rounded up to whole vectors: both arrays need that slack.
    """

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        x, x0, row_stride, pixel_stride, channels, v, v0, v_stride = args
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        px = pointer_to(context, builder, sig.args[0], x, x0)
        pv = pointer_to(context, builder, sig.args[5], v, v0)
        step = word(lanes)
        count = builder.udiv(builder.add(channels, word(lanes - 1)), step)
        with cgutils.for_range(builder, count) as loop:
            c = builder.mul(loop.index, step)
            square = []
            for i in range(INPUTS):
                row = builder.gep(px, [builder.add(c, builder.mul(row_stride, word(i)))])
                square.append([
                    load(builder, builder.gep(row, [builder.mul(pixel_stride, word(j))]),
                         vector, width)
                    for j in range(INPUTS)
                ])  # fmt: skip
            flat = [z for row in _both_ways(builder, OF_INPUTS, square) for z in row]
            for i, value in enumerate(flat):
                target = builder.gep(pv, [builder.add(c, builder.mul(v_stride, word(i)))])
                store(builder, value, target, vector, width)
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, i, i, i, i, v, i, i), codegen


@intrinsic
def winograd_output(typing_context, m, m0, m_stride, y, y0):  # type: ignore[no-untyped-def]
    """y[y0 + q*width + c] for q < OUTPUTS^2: A^T m A of the products m[m0 + i*m_stride + c].

    `width` is that of a register tile.
    """

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        m, m0, m_stride, y, y0 = args
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        pm = pointer_to(context, builder, sig.args[0], m, m0)
        py = pointer_to(context, builder, sig.args[3], y, y0)
        for part in range(TILE_VECTORS):
            square = []
            for i in range(INPUTS):
                row = []
                for j in range(INPUTS):
                    at = builder.mul(m_stride, word(INPUTS * i + j))
                    source = builder.gep(pm, [builder.add(word(part * lanes), at)])
                    row.append(load(builder, source, vector, width))
                square.append(row)
            flat = [z for row in _both_ways(builder, TO_OUTPUTS, square) for z in row]
            for q, value in enumerate(flat):
                target = builder.gep(py, [word((q * TILE_VECTORS + part) * lanes)])
                store(builder, value, target, vector, width)
        return context.get_dummy_value()

    i = types.intp
    return types.void(m, i, i, y, i), codegen


@intrinsic
def winograd_kernel(typing_context, w, w0, tap_stride, u, u0, u_stride):  # type: ignore[no-untyped-def]
    """u[u0 + i*u_stride + c] for i < PRODUCTS: G g G^T of the taps w[w0 + tap*tap_stride + c].

    One register tile wide.
    """

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        w, w0, tap_stride, u, u0, u_stride = args
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        pw = pointer_to(context, builder, sig.args[0], w, w0)
        pu = pointer_to(context, builder, sig.args[3], u, u0)
        for part in range(TILE_VECTORS):
            square = []
            for i in range(3):
                row = []
                for j in range(3):
                    at = builder.mul(tap_stride, word(3 * i + j))
                    source = builder.gep(pw, [builder.add(word(part * lanes), at)])
                    row.append(load(builder, source, vector, width))
                square.append(row)
            flat = [z for row in _both_ways(builder, OF_KERNEL, square) for z in row]
            for i, value in enumerate(flat):
                at = builder.mul(u_stride, word(i))
                target = builder.gep(pu, [builder.add(word(part * lanes), at)])
                store(builder, value, target, vector, width)
        return context.get_dummy_value()

    i = types.intp
    return types.void(w, i, i, u, i, i), codegen
