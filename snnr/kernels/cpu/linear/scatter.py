"""Inner loops of the forward walk over surviving weights: one input, 64 rows of it at a time, is
added to the sums of every output it is connected to.

`scatter_floats`  acc[index[e]*64 + n] += value[e] * x[n]
`scatter_bits`    the same where x is bit n of a word of spikes
"""

from typing import Any

from numba import types
from numba.core import cgutils

from snnr.kernels.cpu.parts.dots import spread
from snnr.kernels.cpu.parts.gather import WIDE_PANEL
from snnr.kernels.cpu.parts.vector import INDEX, WORD, Vectors, intrinsic, one_type, pointer_to


def _emit(  # type: ignore[no-untyped-def]
    context, builder, sig, args, v: Vectors, add: Any
) -> Any:
    """For every list entry the sums it names become add(part, weight, sum)."""
    index, start, stop, value, acc, acc0 = args
    pi = pointer_to(context, builder, sig[0], index, WORD(0))
    pv = v.pointer(sig[3], value, WORD(0))
    pacc = v.pointer(sig[4], acc, acc0)
    with cgutils.for_range_slice(builder, start, stop, WORD(1), WORD) as (e, _):
        name = builder.zext(builder.load(builder.gep(pi, [e])), WORD)
        weight = v.splat(builder.load(builder.gep(pv, [e])))
        target = v.at(pacc, builder.mul(name, WORD(WIDE_PANEL)))
        for part in range(WIDE_PANEL // v.lanes):
            p = v.at(target, part * v.lanes)
            v.store(add(part, weight, v.load(p)), p)
    return context.get_dummy_value()


@intrinsic
def scatter_floats(  # type: ignore[no-untyped-def]
    typing_context, x, x0, index, start, stop, value, acc, acc0
):
    """acc[acc0 + index[e]*WIDE_PANEL + n] += value[e] * x[x0 + n] for list entries e,
    n < WIDE_PANEL."""
    one_type(x, value, acc)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        v = Vectors(context, builder, sig.args[0])
        row = v.pointer(sig.args[0], args[0], args[1])
        held = [v.load(v.at(row, first)) for first in range(0, WIDE_PANEL, v.lanes)]

        def add(part: int, weight: Any, total: Any) -> Any:
            return v.multiply_add(weight, held[part], total)

        return _emit(context, builder, sig.args[2:], args[2:], v, add)

    i = INDEX
    return types.void(x, i, index, i, i, value, acc, i), codegen


@intrinsic
def scatter_bits(  # type: ignore[no-untyped-def]
    typing_context, word, index, start, stop, value, acc, acc0
):
    """acc[acc0 + index[e]*WIDE_PANEL + n] += value[e] where bit n of the word is set."""
    one_type(value, acc)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        v = Vectors(context, builder, sig.args[4])
        masks = spread(builder, v, args[0])

        def add(part: int, weight: Any, total: Any) -> Any:
            kept = builder.and_(builder.bitcast(weight, masks[part].type), masks[part])
            return builder.fadd(total, builder.bitcast(kept, v.vector))

        return _emit(context, builder, sig.args[1:], args[1:], v, add)

    i = INDEX
    return types.void(types.uint64, index, i, i, value, acc, i), codegen
