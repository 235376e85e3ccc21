"""Vector code of Winograd's F(2x2, 3x3) transforms (Lavin & Gray, CVPR 2016)."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from snnr.kernels.cpu.vector import (
    REGISTER,
    TILE_VECTORS,
    element,
    intrinsic,
    load,
    pointer_to,
    store,
)


def _transform(builder: Any, rows: list[Any], output: bool) -> list[Any]:
    """One dimension: four vectors to the four of B^T d, or to the two of A^T m."""
    a, b, c, d = rows
    if output:
        plus, minus = builder.fadd(b, c), builder.fsub(b, c)
        return [builder.fadd(a, plus), builder.fsub(minus, d)]
    return [builder.fsub(a, c), builder.fadd(b, c), builder.fsub(c, b), builder.fsub(b, d)]


def _transform_square(builder: Any, square: list[list[Any]], output: bool) -> list[list[Any]]:
    """Both dimensions of a 4x4 square of vectors."""
    columns = [_transform(builder, [row[j] for row in square], output) for j in range(4)]
    return [
        _transform(builder, [column[i] for column in columns], output)
        for i in range(len(columns[0]))
    ]


@intrinsic
def winograd_input(typing_context, x, x0, row_stride, pixel_stride, channels, v, v0, v_stride):  # type: ignore[no-untyped-def]
    """v[v0 + i*v_stride + c] for i < 16: the transform of the 4x4 tile whose corner is x[x0].

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
            for i in range(4):
                row = builder.gep(px, [builder.add(c, builder.mul(row_stride, word(i)))])
                square.append([
                    load(builder, builder.gep(row, [builder.mul(pixel_stride, word(j))]),
                          vector, width)
                    for j in range(4)
                ])  # fmt: skip
            flat = [z for row in _transform_square(builder, square, False) for z in row]
            for i, value in enumerate(flat):
                target = builder.gep(pv, [builder.add(c, builder.mul(v_stride, word(i)))])
                store(builder, value, target, vector, width)
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, i, i, i, i, v, i, i), codegen


@intrinsic
def winograd_output(typing_context, m, m0, m_stride, y, y0):  # type: ignore[no-untyped-def]
    """y[y0 + q*width + c] for q < 4: the 2x2 outputs of the 16 products m[m0 + i*m_stride + c].

    One register tile wide.
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
            square = [
                [
                    load(builder, builder.gep(pm, [builder.add(
                        word(part * lanes), builder.mul(m_stride, word(4 * i + j)))]),
                        vector, width)
                    for j in range(4)
                ]
                for i in range(4)
            ]  # fmt: skip
            flat = [z for row in _transform_square(builder, square, True) for z in row]
            for q, value in enumerate(flat):
                target = builder.gep(py, [word((q * TILE_VECTORS + part) * lanes)])
                store(builder, value, target, vector, width)
        return context.get_dummy_value()

    i = types.intp
    return types.void(m, i, i, y, i), codegen
