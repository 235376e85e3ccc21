"""Which of 64 entries are set, and where the first of them is."""

from llvmlite import ir
from numba import types

from snnr.kernels.cpu.parts.vector import INDEX, Vectors, intrinsic, pointer_to

#: entries that one `active` call looks at
MASK = 64


@intrinsic
def active(typing_context, flags, offset):  # type: ignore[no-untyped-def]
    """Bit i of the result tells whether flags[offset + i] is not zero, for 64 uint8 or floats."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = sig.args[0]
        if isinstance(kind.dtype, types.Float):
            v = Vectors(context, builder, kind, lanes=MASK)
            loaded = v.load(v.pointer(kind, *args))
            bits = builder.fcmp_unordered("!=", loaded, v.zero)
        else:
            vector = ir.VectorType(ir.IntType(8), MASK)
            pointer = pointer_to(context, builder, kind, *args)
            loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
            loaded.align = 1
            bits = builder.icmp_unsigned("!=", loaded, ir.Constant(vector, None))
        return builder.bitcast(bits, ir.IntType(64))

    return types.uint64(flags, INDEX), codegen


@intrinsic
def lowest(typing_context, bits):  # type: ignore[no-untyped-def]
    """Position of the lowest set bit."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.IntType(1)(1))

    return INDEX(types.uint64), codegen
