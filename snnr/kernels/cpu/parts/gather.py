"""Walks over lists, in registers.

`gather`         acc[n] += sum_e M[index[e], n]: walk spikes, adding up the rows they name
`gather_scaled`  acc[n] += sum_e value[e] * M[index[e], n]: walk surviving weights
`scatter_narrow` acc[index[e], n] += M[n]: add one row to those that a list names

The first two come for panels of WIDE_PANEL columns and, as `..._narrow`, of NARROW_PANEL; with
`fresh` the sums start at zero.
"""

from typing import Any

from numba import types
from numba.core import cgutils

from snnr.kernels.cpu.parts.vector import INDEX, WORD, Vectors, intrinsic, one_type, pointer_to

#: columns that one walk sums up in registers: the wide and the narrow variant
WIDE_PANEL = 4 * 16
NARROW_PANEL = 16


def _named(builder: Any, index: Any, e: Any) -> Any:
    """List entry e, as a word."""
    which = builder.load(builder.gep(index, [e]))
    return builder.zext(which, WORD) if which.type.width < 64 else which


def _gather(columns: int, scaled: bool, stream: bool = False) -> Any:
    """Intrinsic that adds up rows of `m` named by a slice of `index` (optionally scaled).

    With `stream` the sums, aligned to a register, are written past the caches.
    """

    def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if scaled:
            m, m0, stride, index, start, stop, value, acc, acc0, fresh = args
            acc_type = sig.args[7]
        else:
            m, m0, stride, index, start, stop, acc, acc0, fresh = args
            acc_type = sig.args[6]
        v = Vectors(context, builder, sig.args[0])
        count = columns // v.lanes
        pm = v.pointer(sig.args[0], m, m0)
        pi = pointer_to(context, builder, sig.args[3], index, WORD(0))
        pacc = v.pointer(acc_type, acc, acc0)
        targets = [v.at(pacc, part * v.lanes) for part in range(count)]
        starts = [cgutils.alloca_once_value(builder, v.zero) for _ in targets]
        with builder.if_then(builder.not_(fresh)):
            for cell, p in zip(starts, targets, strict=True):
                builder.store(v.load(p), cell)
        before = [builder.load(cell) for cell in starts]
        pv = v.pointer(sig.args[6], value, WORD(0)) if scaled else None

        def visit(e: Any, sums: list[Any]) -> list[Any]:
            """Add the row that list entry e names."""
            row = v.at(pm, builder.mul(_named(builder, pi, e), stride))
            rows = [v.load(v.at(row, part * v.lanes)) for part in range(count)]
            if pv is None:
                return [builder.fadd(a, r) for r, a in zip(rows, sums, strict=True)]
            weight = v.splat(builder.load(builder.gep(pv, [e])))
            return [v.multiply_add(weight, r, a) for r, a in zip(rows, sums, strict=True)]

        # several independent sums hide the latency of an addition where a row is one register
        ways = max(1, 4 // count)
        cells = [
            [cgutils.alloca_once_value(builder, before[part] if way == 0 else v.zero)
             for part in range(count)]
            for way in range(ways)
        ]  # fmt: skip
        split = builder.sub(stop, builder.srem(builder.sub(stop, start), WORD(ways)))

        def walk(first: Any, last: Any, step: int) -> None:
            with cgutils.for_range_slice(builder, first, last, WORD(step), WORD) as (e, _):
                for way in range(step):
                    sums = visit(builder.add(e, WORD(way)), [builder.load(c) for c in cells[way]])
                    for cell, total in zip(cells[way], sums, strict=True):
                        builder.store(total, cell)

        if ways == 1:
            walk(start, stop, 1)
        else:
            walk(start, split, ways)
            walk(split, stop, 1)
        for part, p in enumerate(targets):
            total = builder.load(cells[0][part])
            for way in range(1, ways):
                total = builder.fadd(total, builder.load(cells[way][part]))
            v.store(total, p, stream)
        return context.get_dummy_value()

    i = INDEX
    if scaled:

        @intrinsic
        def gather_scaled(  # type: ignore[no-untyped-def]
            typing_context, m, m0, stride, index, start, stop, value, acc, acc0, fresh
        ):
            one_type(m, value, acc)
            return types.void(m, i, i, index, i, i, value, acc, i, types.boolean), emit

        return gather_scaled

    @intrinsic
    def gather(  # type: ignore[no-untyped-def]
        typing_context, m, m0, stride, index, start, stop, acc, acc0, fresh
    ):
        one_type(m, acc)
        return types.void(m, i, i, index, i, i, acc, i, types.boolean), emit

    return gather


gather = _gather(WIDE_PANEL, scaled=False)
gather_narrow = _gather(NARROW_PANEL, scaled=False)
gather_stream = _gather(WIDE_PANEL, scaled=False, stream=True)
gather_scaled = _gather(WIDE_PANEL, scaled=True)
gather_scaled_narrow = _gather(NARROW_PANEL, scaled=True)


@intrinsic
def scatter_narrow(typing_context, m, m0, index, start, stop, acc, acc0):  # type: ignore[no-untyped-def]
    """acc[acc0 + index[e]*NARROW_PANEL + n] += m[m0 + n] for list entries e, n < NARROW_PANEL."""
    one_type(m, acc)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        m, m0, index, start, stop, acc, acc0 = args
        v = Vectors(context, builder, sig.args[0])
        pm = v.pointer(sig.args[0], m, m0)
        pi = pointer_to(context, builder, sig.args[2], index, WORD(0))
        pacc = v.pointer(sig.args[5], acc, acc0)
        parts = range(0, NARROW_PANEL, v.lanes)
        rows = [v.load(v.at(pm, part)) for part in parts]
        with cgutils.for_range_slice(builder, start, stop, WORD(1), WORD) as (e, _):
            target = v.at(pacc, builder.mul(_named(builder, pi, e), WORD(NARROW_PANEL)))
            for part, row in zip(parts, rows, strict=True):
                p = v.at(target, part)
                v.store(builder.fadd(v.load(p), row), p)
        return context.get_dummy_value()

    i = INDEX
    return types.void(m, i, index, i, i, acc, i), codegen


@intrinsic
def copy_panel(typing_context, m, m0, stride, rows, panel, p0):  # type: ignore[no-untyped-def]
    """panel[p0 + r*WIDE_PANEL + n] = m[m0 + r*stride + n] for r < rows, n < WIDE_PANEL."""
    one_type(m, panel)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        m, m0, stride, rows, panel, p0 = args
        v = Vectors(context, builder, sig.args[0])
        pm = v.pointer(sig.args[0], m, m0)
        pp = v.pointer(sig.args[4], panel, p0)
        with cgutils.for_range(builder, rows) as loop:
            source = v.at(pm, builder.mul(loop.index, stride))
            target = v.at(pp, builder.mul(loop.index, WORD(WIDE_PANEL)))
            for part in range(0, WIDE_PANEL, v.lanes):
                v.store(v.load(v.at(source, part)), v.at(target, part))
        return context.get_dummy_value()

    i = INDEX
    return types.void(m, i, i, i, panel, i), codegen
