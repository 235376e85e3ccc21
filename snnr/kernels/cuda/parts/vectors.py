"""Four neighbours at once: a 16 byte load of floats, and spikes as the bytes of a word."""

from functools import lru_cache
from typing import Any

from snnr.kernels.cuda.device import function, simulated


def _four(x: Any, i: Any) -> Any:
    return x[i], x[i + 1], x[i + 2], x[i + 3]


def _vector_load() -> Any:
    """x[i], .., x[i+3] as one instruction; i is a multiple of 4 and x of the alignment of a block.

    Numba knows arrays to be aligned to their elements only, so that it never makes such a load.
    """
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def four(_: Any, x: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = signature.args[0]
            array = context.make_array(kind)(context, builder, values[0])
            element = context.get_data_type(kind.dtype)
            place = builder.gep(array.data, [values[1]])
            wide = builder.bitcast(place, ir.VectorType(element, 4).as_pointer())
            loaded = builder.load(wide)
            loaded.align = 16
            word = ir.IntType(32)
            items = [builder.extract_element(loaded, ir.Constant(word, k)) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, items)

        return types.UniTuple(x.dtype, 4)(x, i), generate

    return four


@lru_cache
def load_four() -> Any:
    """A function (x, i) for kernels: x[i], x[i + 1], x[i + 2], x[i + 3]."""
    return function(_four) if simulated() else _vector_load()


@lru_cache
def loading(width: int) -> Any:
    """A function (x, i, into, at) for kernels: into[at], .. = x[i], .., of `width` values, 1 or 4;
    i is a multiple of it."""
    if width == 1:

        def load(x: Any, i: Any, into: Any, at: Any) -> None:
            into[at] = x[i]
    else:
        four = load_four()

        def load(x: Any, i: Any, into: Any, at: Any) -> None:
            a, b, c, d = four(x, i)
            into[at] = a
            into[at + 1] = b
            into[at + 2] = c
            into[at + 3] = d

    return function(load)
