"""Pooling, flatten and voting."""

from math import prod
from typing import Any

import numpy as np

from snnr.errors import ShapeError
from snnr.kernels import Memory
from snnr.layout import Layout
from snnr.tensor import Function, Tensor
from snnr.tensor.checks import expect_tensors
from snnr.tensor.shapes import laid_out, rows_of


class Pool(Function):
    """What max and average pooling share: windows without padding, floor mode."""

    owned = True

    def __init__(self, size: int, stride: int) -> None:
        self.size = size
        self.stride = stride

    def prepare(self, x: Tensor, dtype: Any) -> tuple[Memory, Memory]:
        """The images in one row, and memory for the result."""
        self.x_shape = x.memory.shape
        self.lead = self.x_shape[:-3]
        flat = x.memory.reshape((prod(self.lead), *self.x_shape[-3:]))
        size = pooled(self.x_shape[-3:-1], self.size, self.stride)
        return flat, self.backend.empty((flat.shape[0], *size, flat.shape[3]), dtype)

    def unflatten(self, images: Memory) -> Memory:
        return images.reshape((*self.lead, *images.shape[1:]))

    def flat_grad(self, grad: Memory) -> tuple[Memory, Memory]:
        count = prod(self.lead)
        dy = grad.reshape((count, *grad.shape[-3:]))
        return dy, self.backend.empty((count, *self.x_shape[-3:]), dy.dtype)


class MaxPool2d(Pool):
    """Largest value of each window; the gradient goes to the first that attains it."""

    def forward(self, x: Tensor) -> Memory:
        flat, out = self.prepare(x, x.dtype)
        self.index = self.backend.empty(out.shape, "uint8")
        self.backend.max_pool(flat, self.size, self.stride, out, self.index)
        return self.unflatten(out)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dy, dx = self.flat_grad(grad)
        self.backend.max_pool_grad(dy, self.index, self.size, self.stride, dx)
        return (self.unflatten(dx),)


class AvgPool2d(Pool):
    """Mean of each window; spikes in, floats out."""

    def forward(self, x: Tensor) -> Memory:
        flat, out = self.prepare(x, x.float_dtype)
        self.backend.avg_pool(flat, self.size, self.stride, out)
        return self.unflatten(out)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dy, dx = self.flat_grad(grad)
        self.backend.avg_pool_grad(dy, self.size, self.stride, dx)
        return (self.unflatten(dx),)


def pooled(size: tuple[int, ...], window: int, stride: int) -> tuple[int, int]:
    """Height and width behind a pooling."""
    height, width = ((n - window) // stride + 1 for n in size)
    return height, width


def _check_pool(name: str, x: Tensor, size: int, stride: int | None) -> int:
    expect_tensors(name, x=x)
    step = size if stride is None else stride
    if not isinstance(size, int | np.integer) or not isinstance(step, int | np.integer):
        raise ShapeError(
            f"{name}: size (={size!r}) and stride (={stride!r}) must be whole numbers; windows are "
            "square"
        )
    if x.layout is not Layout.IMAGES:
        raise ShapeError(f"{name}: input {list(x.shape)} must be [T, N, C, H, W] or [N, C, H, W]")
    if not 1 <= size <= min(15, *x.shape[-2:]) or step < 1:
        raise ShapeError(
            f"{name}: size (={size}) must lie between 1 and min(15, H, W) of {list(x.shape)} and "
            f"stride (={step}) be at least 1"
        )
    return step


def max_pool2d(x: Tensor, size: int = 2, stride: int | None = None) -> Tensor:
    """Max pooling of ``[.., C, H, W]``, float or spikes; stride defaults to `size`.

    Raises
    ------
    ShapeError : x holds no images, or the window does not fit.
    """
    return MaxPool2d(size, _check_pool("max_pool2d", x, size, stride))(x)


def avg_pool2d(x: Tensor, size: int = 2, stride: int | None = None) -> Tensor:
    """Average pooling of ``[.., C, H, W]``; the result is float. Raises as `max_pool2d`."""
    return AvgPool2d(size, _check_pool("avg_pool2d", x, size, stride))(x)


class Flatten(Function):
    """[.., C, H, W] -> [.., C*H*W]."""

    owned = True

    def forward(self, x: Tensor) -> Memory:
        self.shape = x.memory.shape
        self.lead = x.sample_shape[:1] if x.timesteps is None else x.shape[:2]
        flat = (*self.lead, prod(x.sample_shape[1:]))
        # one channel, or one pixel, needs no exchange of axes
        self.images = x.layout is Layout.IMAGES and 1 not in (
            self.shape[-1],
            self.shape[-2] * self.shape[-3],
        )
        if not self.images:
            return x.memory.reshape(flat)
        batch, pixels, channels = self._flat_images()
        out = self.backend.empty((batch, channels, pixels), x.dtype)
        self.backend.reorder(x.memory.reshape((batch, pixels, channels)), (0, 2, 1), out)
        return out.reshape(flat)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        if not self.images:
            return (grad.reshape(self.shape),)
        batch, pixels, channels = self._flat_images()
        dx = self.backend.empty((batch, pixels, channels), grad.dtype)
        self.backend.reorder(grad.reshape((batch, channels, pixels)), (0, 2, 1), dx)
        return (dx.reshape(self.shape),)

    def _flat_images(self) -> tuple[int, int, int]:
        *_, height, width, channels = self.shape
        return prod(self.lead), height * width, channels


def flatten(x: Tensor) -> Tensor:
    """Everything behind the batch axis in one axis, in the order C, H, W.

    Raises
    ------
    ShapeError : there is nothing behind the batch axis.
    """
    expect_tensors("flatten", x=x)
    if len(x.sample_shape) < 2:
        raise ShapeError(f"flatten: input {list(x.shape)} must be [T, N, ...] or static [N, ...]")
    return Flatten()(x)


class Voting(Function):
    """Mean over groups of neighbouring outputs."""

    owned = True

    def __init__(self, group: int) -> None:
        self.group = group

    def forward(self, x: Tensor) -> Memory:
        self.shape = x.memory.shape
        votes = self.shape[-1] // self.group
        out = self.backend.empty((*self.shape[:-1], votes), x.float_dtype)
        self.backend.voting(rows_of(x.memory), self.group, rows_of(out))
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.shape, grad.dtype)
        self.backend.voting_grad(rows_of(grad), self.group, rows_of(dx))
        return (dx,)


def voting(x: Tensor, group: int = 10) -> Tensor:
    """``[.., classes*group]`` -> ``[.., classes]``: each class is the mean vote of its group.

    Raises
    ------
    ShapeError : the last axis is not a multiple of `group`.
    """
    expect_tensors("voting", x=x)
    if not isinstance(group, int | np.integer):
        raise ShapeError(f"voting: group (={group!r}) must be a whole number")
    if group < 1 or len(x.sample_shape) != 2 or x.shape[-1] % group:
        raise ShapeError(
            f"voting: input {list(x.shape)} must be [T, N, votes] or static [N, votes], the votes "
            f"a multiple of group (={group})"
        )
    return Voting(group)(laid_out(x, Layout.PLAIN))
