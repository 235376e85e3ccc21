"""Squares of lanes x lanes elements turned in registers, and bits turned the same way."""

from typing import Any

from llvmlite import ir
from numba import types

from snnr.kernels.cpu.parts.register_tile import transposed
from snnr.kernels.cpu.parts.vector import INDEX, WORD, Vectors, intrinsic, one_type


@intrinsic
def turn_square(typing_context, x, x0, x_stride, out, out0, out_stride):  # type: ignore[no-untyped-def]
    """out[out0 + j*out_stride + i] = x[x0 + i*x_stride + j] for i, j < lanes of a register."""
    one_type(x, out)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        x, x0, x_stride, out, out0, out_stride = args
        v = Vectors(context, builder, sig.args[0])
        source = v.pointer(sig.args[0], x, x0)
        target = v.pointer(sig.args[3], out, out0)
        rows = [
            v.load(v.at(source, builder.mul(x_stride, WORD(r)))) for r in range(v.lanes)
        ]
        for r, row in enumerate(transposed(builder, rows)):
            v.store(row, v.at(target, builder.mul(out_stride, WORD(r))))
        return context.get_dummy_value()

    i = INDEX
    return types.void(x, i, i, out, i, i), codegen


@intrinsic
def turn_bits(typing_context, words, start):  # type: ignore[no-untyped-def]
    """The 64x64 bits of words[start : start + 64] exchanged in place: bit j of word i for bit i
    of word j."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        kind = ir.VectorType(ir.IntType(64), 64)
        p = builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
        x = builder.load(p)
        x.align = 8
        undefined = ir.Constant(kind, ir.Undefined)

        def splat(value: int) -> Any:
            return ir.Constant(kind, [ir.Constant(ir.IntType(64), value)] * 64)

        for j in (32, 16, 8, 4, 2, 1):
            low = sum(((1 << j) - 1) << s for s in range(0, 64, 2 * j))
            partner = [i ^ j for i in range(64)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), 64), partner)
            y = builder.shuffle_vector(x, undefined, mask)
            # words without bit j of their number keep their low halves and get the partner's low
            # halves as high ones; the others the other way round
            upper = builder.or_(
                builder.and_(x, splat(low)), builder.shl(builder.and_(y, splat(low)), splat(j))
            )
            high = low << j
            lower = builder.or_(
                builder.and_(x, splat(high)),
                builder.lshr(builder.and_(y, splat(high)), splat(j)),
            )
            first = ir.Constant(
                ir.VectorType(ir.IntType(1), 64),
                [ir.Constant(ir.IntType(1), int(not i & j)) for i in range(64)],
            )
            x = builder.select(first, upper, lower)
        stored = builder.store(x, p)
        stored.align = 8
        return context.get_dummy_value()

    return types.void(words, INDEX), codegen
