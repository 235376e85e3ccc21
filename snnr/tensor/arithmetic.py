"""Functions that compute element by element, on tensors of one shape."""

from snnr.kernels import Memory
from snnr.layout import Layout
from snnr.tensor.function import Function
from snnr.tensor.tensor import Tensor


class Elementwise(Function):
    """The result lies as the first input does."""

    owned = True

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        return inputs[0].layout if inputs[0] is not None else None


class Add(Elementwise):
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


class Subtract(Elementwise):
    def forward(self, a: Tensor, b: Tensor) -> Memory:
        out = self.backend.empty(a.memory.shape, a.dtype)
        self.backend.subtract(a.memory, b.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        if not self.needs[1]:
            return grad, None
        second = self.backend.empty(grad.shape, grad.dtype)
        self.backend.scale(grad, -1.0, second)
        return grad, second


class Multiply(Elementwise):
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


class Divide(Elementwise):
    def forward(self, a: Tensor, b: Tensor) -> Memory:
        self.divisor = b.memory
        self.quotient = self.backend.empty(a.memory.shape, a.dtype)
        self.backend.divide(a.memory, b.memory, self.quotient)
        return self.quotient

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        da = self.backend.empty(grad.shape, grad.dtype)
        self.backend.divide(grad, self.divisor, da)
        if not self.needs[1]:
            return da, None
        product, db = (self.backend.empty(grad.shape, grad.dtype) for _ in range(2))
        self.backend.multiply(da, self.quotient, product)
        self.backend.scale(product, -1.0, db)
        return da, db


class Scale(Elementwise):
    """x times a number."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Tensor) -> Memory:
        return self._scaled(x.memory, x.float_dtype)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        return (self._scaled(grad, grad.dtype),)

    def _scaled(self, memory: Memory, dtype: object) -> Memory:
        out = self.backend.empty(memory.shape, dtype)  # type: ignore[arg-type]
        self.backend.scale(memory, self.factor, out)
        return out


class Power(Elementwise):
    """x to the power of a number; the slope of x^0 is 0 everywhere."""

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def forward(self, x: Tensor) -> Memory:
        self.x = x.memory
        out = self.backend.empty(x.memory.shape, x.dtype)
        self.backend.power(x.memory, self.exponent, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(grad.shape, grad.dtype)
        if self.exponent == 0:
            self.backend.fill(dx, 0)
            return (dx,)
        slope, outer = (self.backend.empty(grad.shape, grad.dtype) for _ in range(2))
        self.backend.power(self.x, self.exponent - 1, slope)
        self.backend.scale(grad, self.exponent, outer)
        self.backend.multiply(outer, slope, dx)
        return (dx,)


class Sum(Function):
    """Sum of all elements."""

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
