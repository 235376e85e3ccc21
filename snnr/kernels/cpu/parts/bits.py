"""Which of 64 entries are set, and where the first of them is."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError

from snnr.kernels.cpu.parts.vector import (
    INDEX,
    REGISTER,
    WORD,
    Vectors,
    intrinsic,
    one_type,
    pointer_to,
)

#: entries that one `active` call looks at
MASK = 64


def _unlike(builder: Any, lanes: int, compare: Any) -> Any:
    """A word with the bits of `compare(first)`, which compares the register from there on.

    Register by register: compilers make poor code of a mask wider than that.
    """
    bits = ir.Constant(WORD, 0)
    for first in range(0, MASK, lanes):
        part = builder.bitcast(compare(first), ir.IntType(lanes))
        part = builder.zext(part, WORD) if lanes < MASK else part
        bits = builder.or_(bits, builder.shl(part, WORD(first)))
    return bits


@intrinsic
def active(typing_context, flags, offset):  # type: ignore[no-untyped-def]
    """Bit i of the result tells whether flags[offset + i] is not zero, for 64 uint8 or floats."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = sig.args[0]
        if isinstance(kind.dtype, types.Float):
            v = Vectors(context, builder, kind)
            start = v.pointer(kind, *args)
            return _unlike(
                builder,
                v.lanes,
                lambda first: builder.fcmp_unordered("!=", v.load(v.at(start, first)), v.zero),
            )
        start = pointer_to(context, builder, kind, *args)
        vector = ir.VectorType(ir.IntType(8), REGISTER)

        def compare(first: int) -> Any:
            place = builder.gep(start, [WORD(first)])
            loaded = builder.load(builder.bitcast(place, vector.as_pointer()))
            loaded.align = 1
            return builder.icmp_unsigned("!=", loaded, ir.Constant(vector, None))

        return _unlike(builder, REGISTER, compare)

    return types.uint64(flags, INDEX), codegen


@intrinsic
def differing(typing_context, x, offset, background):  # type: ignore[no-untyped-def]
    """Bit i of the result tells whether x[offset + i] is not the background, for 64 floats."""
    one_type(x)
    if background != x.dtype:
        raise TypingError(f"the background of {x} must be a {x.dtype}, not {background}")

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        x, offset, background = args
        v = Vectors(context, builder, sig.args[0])
        start = v.pointer(sig.args[0], x, offset)
        usual = v.splat(background)
        return _unlike(
            builder,
            v.lanes,
            lambda first: builder.fcmp_unordered("!=", v.load(v.at(start, first)), usual),
        )

    return types.uint64(x, INDEX, background), codegen


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
