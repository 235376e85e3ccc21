"""Sums of products of two rows, in registers.

`dot`         sum of a[i] * b[i]
`dot_panels`  the same over panels of WIDE_PANEL entries that lie a stride apart
`dot_bits`    the same where a is bits, WIDE_PANEL to a word
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from snnr.kernels.cpu.parts.gather import WIDE_PANEL
from snnr.kernels.cpu.parts.vector import INDEX, WORD, Vectors, intrinsic, one_type, pointer_to

#: independent sums, which hide the latency of an addition
WAYS = 4


def spread(builder: Any, v: Vectors, word: Any) -> list[Any]:
    """Registers that are all ones in the lanes whose bits of the word are set, zero elsewhere."""
    bits = 8 * v.width
    integer = ir.IntType(bits)
    integers = ir.VectorType(integer, v.lanes)
    undefined = ir.Constant(integers, ir.Undefined)
    first_lane = ir.Constant(ir.VectorType(ir.IntType(32), v.lanes), [0] * v.lanes)
    masks = []
    for first in range(0, WIDE_PANEL, v.lanes):
        piece = builder.trunc(builder.lshr(word, WORD(first - first % bits)), integer)
        if bits == WIDE_PANEL:
            piece = word
        one = builder.insert_element(undefined, piece, ir.IntType(32)(0))
        everywhere = builder.shuffle_vector(one, undefined, first_lane)
        own = [integer(1 << (first % bits + i)) for i in range(v.lanes)]
        hit = builder.and_(everywhere, ir.Constant(integers, own))
        fired = builder.icmp_signed("!=", hit, ir.Constant(integers, None))
        masks.append(builder.sext(fired, integers))
    return masks


def _summed(v: Vectors, count: Any, ways: int, visit: Callable[[Any, int, Any], Any]) -> list[Any]:
    """Cells whose sums became `visit(i, way, sum)` for each i < count."""
    builder = v.builder
    cells = [cgutils.alloca_once_value(builder, v.zero) for _ in range(ways)]
    with cgutils.for_range(builder, count) as loop:
        for way, cell in enumerate(cells):
            builder.store(visit(loop.index, way, builder.load(cell)), cell)
    return cells


def _total(v: Vectors, cells: list[Any]) -> Any:
    """Sum of all lanes of all cells, in one order."""
    sums = [v.builder.load(cell) for cell in cells]
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [v.builder.fadd(sums[i], sums[half + i]) for i in range(half)]
    return v.total(sums[0])


@intrinsic
def dot(typing_context, a, a0, b, b0, size):  # type: ignore[no-untyped-def]
    """Sum of a[a0 + i] * b[b0 + i] for i < size, a whole number of registers."""
    one_type(a, b)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        v = Vectors(context, builder, sig.args[0])
        pa = v.pointer(sig.args[0], args[0], args[1])
        pb = v.pointer(sig.args[2], args[2], args[3])

        def product(at: Any, total: Any) -> Any:
            return v.multiply_add(v.load(v.at(pa, at)), v.load(v.at(pb, at)), total)

        step = WAYS * v.lanes
        whole = builder.udiv(args[4], WORD(step))
        cells = _summed(
            v, whole, WAYS,
            lambda i, way, total: product(
                builder.add(builder.mul(i, WORD(step)), WORD(way * v.lanes)), total
            ),
        )  # fmt: skip
        first = builder.mul(whole, WORD(step))
        rest = builder.udiv(builder.sub(args[4], first), WORD(v.lanes))
        with cgutils.for_range(builder, rest) as loop:
            at = builder.add(first, builder.mul(loop.index, WORD(v.lanes)))
            builder.store(product(at, builder.load(cells[0])), cells[0])
        return _total(v, cells)

    i = INDEX
    return a.dtype(a, i, b, i, i), codegen


@intrinsic
def dot_panels(typing_context, a, a0, a_stride, b, b0, b_stride, blocks):  # type: ignore[no-untyped-def]
    """Sum of a[a0 + p*a_stride + n] * b[b0 + p*b_stride + n] for p < blocks, n < WIDE_PANEL."""
    one_type(a, b)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        v = Vectors(context, builder, sig.args[0])
        pa = v.pointer(sig.args[0], args[0], args[1])
        pb = v.pointer(sig.args[3], args[3], args[4])

        def product(p: Any, way: int, total: Any) -> Any:
            x = v.load(v.at(v.at(pa, builder.mul(p, args[2])), way * v.lanes))
            y = v.load(v.at(v.at(pb, builder.mul(p, args[5])), way * v.lanes))
            return v.multiply_add(x, y, total)

        return _total(v, _summed(v, args[6], WIDE_PANEL // v.lanes, product))

    i = INDEX
    return a.dtype(a, i, i, b, i, i, i), codegen


@intrinsic
def dot_bits(typing_context, words, w0, w_stride, b, b0, b_stride, blocks):  # type: ignore[no-untyped-def]
    """Sum of b[b0 + p*b_stride + n] where bit n of words[w0 + p*w_stride] is set, for p < blocks;
    what is not set is passed over, whatever it is."""
    one_type(b)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        v = Vectors(context, builder, sig.args[3])
        pw = pointer_to(context, builder, sig.args[0], args[0], args[1])
        pb = v.pointer(sig.args[3], args[3], args[4])
        cells = [cgutils.alloca_once_value(builder, v.zero) for _ in range(WIDE_PANEL // v.lanes)]
        with cgutils.for_range(builder, args[6]) as loop:
            word = builder.load(builder.gep(pw, [builder.mul(loop.index, args[2])]))
            row = v.at(pb, builder.mul(loop.index, args[5]))
            for way, mask in enumerate(spread(builder, v, word)):
                value = builder.bitcast(v.load(v.at(row, way * v.lanes)), mask.type)
                kept = builder.bitcast(builder.and_(value, mask), v.vector)
                builder.store(builder.fadd(builder.load(cells[way]), kept), cells[way])
        return _total(v, cells)

    i = INDEX
    return b.dtype(words, i, i, b, i, i, i), codegen
