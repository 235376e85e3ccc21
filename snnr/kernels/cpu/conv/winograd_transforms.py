"""Vector code of Winograd's F(4x4, 3x3) transforms, and the matrices behind it.

Y = A^T [(G g G^T) * (B^T d B)] A for a 3x3 kernel g and a 6x6 input tile d (Lavin & Gray, CVPR
2016). Interpolating at 0, ±3/4, ±3/2 and infinity instead of the usual integers keeps the rounding
error at a few float32 units (Barabasz et al., ACM TOMS 2020); all entries of A and B are exact.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from snnr.kernels.cpu.parts.register_tile import TILE_VECTORS
from snnr.kernels.cpu.parts.vector import INDEX, WORD, Vectors, intrinsic, one_type

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


def _combine(v: Vectors, matrix: Matrix, vectors: list[Any]) -> list[Any]:
    """matrix @ vectors, leaving out zeros and multiplications by one."""
    results = []
    for row in matrix:
        total = None
        for factor, vector in zip(row, vectors, strict=True):
            if factor == 0:
                continue
            constant = v.constant(float(factor))
            if total is not None:
                total = v.multiply_add(constant, vector, total)
            elif factor == 1:
                total = vector
            else:
                total = v.builder.fmul(constant, vector)
        results.append(total)
    return results


def _both_ways(v: Vectors, matrix: Matrix, square: list[list[Any]]) -> list[Any]:
    """matrix @ square @ matrix.T, for a square of vectors, row after row."""
    columns = [_combine(v, matrix, [row[j] for row in square]) for j in range(len(square[0]))]
    rows = [[column[i] for column in columns] for i in range(len(matrix))]
    return [value for row in rows for value in _combine(v, matrix, row)]


@intrinsic
def winograd_input(typing_context, x, x0, row_stride, pixel_stride, channels, v, v0, v_stride):  # type: ignore[no-untyped-def]
    """v[v0 + i*v_stride + c] for i < PRODUCTS: B^T d B of the tile whose corner is x[x0].

    Runs over `channels`, rounded up to whole vectors: both arrays need that slack.
    """
    one_type(x, v)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        x, x0, row_stride, pixel_stride, channels, out, out0, out_stride = args
        v = Vectors(context, builder, sig.args[0])
        px = v.pointer(sig.args[0], x, x0)
        pv = v.pointer(sig.args[5], out, out0)
        step = WORD(v.lanes)
        count = builder.udiv(builder.add(channels, WORD(v.lanes - 1)), step)
        with cgutils.for_range(builder, count) as loop:
            c = builder.mul(loop.index, step)
            square = []
            for i in range(INPUTS):
                row = v.at(px, builder.add(c, builder.mul(row_stride, WORD(i))))
                square.append([
                    v.load(v.at(row, builder.mul(pixel_stride, WORD(j)))) for j in range(INPUTS)
                ])  # fmt: skip
            for i, value in enumerate(_both_ways(v, OF_INPUTS, square)):
                v.store(value, v.at(pv, builder.add(c, builder.mul(out_stride, WORD(i)))))
        return context.get_dummy_value()

    i = INDEX
    return types.void(x, i, i, i, i, v, i, i), codegen


def _square(v: Vectors, source: Any, stride: Any, size: int) -> list[list[Any]]:
    """The vectors at i*stride, i < size*size, as a square."""
    return [
        [v.load(v.at(source, v.builder.mul(stride, WORD(size * i + j)))) for j in range(size)]
        for i in range(size)
    ]


@intrinsic
def winograd_output(typing_context, m, m0, m_stride, y, y0):  # type: ignore[no-untyped-def]
    """y[y0 + q*width + c] for q < OUTPUTS^2: A^T m A of the products m[m0 + i*m_stride + c].

    `width` is that of a register tile.
    """
    one_type(m, y)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        m, m0, m_stride, y, y0 = args
        v = Vectors(context, builder, sig.args[0])
        pm = v.pointer(sig.args[0], m, m0)
        py = v.pointer(sig.args[3], y, y0)
        for part in range(TILE_VECTORS):
            square = _square(v, v.at(pm, part * v.lanes), m_stride, INPUTS)
            for q, value in enumerate(_both_ways(v, TO_OUTPUTS, square)):
                v.store(value, v.at(py, (q * TILE_VECTORS + part) * v.lanes))
        return context.get_dummy_value()

    i = INDEX
    return types.void(m, i, i, y, i), codegen


@intrinsic
def winograd_kernel(typing_context, w, w0, tap_stride, u, u0, u_stride):  # type: ignore[no-untyped-def]
    """u[u0 + i*u_stride + c] for i < PRODUCTS: G g G^T of the taps w[w0 + tap*tap_stride + c].

    One register tile wide.
    """
    one_type(w, u)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        w, w0, tap_stride, u, u0, u_stride = args
        v = Vectors(context, builder, sig.args[0])
        pw = v.pointer(sig.args[0], w, w0)
        pu = v.pointer(sig.args[3], u, u0)
        for part in range(TILE_VECTORS):
            square = _square(v, v.at(pw, part * v.lanes), tap_stride, 3)
            target = v.at(pu, part * v.lanes)
            for i, value in enumerate(_both_ways(v, OF_KERNEL, square)):
                v.store(value, v.at(target, builder.mul(u_stride, WORD(i))))
        return context.get_dummy_value()

    i = INDEX
    return types.void(w, i, i, u, i, i), codegen
