"""Which of 64 entries are set, and where the first of them is."""

from llvmlite import ir
from numba import types

from snnr.kernels.cpu.parts.vector import (
    INDEX,
    REGISTER,
    WORD,
    Vectors,
    intrinsic,
    pointer_to,
)

#: entries that one `active` call looks at
MASK = 64


@intrinsic
def active(typing_context, flags, offset):  # type: ignore[no-untyped-def]
    """Bit i of the result tells whether flags[offset + i] is not zero, for 64 uint8 or floats."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = sig.args[0]
        if isinstance(kind.dtype, types.Float):
            v = Vectors(context, builder, kind)
            start = v.pointer(kind, *args)
            lanes = v.lanes
        else:
            start = pointer_to(context, builder, kind, *args)
            lanes = REGISTER
        # register by register: compilers make poor code of a mask wider than that
        bits = ir.Constant(WORD, 0)
        for first in range(0, MASK, lanes):
            if isinstance(kind.dtype, types.Float):
                here = builder.fcmp_unordered("!=", v.load(v.at(start, first)), v.zero)
            else:
                vector = ir.VectorType(ir.IntType(8), lanes)
                place = builder.gep(start, [WORD(first)])
                loaded = builder.load(builder.bitcast(place, vector.as_pointer()))
                loaded.align = 1
                here = builder.icmp_unsigned("!=", loaded, ir.Constant(vector, None))
            part = builder.bitcast(here, ir.IntType(lanes))
            part = builder.zext(part, WORD) if lanes < MASK else part
            bits = builder.or_(bits, builder.shl(part, WORD(first)))
        return bits

    return types.uint64(flags, INDEX), codegen


@intrinsic
def lowest(typing_context, bits):  # type: ignore[no-untyped-def]
    """Position of the lowest set bit."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.IntType(1)(1))

    return INDEX(types.uint64), codegen


@intrinsic
def population(typing_context, bits):  # type: ignore[no-untyped-def]
    """How many bits are set."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.ctpop(args[0])

    return INDEX(types.uint64), codegen
