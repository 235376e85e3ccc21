"""Sum and product of tensors of one shape, and the sum over all elements."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.tensor import Function, Tensor

Array = NDArray[Any]


class Add(Function):
    def forward(self, a: Tensor, b: Tensor) -> Array:
        return a.data + b.data

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        return grad, grad


class Multiply(Function):
    def forward(self, a: Tensor, b: Tensor) -> Array:
        self.factors = a.data, b.data
        return self.factors[0] * self.factors[1]

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        a, b = self.factors
        return grad * b, grad * a


class Sum(Function):
    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return None

    def forward(self, x: Tensor) -> Array:
        self.shape = x.shape
        return np.asarray(x.data.sum())

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        return (np.broadcast_to(grad, self.shape),)


def _same(name: str, a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.timesteps != b.timesteps:
        raise ShapeError(f"{name}: {a!r} and {b!r} must have one shape and one time axis")


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b of one shape (a residual connection). Raises ShapeError when the shapes differ."""
    _same("add", a, b)
    return Add()(a, b)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a * b, element by element, of one shape. Raises ShapeError when the shapes differ."""
    _same("multiply", a, b)
    return Multiply()(a, b)


def total(x: Tensor) -> Tensor:
    """Sum of all elements, a tensor of one element."""
    return Sum()(x)
