"""What ``+ - * / **``, indexing, `sum` and `mean` of tensors do.

Each is an operation of the tensors' device, on the tape. A number takes the dtype of the tensor;
spikes become floats where the result need not be 0 or 1. Shapes that differ are brought together
by the rule of `snnr.tensor.broadcast`.
"""

import math
import operator
import sys
from typing import Any

import numpy as np

from snnr.errors import ArgumentError, ShapeError
from snnr.layout import Shape
from snnr.tensor.arithmetic import Add, Divide, Multiply, Power, Scale, Subtract
from snnr.tensor.broadcast import floats, together
from snnr.tensor.checks import described, remedy
from snnr.tensor.shapes import SumAxes, Window, as_float, fitted
from snnr.tensor.tensor import Tensor


class OutOfRangeError(ShapeError, IndexError):
    """An index beyond the end of its axis."""


def is_number(value: Any) -> bool:
    """Whether it is a real number, of Python or NumPy."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


#: the largest number of each dtype
_MOST = {"float32": float.fromhex("0x1.fffffep+127"), "float64": sys.float_info.max}


def _within(name: str, value: Any, like: Tensor) -> float:
    """A number that the tensor's dtype can say, or one that is not finite in itself."""
    dtype = np.dtype(like.float_dtype).name
    most = _MOST[dtype]
    if most < abs(value) < math.inf:
        raise ArgumentError(
            f"{name}: the other operand is {value!r}, expected at most {most:g}, the largest "
            f"number of {dtype}"
        )
    return float(value)


def _operand(name: str, value: Any, like: Tensor) -> Tensor:
    """The other operand; a number as a tensor that is filled with it."""
    if isinstance(value, Tensor):
        return value
    if not is_number(value):
        raise ArgumentError(
            f"{name}: the other operand is {described(value)}, expected a snnr.Tensor or a number; "
            f"{remedy(value)}"
        )
    memory = like.backend.empty(like.memory.shape, like.float_dtype)
    like.backend.fill(memory, _within(name, value, like))
    return Tensor.from_memory(memory, like.device, like.timesteps, like.layout)


def add(a: Tensor, b: Any) -> Tensor:
    """a + b."""
    a, b = together("+", a, _operand("+", b, a))
    # the kernels take floats in front
    return Add()(b, a) if a.dtype == "uint8" and b.dtype != "uint8" else Add()(a, b)


def subtract(a: Tensor, b: Any) -> Tensor:
    """a - b."""
    return Subtract()(*floats(*together("-", a, _operand("-", b, a))))


def subtract_from(a: Tensor, b: Any) -> Tensor:
    """b - a."""
    return subtract(_operand("-", b, a), a)


def multiply(a: Tensor, b: Any) -> Tensor:
    """a * b; of spikes with spikes, spikes."""
    if is_number(b):
        return Scale(_within("*", b, a))(a)
    a, b = together("*", a, _operand("*", b, a))
    return Multiply()(b, a) if a.dtype == "uint8" and b.dtype != "uint8" else Multiply()(a, b)


def divide(a: Tensor, b: Any) -> Tensor:
    """a / b."""
    return Divide()(*floats(*together("/", a, _operand("/", b, a))))


def divide_into(a: Tensor, b: Any) -> Tensor:
    """b / a."""
    return divide(_operand("/", b, a), a)


def power(a: Tensor, exponent: Any) -> Tensor:
    """a ** exponent, a number."""
    if not is_number(exponent):
        raise ArgumentError(
            f"**: the exponent is {described(exponent)}, expected a number; write products of "
            "tensors with *"
        )
    return Power(float(exponent))(as_float(a))


# Sums


def _axes(name: str, x: Tensor, axis: Any) -> frozenset[int]:
    """Axes counted from the front."""
    every = range(x.ndim)
    if axis is None:
        return frozenset(every)
    given = axis if isinstance(axis, tuple | list) else (axis,)
    found = set()
    for one in given:
        try:
            place = operator.index(one)
        except TypeError:
            raise ArgumentError(
                f"{name}: axis is {described(axis)}, expected a whole number or a tuple of them"
            ) from None
        if isinstance(one, bool) or not -x.ndim <= place < x.ndim:
            raise OutOfRangeError(
                f"{name}: axis {place} of a tensor of shape {list(x.shape)}, expected "
                f"{-x.ndim}..{x.ndim - 1}"
            )
        found.add(every[place])
    return frozenset(found)


def _summed(name: str, x: Tensor, axis: Any, keepdims: bool) -> tuple[Tensor, int]:
    """The sum, and how many elements each entry is the sum of."""
    axes = _axes(name, x, axis)
    kept: Shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    count = math.prod(x.shape[i] for i in axes)
    steps = None if x.timesteps is None else kept[0]
    x = SumAxes(kept, steps, x.layout)(x)
    if keepdims:
        return x, count
    shape = tuple(n for i, n in enumerate(kept) if i not in axes)
    return fitted(x, shape, None if 0 in axes or len(shape) < 2 else steps), count


def sum_of(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """Sum over axes."""
    return _summed("sum", x, axis, keepdims)[0]


def mean_of(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """Mean over axes."""
    total, count = _summed("mean", x, axis, keepdims)
    if count == 0:
        raise ShapeError(f"mean: {x!r} has no elements along axis {axis}; there is no mean")
    return divide(total, count)


# Indexing

_INDEX = (
    "a tensor is indexed by whole numbers, slices, ... and None; to pick by an array, multiply by "
    "a mask and sum: (x * snnr.Tensor(snnr.functional.one_hot(labels, classes))).sum(axis=-1)"
)


def _parts(x: Tensor, key: Any) -> list[Any]:
    """The index of every axis, None where one is put in."""
    parts = list(key) if isinstance(key, tuple) else [key]
    for part in parts:
        whole = isinstance(part, int | np.integer) and not isinstance(part, bool)
        if not (part is None or part is Ellipsis or whole or isinstance(part, slice)):
            raise ArgumentError(f"index {described(part)}: {_INDEX}")
    gaps = [i for i, part in enumerate(parts) if part is Ellipsis]
    named = sum(part is not None and part is not Ellipsis for part in parts)
    if len(gaps) > 1 or named > x.ndim:
        raise OutOfRangeError(
            f"{named} indices and {len(gaps)} ... for a tensor of shape {list(x.shape)}, expected "
            f"at most {x.ndim} and one"
        )
    gap = gaps[0] if gaps else len(parts)
    return [*parts[:gap], *[slice(None)] * (x.ndim - named), *parts[gap + 1 :]]


def taken(x: Tensor, key: Any) -> Tensor:
    """x[key]."""
    first, step, counts, shape = (list[int]() for _ in range(4))
    steps = x.timesteps
    for part in _parts(x, key):
        axis = len(counts)
        if part is None:
            if axis == 0 and steps is not None:
                raise ShapeError(
                    f"None in front of the time axis of {x!r}; put it behind: x[:, None]"
                )
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(part, slice):
            start, stop, stride = part.indices(n)
            counts.append(len(range(start, stop, stride)))
            shape.append(counts[-1])
        else:
            start, stride = int(part) + (n if part < 0 else 0), 1
            if not 0 <= start < n:
                raise OutOfRangeError(
                    f"index {part} is out of range for axis {axis} of a tensor of shape "
                    f"{list(x.shape)}"
                )
            counts.append(1)
            if axis == 0:
                steps = None
        first.append(start)
        step.append(stride)
    if steps is not None:
        if counts[0] == 0:
            raise ShapeError(f"the index leaves no time step of {x!r}")
        steps = counts[0] if len(shape) > 1 else None
    within = None if x.timesteps is None else counts[0]
    if tuple(counts) != x.shape or any(n != 1 for n in step):
        x = Window(tuple(counts), within, x.layout, tuple(first), tuple(step))(x)
    return fitted(x, tuple(shape), steps)
