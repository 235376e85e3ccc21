"""Register-blocked building blocks, written as LLVM vector code through Numba intrinsics.

LLVM does not keep a block of accumulators in registers when the loop nest is written on arrays;
these primitives say so explicitly. Everything dense or event-driven on the CPU is made of
them:

`tile`   C[m, n] (+)= sum_k A[m, k] * B[k, n]    a register tile of the matrix product
`gather`  acc[n] += sum_e M[index[e], n]            walk events: add up the rows they name
`gather_scaled`  acc[n] += sum_e value[e] * M[index[e], n]    walk surviving weights
    (with `fresh`, acc starts at zero)

`active`, `lowest`  which of 64 spikes are set, and where the first of them is

Arguments are (array, element offset) pairs. Nothing is checked here.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic

#: untyped: an intrinsic is called without its first argument, which type checkers would miss
intrinsic: Any = numba_intrinsic

_FEATURES = llvm.get_host_cpu_features()
#: bytes of one vector register
REGISTER = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
#: rows of a register tile and vectors per row (28 + 2 + 1 of 32 registers, or 12 + 2 + 1 of 16)
TILE_ROWS = 14 if REGISTER == 64 else 6
TILE_VECTORS = 2
#: columns of a register tile, float32; float64 has half as many lanes and uses two tiles
LANES = REGISTER // 4
TILE_COLUMNS = TILE_VECTORS * LANES
#: columns that one event walk accumulates in registers: the wide and the narrow variant
WIDE = 4 * 16
NARROW = 16


def element(dtype: Any) -> ir.Type:
    """LLVM type of an element of the working float type."""
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def pointer_to(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def splat_constant(vector: ir.Type, value: float) -> Any:
    """A vector that holds one value in every lane."""
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def _splat(builder: Any, value: Any, vector: ir.Type) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def load(builder: Any, pointer: Any, vector: ir.Type, width: int) -> Any:
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = width
    return loaded


def store(builder: Any, value: Any, pointer: Any, vector: ir.Type, width: int) -> None:
    stored = builder.store(value, builder.bitcast(pointer, vector.as_pointer()))
    stored.align = width


def multiply_add(builder: Any, vector: ir.Type, a: Any, b: Any, c: Any) -> Any:
    suffix = f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"
    kind = ir.FunctionType(vector, [vector] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{suffix}")
    return builder.call(function, [a, b, c])


def _tile(rows: int) -> Any:
    """Intrinsic for a register tile of `rows` rows."""

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        typing_context, a, a0, row_stride, k_stride, b, b0, b_stride, c, c0, c_stride, depth,
        accumulate,
    ):  # fmt: skip
        index = types.intp
        signature = types.void(
            a, index, index, index, b, index, index, c, index, index, index, types.boolean
        )

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            (a, a0, rs, ks, b, b0, bs, c, c0, cs, depth, accumulate) = args
            scalar = element(sig.args[0].dtype)
            width = 4 if isinstance(scalar, ir.FloatType) else 8
            lanes = REGISTER // width
            vector = ir.VectorType(scalar, lanes)
            word = ir.IntType(64)
            pa = pointer_to(context, builder, sig.args[0], a, a0)
            pb = pointer_to(context, builder, sig.args[4], b, b0)
            pc = pointer_to(context, builder, sig.args[7], c, c0)
            targets = [
                builder.gep(pc, [builder.add(builder.mul(cs, word(r)), word(v * lanes))])
                for r in range(rows)
                for v in range(TILE_VECTORS)
            ]
            zero = ir.Constant(vector, None)
            start = builder.block
            with builder.if_then(accumulate):
                loaded = [load(builder, p, vector, width) for p in targets]
                load_block = builder.block
            merge = builder.block
            initial = []
            for value in loaded:
                phi = builder.phi(vector)
                phi.add_incoming(zero, start)
                phi.add_incoming(value, load_block)
                initial.append(phi)
            loop = builder.append_basic_block("k")
            done = builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(word)
            k.add_incoming(word(0), merge)
            acc = []
            for value in initial:
                phi = builder.phi(vector)
                phi.add_incoming(value, merge)
                acc.append(phi)
            row = builder.gep(pb, [builder.mul(k, bs)])
            bv = [
                load(builder, builder.gep(row, [word(v * lanes)]), vector, width)
                for v in range(TILE_VECTORS)
            ]
            column = builder.gep(pa, [builder.mul(k, ks)])
            new = []
            for r in range(rows):
                value = builder.load(builder.gep(column, [builder.mul(rs, word(r))]))
                av = _splat(builder, value, vector)
                for v in range(TILE_VECTORS):
                    new.append(multiply_add(builder, vector, av, bv[v], acc[r * TILE_VECTORS + v]))
            following = builder.add(k, word(1))
            k.add_incoming(following, loop)
            for phi, value in zip(acc, new, strict=True):
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
            builder.position_at_end(done)
            for value, p in zip(new, targets, strict=True):
                store(builder, value, p, vector, width)
            return context.get_dummy_value()

        return signature, codegen

    return tile


tile = _tile(TILE_ROWS)


def _gather(columns: int, scaled: bool) -> Any:
    """Intrinsic that adds up rows of `m` named by a slice of `index` (optionally scaled)."""

    def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if scaled:
            m, m0, stride, index, start, stop, value, acc, acc0, fresh = args
            acc_type = sig.args[7]
        else:
            m, m0, stride, index, start, stop, acc, acc0, fresh = args
            acc_type = sig.args[6]
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        count = columns // lanes
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        pm = pointer_to(context, builder, sig.args[0], m, m0)
        pi = pointer_to(context, builder, sig.args[3], index, word(0))
        pacc = pointer_to(context, builder, acc_type, acc, acc0)
        targets = [builder.gep(pacc, [word(v * lanes)]) for v in range(count)]
        zero = ir.Constant(vector, None)
        starts = [cgutils.alloca_once_value(builder, zero) for _ in targets]
        with builder.if_then(builder.not_(fresh)):
            for cell, p in zip(starts, targets, strict=True):
                builder.store(load(builder, p, vector, width), cell)
        before = [builder.load(cell) for cell in starts]
        pv = pointer_to(context, builder, sig.args[6], value, word(0)) if scaled else None

        def visit(e: Any, sums: list[Any]) -> list[Any]:
            """Add the row that list entry e names."""
            which = builder.load(builder.gep(pi, [e]))
            which = builder.zext(which, word) if which.type.width < 64 else which
            row = builder.gep(pm, [builder.mul(which, stride)])
            rows = [
                load(builder, builder.gep(row, [word(v * lanes)]), vector, width)
                for v in range(count)
            ]
            if pv is None:
                return [builder.fadd(a, r) for r, a in zip(rows, sums, strict=True)]
            weight = _splat(builder, builder.load(builder.gep(pv, [e])), vector)
            return [
                multiply_add(builder, vector, weight, r, a)
                for r, a in zip(rows, sums, strict=True)
            ]

        # several independent sums hide the latency of an addition where a row is one register
        ways = max(1, 4 // count)
        cells = [
            [cgutils.alloca_once_value(builder, before[v] if way == 0 else zero)
             for v in range(count)]
            for way in range(ways)
        ]  # fmt: skip
        split = builder.sub(stop, builder.srem(builder.sub(stop, start), word(ways)))

        def walk(first: Any, last: Any, step: int) -> None:
            with cgutils.for_range_slice(builder, first, last, word(step), word) as (e, _):
                for way in range(step):
                    sums = visit(
                        builder.add(e, word(way)), [builder.load(c) for c in cells[way]]
                    )
                    for cell, total in zip(cells[way], sums, strict=True):
                        builder.store(total, cell)

        if ways == 1:
            walk(start, stop, 1)
        else:
            walk(start, split, ways)
            walk(split, stop, 1)
        for v, p in enumerate(targets):
            total = builder.load(cells[0][v])
            for way in range(1, ways):
                total = builder.fadd(total, builder.load(cells[way][v]))
            store(builder, total, p, vector, width)
        return context.get_dummy_value()

    if scaled:

        @intrinsic
        def gather_scaled(  # type: ignore[no-untyped-def]
            typing_context, m, m0, stride, index, start, stop, value, acc, acc0, fresh
        ):
            i = types.intp
            return types.void(m, i, i, index, i, i, value, acc, i, types.boolean), emit

        return gather_scaled

    @intrinsic
    def gather(  # type: ignore[no-untyped-def]
        typing_context, m, m0, stride, index, start, stop, acc, acc0, fresh
    ):
        i = types.intp
        return types.void(m, i, i, index, i, i, acc, i, types.boolean), emit

    return gather


gather = _gather(WIDE, scaled=False)
gather_narrow = _gather(NARROW, scaled=False)
gather_scaled = _gather(WIDE, scaled=True)
gather_scaled_narrow = _gather(NARROW, scaled=True)


@intrinsic
def scatter_narrow(typing_context, m, m0, index, start, stop, acc, acc0):  # type: ignore[no-untyped-def]
    """acc[acc0 + index[e]*NARROW + n] += m[m0 + n] for the list entries e, n < NARROW."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        m, m0, index, start, stop, acc, acc0 = args
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        pm = pointer_to(context, builder, sig.args[0], m, m0)
        pi = pointer_to(context, builder, sig.args[2], index, word(0))
        pacc = pointer_to(context, builder, sig.args[5], acc, acc0)
        parts = [word(v * lanes) for v in range(NARROW // lanes)]
        rows = [load(builder, builder.gep(pm, [part]), vector, width) for part in parts]
        with cgutils.for_range_slice(builder, start, stop, word(1), word) as (e, _):
            which = builder.load(builder.gep(pi, [e]))
            which = builder.zext(which, word) if which.type.width < 64 else which
            target = builder.gep(pacc, [builder.mul(which, word(NARROW))])
            for part, row in zip(parts, rows, strict=True):
                p = builder.gep(target, [part])
                store(
                    builder, builder.fadd(load(builder, p, vector, width), row), p, vector, width
                )
        return context.get_dummy_value()

    i = types.intp
    return types.void(m, i, index, i, i, acc, i), codegen


@intrinsic
def copy_panel(typing_context, m, m0, stride, rows, panel, p0):  # type: ignore[no-untyped-def]
    """panel[p0 + r*WIDE + n] = m[m0 + r*stride + n] for r < rows, n < WIDE."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        m, m0, stride, rows, panel, p0 = args
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        pm = pointer_to(context, builder, sig.args[0], m, m0)
        pp = pointer_to(context, builder, sig.args[4], panel, p0)
        with cgutils.for_range(builder, rows) as loop:
            source = builder.gep(pm, [builder.mul(loop.index, stride)])
            target = builder.gep(pp, [builder.mul(loop.index, word(WIDE))])
            for v in range(0, WIDE, lanes):
                row = load(builder, builder.gep(source, [word(v)]), vector, width)
                store(builder, row, builder.gep(target, [word(v)]), vector, width)
        return context.get_dummy_value()

    i = types.intp
    return types.void(m, i, i, i, panel, i), codegen


#: entries that one `active` call looks at
MASK = 64


@intrinsic
def active(typing_context, flags, offset):  # type: ignore[no-untyped-def]
    """Bit i of the result tells whether flags[offset + i] is not zero, for 64 uint8 or floats."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        floats = isinstance(sig.args[0].dtype, types.Float)
        vector = ir.VectorType(element(sig.args[0].dtype) if floats else ir.IntType(8), MASK)
        pointer = pointer_to(context, builder, sig.args[0], args[0], args[1])
        loaded = load(builder, pointer, vector, 4 if floats else 1)
        zero = ir.Constant(vector, None)
        if floats:
            bits = builder.fcmp_unordered("!=", loaded, zero)
        else:
            bits = builder.icmp_unsigned("!=", loaded, zero)
        return builder.bitcast(bits, ir.IntType(64))

    return types.uint64(flags, types.intp), codegen


@intrinsic
def lowest(typing_context, bits):  # type: ignore[no-untyped-def]
    """Position of the lowest set bit."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.intp(types.uint64), codegen


def _interleave(builder: Any, a: Any, b: Any, high: bool) -> Any:
    """a0 b0 a1 b1 ... of the lower or upper halves."""
    lanes = a.type.count
    first = lanes // 2 if high else 0
    picks = [first + i // 2 + (lanes if i % 2 else 0) for i in range(lanes)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), picks)
    return builder.shuffle_vector(a, b, mask)


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
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

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        a, a0, row_stride, depth, strip, s0 = args
        scalar = element(sig.args[0].dtype)
        width = 4 if isinstance(scalar, ir.FloatType) else 8
        lanes = REGISTER // width
        vector = ir.VectorType(scalar, lanes)
        word = ir.IntType(64)
        pa = pointer_to(context, builder, sig.args[0], a, a0)
        ps = pointer_to(context, builder, sig.args[4], strip, s0)
        blocks = builder.sdiv(depth, word(lanes))
        with cgutils.for_range(builder, blocks) as loop:
            k = builder.mul(loop.index, word(lanes))
            groups = []
            for first in range(0, TILE_ROWS, lanes):
                rows = []
                for r in range(first, first + lanes):
                    if r >= TILE_ROWS:
                        rows.append(ir.Constant(vector, None))
                        continue
                    source = builder.gep(pa, [builder.add(builder.mul(row_stride, word(r)), k)])
                    rows.append(load(builder, source, vector, width))
                groups.append(_transposed(builder, rows))
            for i in range(lanes):
                at = builder.mul(builder.add(k, word(i)), word(TILE_ROWS))
                for g, columns in enumerate(groups):
                    target = builder.gep(ps, [builder.add(at, word(g * lanes))])
                    store(builder, columns[i], target, vector, width)
        return builder.mul(blocks, word(lanes))

    i = types.intp
    return types.intp(a, i, i, i, strip, i), codegen

