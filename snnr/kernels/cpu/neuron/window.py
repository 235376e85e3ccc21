"""One 2x2 window of neurons over the whole sequence, in registers: spikes, pooled, and back.

A window is four pixels of a channels-last image; `x0` is where its first channel lies, `row` and
`pixel` lead to the neighbours below and beside, `step` to the next time step. `scalars` are those
of a `Neuron`, see `scalars_of`. A register holds neighbouring channels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from snnr.kernels import rules
from snnr.kernels.cpu.neuron.lanes import Lanes, small
from snnr.kernels.cpu.parts.vector import INDEX, WORD, Vectors, intrinsic, one_type, pointer_to

#: they compute with `Lanes` as well as with floats
_RULES: Any = rules


def scalars_of(neuron: rules.Neuron, dtype: Any) -> NDArray[Any]:
    """What the kernels below need to know of a neuron, in their float type."""
    return np.array(
        [
            neuron.decay,
            neuron.drive,
            neuron.rest,
            neuron.v_threshold,
            neuron.v_reset,
            rules.surrogate_slope(neuron.surrogate, neuron.alpha),
            rules.surrogate_peak(neuron.surrogate, neuron.alpha),
        ],
        dtype,
    )


class _Window:
    """What forward and backward share, for `lanes` channels at a time."""

    def __init__(  # type: ignore[no-untyped-def]
        self, context, builder, sig, args, lanes: int
    ) -> None:
        (x, x0, row, pixel, step, static, steps, _, gain, offset, scalars, *_) = args
        kinds = sig.args
        self.builder = builder
        self.v = v = Vectors(context, builder, kinds[0], lanes)
        self.steps = steps
        self.static = static
        self.x = v.pointer(kinds[0], x, x0)
        self.step = step
        self.places = [
            builder.add(builder.mul(row, WORD(q // 2)), builder.mul(pixel, WORD(q % 2)))
            for q in range(4)
        ]
        self.gain = v.pointer(kinds[8], gain, WORD(0))
        self.offset = v.pointer(kinds[9], offset, WORD(0))
        numbers = v.pointer(kinds[10], scalars, WORD(0))
        (
            self.decay, self.drive, self.rest, self.threshold, self.v_reset, self.slope, self.peak,
        ) = (self.lanes(v.splat(builder.load(v.at(numbers, i)))) for i in range(7))  # fmt: skip

    def lanes(self, value: Any) -> Lanes:
        return Lanes(self.builder, self.v, value)

    def cell(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self.builder, value)

    def load(self, pointer: Any) -> Lanes:
        return self.lanes(self.v.load(pointer))

    def pixel(self, t: Any, q: int, c: Any) -> Any:
        """Offset of channel c of pixel q at step t."""
        b = self.builder
        return b.add(b.add(b.mul(t, self.step), self.places[q]), c)

    def current(self, t: Any, q: int, c: Any, gain: Lanes, offset: Lanes) -> Lanes:
        return gain * self.load(self.v.at(self.x, self.pixel(t, q, c))) + offset

    def run(
        self, c: Any, soft: bool, visit: Callable[[Any, list[Lanes], list[Lanes]], None]
    ) -> None:
        """All steps of the neurons at channel c: `visit(t, potentials, fired)`."""
        b = self.builder
        gain, offset = (self.load(self.v.at(p, c)) for p in (self.gain, self.offset))
        z = [self.cell(self.current(WORD(0), q, c, gain, offset).value) for q in range(4)]
        v = [self.cell(self.v_reset.value) for _ in range(4)]
        with cgutils.for_range(b, self.steps) as loop:
            t = loop.index
            with b.if_then(b.not_(self.static)):
                for q in range(4):
                    b.store(self.current(t, q, c, gain, offset).value, z[q])
            potentials, fired = [], []
            for q in range(4):
                before, drive = (self.lanes(b.load(cell[q])) for cell in (v, z))
                h = _RULES.charge(before, drive, self.decay, self.drive, self.rest)
                spike = _RULES.fire(h, self.threshold)
                s = spike.choose(1.0, 0.0)
                if soft:
                    after = _RULES.reset_soft(h, s, self.threshold)
                else:
                    after = _RULES.reset_hard(h, s, self.v_reset)
                b.store(after.value, v[q])
                potentials.append(h)
                fired.append(spike)
            visit(t, potentials, fired)


def _over_channels(  # type: ignore[no-untyped-def]
    context, builder, sig, args, body: Callable[[_Window, Any], None]
) -> None:
    """Run `body(window, channel)` for whole registers of channels, then for single ones."""
    channels = args[7]
    start = WORD(0)
    for lanes in (Vectors(context, builder, sig.args[0]).lanes, 1):
        window = _Window(context, builder, sig, args, lanes)
        stop = builder.sub(channels, builder.srem(channels, WORD(lanes)))
        with cgutils.for_range_slice(builder, start, stop, WORD(lanes), WORD) as (c, _):
            body(window, c)
        start = stop


def _bytes(window: _Window, pointer: Any, at: Any) -> Any:
    kind = ir.VectorType(ir.IntType(8), window.v.lanes)
    b = window.builder
    return b.bitcast(b.gep(pointer, [at]), kind.as_pointer())


def _fire(soft: bool) -> Any:
    @intrinsic
    def fire_window(  # type: ignore[no-untyped-def]
        typing_context, x, x0, row, pixel, step, static, steps, channels, gain, offset, scalars,
        out, index, o0, o_step,
    ):  # fmt: skip
        one_type(x, gain, offset, scalars)

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            out, index, o0, o_step = args[11:]
            pout = pointer_to(context, builder, sig.args[11], out, o0)
            pindex = pointer_to(context, builder, sig.args[12], index, o0)

            def body(window: _Window, c: Any) -> None:
                def visit(t: Any, potentials: list[Lanes], fired: list[Lanes]) -> None:
                    v = window.v
                    first = small(v, 0)
                    for q in (3, 2, 1, 0):
                        first = builder.select(fired[q].value, small(v, q), first)
                    some = fired[0].value
                    for spike in fired[1:]:
                        some = builder.or_(some, spike.value)
                    at = builder.add(builder.mul(t, o_step), c)
                    for pointer, value in (
                        (pindex, first), (pout, builder.zext(some, first.type))
                    ):  # fmt: skip
                        builder.store(value, _bytes(window, pointer, at)).align = 1

                window.run(c, soft, visit)

            _over_channels(context, builder, sig, args, body)
            return context.get_dummy_value()

        i, flag = INDEX, types.boolean
        return types.void(
            x, i, i, i, i, flag, i, i, gain, offset, scalars, out, index, i, i
        ), codegen  # fmt: skip

    return fire_window


#: spikes of a window, pooled: out[o0 + t*o_step + c] and the place of the first one in `index`
fire_window_hard = _fire(soft=False)
fire_window_soft = _fire(soft=True)


@intrinsic
def fire_window_grad(  # type: ignore[no-untyped-def]
    typing_context, x, x0, row, pixel, step, static, steps, channels, gain, offset, scalars, index,
    dout, o0, o_step, h, dz, sum_dz, sum_dzx,
):  # fmt: skip
    """Backward of `fire_window_hard` for the ATan surrogate and a detached reset.

    dz lies as x does; what it adds to the sums per channel is added to them. h is scratch for
    4 * steps registers.
    """
    one_type(x, gain, offset, scalars, dout, h, dz, sum_dz, sum_dzx)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        (index, dout, o0, o_step, h, dz, sum_dz, sum_dzx) = args[11:]
        kinds = sig.args[11:]
        pindex = pointer_to(context, builder, kinds[0], index, o0)
        b = builder

        def body(window: _Window, c: Any) -> None:
            v = window.v
            pdout = v.pointer(kinds[1], dout, o0)
            ph = v.pointer(kinds[4], h, WORD(0))
            pdz = v.pointer(kinds[5], dz, args[1])
            sums = [v.at(v.pointer(k, s, WORD(0)), c) for k, s in
                    ((kinds[6], sum_dz), (kinds[7], sum_dzx))]  # fmt: skip
            totals = [window.cell(v.load(p)) for p in sums]

            def place(t: Any, q: int) -> Any:
                return v.at(ph, b.mul(b.add(b.mul(t, WORD(4)), WORD(q)), WORD(v.lanes)))

            def keep(t: Any, potentials: list[Lanes], fired: list[Lanes]) -> None:
                for q, potential in enumerate(potentials):
                    v.store(potential.value, place(t, q))

            def give(t: Any, q: int, g: Lanes) -> None:
                """dz of pixel q at step t from the gradient of its potentials."""
                at = window.pixel(t, q, c)
                d = window.drive * g
                v.store(d.value, v.at(pdz, at))
                total, total_x = (window.lanes(b.load(cell)) for cell in totals)
                b.store((total + d).value, totals[0])
                b.store((total_x + d * window.load(v.at(window.x, at))).value, totals[1])

            window.run(c, False, keep)
            dv = [window.cell(v.zero) for _ in range(4)]
            dh = [window.cell(v.zero) for _ in range(4)]
            with cgutils.for_range(b, window.steps) as loop:
                t = b.sub(b.sub(window.steps, WORD(1)), loop.index)
                at = b.add(b.mul(t, o_step), c)
                loaded = b.load(_bytes(window, pindex, at))
                loaded.align = 1
                here = [
                    window.lanes(b.icmp_unsigned("==", loaded, small(v, q))) for q in range(4)
                ]
                potentials = [window.load(place(t, q)) for q in range(4)]
                # only the pixel that the pooled spike came from has a gradient from outside
                chosen = potentials[0]
                for q in (1, 2, 3):
                    chosen = here[q].choose(potentials[q], chosen)
                slope = _RULES.surrogate_derivative(
                    chosen - window.threshold, rules.ATAN, window.slope, window.peak
                )
                ds = window.load(v.at(pdout, at))
                for q, potential in enumerate(potentials):
                    s = (potential >= window.threshold).choose(1.0, 0.0)
                    # elsewhere the slope is multiplied by zero, and matters where it is NaN
                    other = potential.undefined().choose(potential, 0.0)
                    g = _RULES.reset_hard_grad_detached(
                        window.lanes(b.load(dv[q])),
                        here[q].choose(ds, other),
                        s,
                        here[q].choose(slope, 1.0),
                    )
                    b.store((window.decay * g).value, dv[q])
                    b.store((window.lanes(b.load(dh[q])) + g).value, dh[q])
                    with b.if_then(b.not_(window.static)):
                        give(t, q, g)
            with b.if_then(window.static):
                for q in range(4):
                    give(WORD(0), q, window.lanes(b.load(dh[q])))
            for p, total in zip(sums, totals, strict=True):
                v.store(b.load(total), p)

        _over_channels(context, builder, sig, args, body)
        return context.get_dummy_value()

    i, flag = INDEX, types.boolean
    return types.void(
        x, i, i, i, i, flag, i, i, gain, offset, scalars, index, dout, i, i, h, dz, sum_dz, sum_dzx
    ), codegen  # fmt: skip
