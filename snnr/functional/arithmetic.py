"""Sum and product of tensors of one shape, the sum of all elements, other dtypes and layouts."""

from math import prod
from typing import Any

from snnr.errors import ShapeError
from snnr.kernels import Memory
from snnr.layout import Layout
from snnr.tensor import Function, Tensor


class Add(Function):
    owned = True

    def forward(self, a: Tensor, b: Tensor) -> Memory:
        out = self.backend.empty(a.memory.shape, a.float_dtype)
        self.backend.add(a.memory, b.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        if not all(self.needs):
            return grad, grad
        second = self.backend.empty(grad.shape, grad.dtype)
        self.backend.copy(grad, second)
        return grad, second


class Multiply(Function):
    owned = True

    def forward(self, a: Tensor, b: Tensor) -> Memory:
        self.factors = a.memory, b.memory
        spikes = a.dtype == b.dtype == "uint8"
        out = self.backend.empty(a.memory.shape, "uint8" if spikes else a.float_dtype)
        self.backend.multiply(*self.factors, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        parts: list[Memory | None] = []
        for needed, other in zip(self.needs, reversed(self.factors), strict=True):
            part = self.backend.empty(grad.shape, grad.dtype) if needed else None
            if part is not None:
                self.backend.multiply(grad, other, part)
            parts.append(part)
        return tuple(parts)


class Sum(Function):
    owned = True

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return None

    def forward(self, x: Tensor) -> Memory:
        self.shape = x.memory.shape
        out = self.backend.empty((), x.float_dtype)
        self.backend.total(x.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.shape, grad.dtype)
        self.backend.spread(grad, dx)
        return (dx,)


class Convert(Function):
    """The same values in another floating dtype."""

    owned = True

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        return inputs[0].layout if inputs[0] is not None else None

    def forward(self, x: Tensor) -> Memory:
        out = self.backend.empty(x.memory.shape, self.dtype)
        self.backend.copy(x.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        return (grad,)  # the tape converts it


class Reorder(Function):
    """The same values in another layout."""

    owned = True

    def __init__(self, target: Layout) -> None:
        self.target = target

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        return self.target

    def forward(self, x: Tensor) -> Memory:
        self.source = x.layout
        return self._moved(x.memory, x.layout, self.target)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        return (self._moved(grad, self.target, self.source),)

    def _moved(self, memory: Memory, source: Layout, target: Layout) -> Memory:
        axes = source.axes_to(target, len(memory.shape))
        out = self.backend.empty([memory.shape[axis] for axis in axes], memory.dtype)
        self.backend.reorder(memory, axes, out)
        return out


def laid_out(x: Tensor, layout: Layout) -> Tensor:
    """x itself where it lies so, else a reordered copy on the tape."""
    return x if x.layout is layout else Reorder(layout)(x)


def converted(x: Tensor, dtype: Any) -> Tensor:
    """x itself if it is of that dtype or holds spikes, else converted on the tape."""
    return x if x.dtype in (dtype, "uint8") else Convert(dtype)(x)


def as_float(x: Tensor) -> Tensor:
    """Spikes as floats; floats as they are."""
    return Convert(x.float_dtype)(x) if x.dtype == "uint8" else x


def rows_of(memory: Memory) -> Memory:
    """``[.., C]`` as ``[R, C]``."""
    return memory.reshape((prod(memory.shape[:-1]), memory.shape[-1]))


def _same(name: str, a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.timesteps != b.timesteps:
        raise ShapeError(f"{name}: {a!r} and {b!r} must have one shape and one time axis")
    floats = {t.dtype for t in (a, b) if t.dtype != "uint8"}
    if len(floats) > 1:
        raise ShapeError(f"{name}: {a!r} and {b!r} must have one dtype; convert one of them")


def _leading(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The two, one that holds floats in front, in the layout of the first."""
    b = laid_out(b, a.layout)
    return (b, a) if a.dtype == "uint8" and b.dtype != "uint8" else (a, b)


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b of one shape (a residual connection); the sum of spikes is a float tensor.

    Raises
    ------
    ShapeError : the shapes differ, or one is float32 and the other float64.
    """
    _same("add", a, b)
    return Add()(*_leading(a, b))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a * b, element by element, of one shape; the product of spikes holds spikes.

    Raises
    ------
    ShapeError : the shapes differ, or one is float32 and the other float64.
    """
    _same("multiply", a, b)
    return Multiply()(*_leading(a, b))


def total(x: Tensor) -> Tensor:
    """Sum of all elements, a tensor of one element."""
    return Sum()(x)
