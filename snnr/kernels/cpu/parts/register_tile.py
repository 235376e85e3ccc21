"""Register tiles of the matrix product, and the packing of what they read.

`tile`             C[m, n] (+)= sum_k A[m, k] * B[k, n]
`transpose_strip`  the rows of A that a tile reads, column by column
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from snnr.kernels.cpu.parts.vector import INDEX, REGISTER, WORD, Vectors, intrinsic, one_type

#: rows of a register tile and vectors per row (28 + 2 + 1 of 32 registers, or 12 + 2 + 1 of 16)
TILE_ROWS = 14 if REGISTER == 64 else 6
TILE_VECTORS = 2


def tile_columns(itemsize: int) -> int:
    """Columns of a register tile of elements of so many bytes."""
    return TILE_VECTORS * REGISTER // itemsize


@intrinsic
def tile(  # type: ignore[no-untyped-def]
    typing_context, a, a0, row_stride, k_stride, b, b0, b_stride, c, c0, c_stride, depth,
    accumulate,
):  # fmt: skip
    """C[m, n] = sum of A[m, k] * B[k, n] over k < depth (> 0), added to C with `accumulate`."""
    one_type(a, b, c)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        (a, a0, rs, ks, b, b0, bs, c, c0, cs, depth, accumulate) = args
        v = Vectors(context, builder, sig.args[0])
        pa = v.pointer(sig.args[0], a, a0)
        pb = v.pointer(sig.args[4], b, b0)
        pc = v.pointer(sig.args[7], c, c0)
        targets = [
            v.at(pc, builder.add(builder.mul(cs, WORD(r)), WORD(part * v.lanes)))
            for r in range(TILE_ROWS)
            for part in range(TILE_VECTORS)
        ]
        start = builder.block
        with builder.if_then(accumulate):
            loaded = [v.load(p) for p in targets]
            load_block = builder.block
        merge = builder.block
        initial = []
        for value in loaded:
            phi = builder.phi(v.vector)
            phi.add_incoming(v.zero, start)
            phi.add_incoming(value, load_block)
            initial.append(phi)
        loop = builder.append_basic_block("k")
        done = builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(WORD)
        k.add_incoming(WORD(0), merge)
        acc = []
        for value in initial:
            phi = builder.phi(v.vector)
            phi.add_incoming(value, merge)
            acc.append(phi)
        row = v.at(pb, builder.mul(k, bs))
        bv = [v.load(v.at(row, part * v.lanes)) for part in range(TILE_VECTORS)]
        column = v.at(pa, builder.mul(k, ks))
        new = []
        for r in range(TILE_ROWS):
            av = v.splat(builder.load(v.at(column, builder.mul(rs, WORD(r)))))
            for part in range(TILE_VECTORS):
                new.append(v.multiply_add(av, bv[part], acc[r * TILE_VECTORS + part]))
        following = builder.add(k, WORD(1))
        k.add_incoming(following, loop)
        for phi, value in zip(acc, new, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
        builder.position_at_end(done)
        for value, p in zip(new, targets, strict=True):
            v.store(value, p)
        return context.get_dummy_value()

    i = INDEX
    return types.void(a, i, i, i, b, i, i, c, i, i, i, types.boolean), codegen


def _interleave(builder: Any, a: Any, b: Any, high: bool) -> Any:
    """a0 b0 a1 b1 ... of the lower or upper halves."""
    lanes = a.type.count
    first = lanes // 2 if high else 0
    picks = [first + i // 2 + (lanes if i % 2 else 0) for i in range(lanes)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), picks)
    return builder.shuffle_vector(a, b, mask)


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose a square of vectors: log2(n) perfect shuffles."""
    half = len(rows) // 2
    for _ in range(half.bit_length()):
        rows = [
            _interleave(builder, rows[i // 2], rows[i // 2 + half], bool(i % 2))
            for i in range(len(rows))
        ]
    return rows


@intrinsic
def transpose_strip(typing_context, a, a0, row_stride, depth, strip, s0):  # type: ignore[no-untyped-def]
    """strip[s0 + k*TILE_ROWS + r] = a[a0 + r*row_stride + k] for r < TILE_ROWS, k < depth.

    Handles whole vectors of k and returns how many k that were. Stores run over the end of a row of
    the strip into the next one, which is written after: one vector of slack is needed behind it.
    """
    one_type(a, strip)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        a, a0, row_stride, depth, strip, s0 = args
        v = Vectors(context, builder, sig.args[0])
        pa = v.pointer(sig.args[0], a, a0)
        ps = v.pointer(sig.args[4], strip, s0)
        blocks = builder.sdiv(depth, WORD(v.lanes))
        with cgutils.for_range(builder, blocks) as loop:
            k = builder.mul(loop.index, WORD(v.lanes))
            groups = []
            for first in range(0, TILE_ROWS, v.lanes):
                rows = []
                for r in range(first, first + v.lanes):
                    if r >= TILE_ROWS:
                        rows.append(v.zero)
                        continue
                    rows.append(v.load(v.at(pa, builder.add(builder.mul(row_stride, WORD(r)), k))))
                groups.append(transposed(builder, rows))
            for i in range(v.lanes):
                at = builder.mul(builder.add(k, WORD(i)), WORD(TILE_ROWS))
                for g, columns in enumerate(groups):
                    v.store(columns[i], v.at(ps, builder.add(at, WORD(g * v.lanes))))
        return builder.mul(blocks, WORD(v.lanes))

    i = INDEX
    return i(a, i, i, i, strip, i), codegen
