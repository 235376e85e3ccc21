"""Walks over lists of connections and neurons in registers, for spikes packed as bits.

A lane is one image at one time step; a word holds 64 of them. The equations of the neurons are
those of `snnr.kernels.rules`, on whole registers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from snnr.kernels import rules
from snnr.kernels.cpu.neuron.lanes import Lanes
from snnr.kernels.cpu.parts.vector import (
    INDEX,
    REGISTER,
    WORD,
    Vectors,
    intrinsic,
    one_type,
    pointer_to,
)

#: they compute with `Lanes` as well as with floats
_RULES: Any = rules
#: float32 lanes of a register
WIDTH = REGISTER // 4


def _vectors(context: Any, builder: Any, kind: Any, lanes: int) -> Vectors:
    """Registers that hold `lanes` lanes, or as many as one can."""
    return Vectors(context, builder, kind, min(lanes, WIDTH))


def _mask(builder: Any, v: Vectors, word: Any, first: int) -> Any:
    """Truth values of the lanes from `first` on."""
    piece = builder.lshr(word, WORD(first)) if first else word
    return builder.bitcast(
        builder.trunc(piece, ir.IntType(v.lanes)), ir.VectorType(ir.IntType(1), v.lanes)
    )


def _bits(builder: Any, v: Vectors, truth: Any) -> Any:
    """Truth values as the lowest bits of a word."""
    return builder.zext(builder.bitcast(truth, ir.IntType(v.lanes)), WORD)


def _gather_bits(lanes: int) -> Any:
    """acc[acc0 + n] = sum of value[e] over the entries e in start..stop whose word, that is
    words[w0 + index[e]*stride], has bit n set; n < lanes."""

    @intrinsic
    def gather_bits(  # type: ignore[no-untyped-def]
        typing_context, words, w0, stride, index, start, stop, value, acc, acc0
    ):
        one_type(value, acc)

        def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
            words, w0, stride, index, start, stop, value, acc, acc0 = args
            v = _vectors(context, builder, sig.args[6], lanes)
            count = lanes // v.lanes
            pw = pointer_to(context, builder, sig.args[0], words, w0)
            pi = pointer_to(context, builder, sig.args[3], index, WORD(0))
            pv = v.pointer(sig.args[6], value, WORD(0))
            pacc = v.pointer(sig.args[7], acc, acc0)
            # several independent sums hide the latency of an addition
            ways = max(1, 4 // count)
            cells = [
                [cgutils.alloca_once_value(builder, v.zero) for _ in range(count)]
                for _ in range(ways)
            ]

            def visit(e: Any, mine: list[Any]) -> None:
                name = builder.zext(builder.load(builder.gep(pi, [e])), WORD)
                word = builder.load(builder.gep(pw, [builder.mul(name, stride)]))
                weight = v.splat(builder.load(builder.gep(pv, [e])))
                for part, cell in enumerate(mine):
                    total = builder.load(cell)
                    mask = _mask(builder, v, word, part * v.lanes)
                    grown = builder.fadd(total, weight)
                    builder.store(builder.select(mask, grown, total), cell)

            def walk(first: Any, last: Any, step: int) -> None:
                with cgutils.for_range_slice(builder, first, last, WORD(step), WORD) as (e, _):
                    for way in range(step):
                        visit(builder.add(e, WORD(way)), cells[way])

            split = builder.sub(stop, builder.srem(builder.sub(stop, start), WORD(ways)))
            walk(start, split, ways)
            if ways > 1:
                walk(split, stop, 1)
            for part in range(count):
                total = builder.load(cells[0][part])
                for way in range(1, ways):
                    total = builder.fadd(total, builder.load(cells[way][part]))
                v.store(total, v.at(pacc, part * v.lanes))
            return context.get_dummy_value()

        i = INDEX
        return types.void(words, i, i, index, i, i, value, acc, i), emit

    return gather_bits


gather_bits_16 = _gather_bits(16)
gather_bits_32 = _gather_bits(32)
gather_bits_64 = _gather_bits(64)


def _scatter_bits(lanes: int) -> Any:
    """acc[acc0 + index[e]*lanes + n] += value[e] where bit n of the word is set, n < lanes."""

    @intrinsic
    def scatter_bits(typing_context, word, index, start, stop, value, acc, acc0):  # type: ignore[no-untyped-def]
        one_type(value, acc)

        def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
            word, index, start, stop, value, acc, acc0 = args
            v = _vectors(context, builder, sig.args[4], lanes)
            pi = pointer_to(context, builder, sig.args[1], index, WORD(0))
            pv = v.pointer(sig.args[4], value, WORD(0))
            pacc = v.pointer(sig.args[5], acc, acc0)
            masks = [_mask(builder, v, word, first) for first in range(0, lanes, v.lanes)]
            with cgutils.for_range_slice(builder, start, stop, WORD(1), WORD) as (e, _):
                name = builder.zext(builder.load(builder.gep(pi, [e])), WORD)
                weight = v.splat(builder.load(builder.gep(pv, [e])))
                target = v.at(pacc, builder.mul(name, WORD(lanes)))
                for part, mask in enumerate(masks):
                    p = v.at(target, part * v.lanes)
                    total = v.load(p)
                    v.store(builder.select(mask, builder.fadd(total, weight), total), p)
            return context.get_dummy_value()

        i = INDEX
        return types.void(types.uint64, index, i, i, value, acc, i), emit

    return scatter_bits


scatter_bits_4 = _scatter_bits(4)
scatter_bits_8 = _scatter_bits(8)
scatter_bits_16 = _scatter_bits(16)


def _gather_rows(steps: int) -> Any:
    """acc[acc0 + 16*t + x] = sum of value[e] over the entries e in start..stop for which bit
    x0 + x + code[e] % 64 of rows[r0 + code[e] // 64 * stride + t] is set; x < 16, t < steps."""

    @intrinsic
    def gather_rows(  # type: ignore[no-untyped-def]
        typing_context, rows, r0, stride, x0, code, start, stop, value, acc, acc0
    ):
        one_type(value, acc)

        def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
            rows, r0, stride, x0, code, start, stop, value, acc, acc0 = args
            v = _vectors(context, builder, sig.args[7], 16)
            pr = pointer_to(context, builder, sig.args[0], rows, r0)
            pc = pointer_to(context, builder, sig.args[4], code, WORD(0))
            pv = v.pointer(sig.args[7], value, WORD(0))
            pacc = v.pointer(sig.args[8], acc, acc0)
            parts = range(0, 16, v.lanes)
            cells = [[cgutils.alloca_once_value(builder, v.zero) for _ in parts]
                     for _ in range(steps)]  # fmt: skip
            with cgutils.for_range_slice(builder, start, stop, WORD(1), WORD) as (e, _):
                name = builder.zext(builder.load(builder.gep(pc, [e])), WORD)
                row = builder.mul(builder.lshr(name, WORD(6)), stride)
                shift = builder.add(builder.and_(name, WORD(63)), x0)
                weight = v.splat(builder.load(builder.gep(pv, [e])))
                for t, mine in enumerate(cells):
                    bits = builder.load(builder.gep(pr, [builder.add(row, WORD(t))]))
                    bits = builder.lshr(bits, shift)
                    for first, cell in zip(parts, mine, strict=True):
                        total = builder.load(cell)
                        grown = builder.fadd(total, weight)
                        mask = _mask(builder, v, bits, first)
                        builder.store(builder.select(mask, grown, total), cell)
            for t, mine in enumerate(cells):
                for first, cell in zip(parts, mine, strict=True):
                    v.store(builder.load(cell), v.at(pacc, 16 * t + first))
            return context.get_dummy_value()

        i = INDEX
        return types.void(rows, i, i, i, code, i, i, value, acc, i), emit

    return gather_rows


gather_rows_1 = _gather_rows(1)
gather_rows_4 = _gather_rows(4)


def _step(lanes: int, soft: bool) -> Any:
    """One time step of `lanes` neurons with one gain and offset: charge from z[z0..], fire, reset
    v[v0..] in place; returns who fired. `scalars` are decay, drive, rest, threshold, reset. With
    `fresh` the neurons start from their reset instead of v."""

    @intrinsic
    def step(typing_context, z, z0, gain, offset, scalars, s0, v, v0, fresh):  # type: ignore[no-untyped-def]
        one_type(z, scalars, v)

        def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
            z, z0, gain, offset, scalars, s0, potential, v0, fresh = args
            v = _vectors(context, builder, sig.args[0], lanes)
            pz = v.pointer(sig.args[0], z, z0)
            ps = v.pointer(sig.args[4], scalars, s0)
            pv = v.pointer(sig.args[6], potential, v0)

            def lanes_of(value: Any) -> Any:
                return Lanes(builder, v, value)

            decay, drive, rest, threshold, reset = (
                lanes_of(v.splat(builder.load(v.at(ps, place)))) for place in range(5)
            )
            g, o = lanes_of(v.splat(gain)), lanes_of(v.splat(offset))
            word: Any = ir.Constant(WORD, 0)
            for first in range(0, lanes, v.lanes):
                here = v.at(pv, first)
                current = lanes_of(v.load(v.at(pz, first))) * g + o
                before = builder.select(fresh, reset.value, v.load(here))
                h = _RULES.charge(lanes_of(before), current, decay, drive, rest)
                fired = _RULES.fire(h, threshold)
                s = fired.choose(1.0, 0.0)
                after = (
                    _RULES.reset_soft(h, s, threshold) if soft else _RULES.reset_hard(h, s, reset)
                )
                v.store(after.value, here)
                part = _bits(builder, v, fired.value)
                word = builder.or_(word, builder.shl(part, WORD(first)))
            return word

        i = INDEX
        return types.uint64(z, i, z.dtype, z.dtype, scalars, i, v, i, types.boolean), emit

    return step


step_hard_1, step_hard_2, step_hard_4, step_hard_8 = (_step(n, False) for n in (1, 2, 4, 8))
step_hard_16, step_hard_32, step_hard_64 = (_step(n, False) for n in (16, 32, 64))
step_soft_1, step_soft_2, step_soft_4, step_soft_8 = (_step(n, True) for n in (1, 2, 4, 8))
step_soft_16, step_soft_32, step_soft_64 = (_step(n, True) for n in (16, 32, 64))


def _reached(lanes: int) -> Any:
    """out[o0 + k] = which of gain*z[z0 + n] + offset, n < lanes, are at least bound[b0 + k], for
    k < count; returns the last of these words."""

    @intrinsic
    def reached(typing_context, z, z0, gain, offset, bound, b0, count, out, o0):  # type: ignore[no-untyped-def]
        one_type(z, bound)

        def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
            z, z0, gain, offset, bound, b0, count, out, o0 = args
            v = _vectors(context, builder, sig.args[0], lanes)
            pz = v.pointer(sig.args[0], z, z0)
            pb = v.pointer(sig.args[4], bound, b0)
            po = pointer_to(context, builder, sig.args[7], out, o0)
            g, o = v.splat(gain), v.splat(offset)
            parts = range(0, lanes, v.lanes)
            currents = [
                builder.fadd(builder.fmul(v.load(v.at(pz, first)), g), o) for first in parts
            ]
            last = cgutils.alloca_once_value(builder, ir.Constant(WORD, 0))
            with cgutils.for_range(builder, count) as loop:
                edge = v.splat(builder.load(builder.gep(pb, [loop.index])))
                word: Any = ir.Constant(WORD, 0)
                for first, current in zip(parts, currents, strict=True):
                    truth = builder.fcmp_ordered(">=", current, edge)
                    part = builder.shl(_bits(builder, v, truth), WORD(first))
                    word = builder.or_(word, part)
                builder.store(word, builder.gep(po, [loop.index]))
                builder.store(word, last)
            return builder.load(last)

        i = INDEX
        one = z.dtype
        return types.uint64(z, i, one, one, bound, i, i, out, i), emit

    return reached


reached_16 = _reached(16)
reached_32 = _reached(32)
reached_64 = _reached(64)


# Elements without the test for negative indices, which would cost as much as the rest


@intrinsic
def get(typing_context, array, place):  # type: ignore[no-untyped-def]
    """array[place]."""

    def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.load(pointer_to(context, builder, sig.args[0], *args))

    return array.dtype(array, INDEX), emit


@intrinsic
def put(typing_context, array, place, value):  # type: ignore[no-untyped-def]
    """array[place] = value."""

    def emit(context, builder, sig, args):  # type: ignore[no-untyped-def]
        builder.store(args[2], pointer_to(context, builder, sig.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, INDEX, array.dtype), emit


def critical_currents(neuron: rules.Neuron, steps: int) -> np.ndarray[Any, Any]:
    """float32 ``[steps]``: the smallest constant current that makes a neuron with hard reset fire
    in step 1, within 2 steps, within 3 steps, ...; infinite where none does.

    Charging is monotone in the current, also in floating point, so that bisection over the float32
    numbers finds the very one. From its reset on, a neuron under a constant current does the same
    again: it fires every k steps, with the smallest k whose critical current it reaches.
    """
    names = ("decay", "drive", "rest", "v_threshold", "v_reset")
    decay, drive, rest, threshold, reset = (np.float32(getattr(neuron, key)) for key in names)
    # float32 numbers in order, as whole numbers
    low = np.full(steps, _ordered(-np.finfo(np.float32).max), np.int64)
    high = np.full(steps, _ordered(np.finfo(np.float32).max), np.int64)
    turn = np.arange(1, steps + 1)

    def fires(current: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        v: Any = np.full(steps, reset, np.float32)
        first = np.zeros(steps, np.int64)
        for t in range(1, steps + 1):
            v = decay * v + drive * current + rest
            first[(first == 0) & (v >= threshold)] = t
        return (first > 0) & (first <= turn)

    with np.errstate(over="ignore", invalid="ignore"):
        never = ~fires(_number(high))
        while (low < high).any():
            middle = (low + high) // 2
            reaches = fires(_number(middle))
            high = np.where(reaches, middle, high)
            low = np.where(reaches, low, np.minimum(middle + 1, high))
        found = _number(high)
    return np.where(never, np.float32(np.inf), found)


def _ordered(number: Any) -> int:
    bits = int(np.float32(number).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _number(place: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    size = np.abs(place).astype(np.int32).view(np.float32)
    return np.where(place < 0, -size, size).astype(np.float32)
