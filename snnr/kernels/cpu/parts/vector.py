"""What the vector intrinsics are written with: LLVM vector code through Numba.

LLVM does not keep a block of accumulators in registers when the loop nest is written on arrays;
the intrinsics of `tiles`, `gather`, `bits` and of Winograd's transforms say so explicitly.
Everything dense or event-driven on the CPU is made of them. Their arguments are (array, element
offset) pairs, and nothing is checked when they run; that all float arrays have one element type
is checked when they are compiled.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic as numba_intrinsic

#: untyped: an intrinsic is called without its first argument, which type checkers would miss
intrinsic: Any = numba_intrinsic

_FEATURES = llvm.get_host_cpu_features()
#: bytes of one vector register
REGISTER = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16

WORD = ir.IntType(64)
INDEX = types.intp


def one_type(*arrays: Any) -> None:
    """Refuse, at compile time, float arrays of different element types.

    Raises
    ------
    TypingError : the arrays are not all float32 or all float64.
    """
    kinds = {array.dtype for array in arrays}
    if len(kinds) != 1 or not kinds <= {types.float32, types.float64}:
        names = ", ".join(sorted(map(str, kinds)))
        raise TypingError(f"vector code needs arrays of one float type, not {names}")


class Vectors:
    """Vector code over the arrays of one call of an intrinsic.

    `scalar` is the LLVM type of an element, `lanes` how many of them one register holds, `vector`
    the type of a register.
    """

    def __init__(self, context: Any, builder: Any, array_type: Any, lanes: int = 0) -> None:
        self.context = context
        self.builder = builder
        double = array_type.dtype == types.float64
        self.scalar = ir.DoubleType() if double else ir.FloatType()
        self.width = 8 if double else 4
        self.lanes = lanes or REGISTER // self.width
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.vector, None)

    def pointer(self, array_type: Any, array: Any, offset: Any) -> Any:
        """Where element `offset` of the array lies."""
        return pointer_to(self.context, self.builder, array_type, array, offset)

    def at(self, pointer: Any, offset: Any) -> Any:
        """`offset` elements (a word, or a Python integer) further on."""
        step = WORD(offset) if isinstance(offset, int) else offset
        return self.builder.gep(pointer, [step])

    def load(self, pointer: Any) -> Any:
        """One register, from an address aligned to an element."""
        loaded = self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()))
        loaded.align = self.width
        return loaded

    def store(self, value: Any, pointer: Any, stream: bool = False) -> None:
        """One register, to an address aligned to an element; with `stream` to one aligned to a
        register, past the caches."""
        stored = self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer()))
        stored.align = REGISTER if stream else self.width
        if stream:
            one = self.builder.module.add_metadata([ir.IntType(32)(1)])
            stored.set_metadata("nontemporal", one)

    def constant(self, value: float) -> Any:
        """A register that holds one value in every lane."""
        return ir.Constant(self.vector, [ir.Constant(self.scalar, value)] * self.lanes)

    def splat(self, value: Any) -> Any:
        """A register that holds a scalar in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, mask)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a*b + c, rounded once."""
        suffix = f"v{self.lanes}f{8 * self.width}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{suffix}")
        return self.builder.call(function, [a, b, c])

    def total(self, value: Any) -> Any:
        """Sum of the lanes of a register."""
        while value.type.count > 1:
            half = value.type.count // 2
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = (
                self.builder.shuffle_vector(
                    value,
                    undefined,
                    ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(i, i + half))),
                )
                for i in (0, half)
            )
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, ir.IntType(32)(0))


def pointer_to(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Where element `offset` of an array of any type lies."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic
def prefetch(typing_context, x, i):  # type: ignore[no-untyped-def]
    """Have x[i], which will be written, fetched meanwhile; i may lie anywhere."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        place = pointer_to(context, builder, sig.args[0], *args)
        bit = ir.IntType(32)
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, bit, bit, bit])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(place, byte), bit(1), bit(3), bit(1)])
        return context.get_dummy_value()

    return types.void(x, INDEX), codegen
