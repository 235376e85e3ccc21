"""Sum and product of tensors of one shape, and the sum of all elements, by name.

The operators of tensors, ``+ - * / **``, indexing, `sum` and `mean`, bring shapes together.
"""

from snnr.errors import ShapeError
from snnr.tensor import Tensor
from snnr.tensor.arithmetic import Add, Multiply, Sum
from snnr.tensor.checks import expect_tensors
from snnr.tensor.shapes import laid_out


def _same(name: str, a: Tensor, b: Tensor) -> None:
    expect_tensors(name, a=a, b=b)
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
    expect_tensors("total", x=x)
    return Sum()(x)
