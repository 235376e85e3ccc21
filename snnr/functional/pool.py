"""Pooling, dropout, flatten and voting."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.functional.layout import channels_last, public
from snnr.kernels.buffers import empty
from snnr.tensor import Function, Tensor

Array = NDArray[Any]


class Pool(Function):
    """What max and average pooling share: windows without padding, floor mode."""

    def __init__(self, size: int, stride: int) -> None:
        self.size = size
        self.stride = stride

    def prepare(self, x: Tensor, dtype: Any) -> tuple[Array, Array]:
        images = channels_last(x.data)
        self.lead = images.shape[:-3]
        flat = images.reshape(-1, *images.shape[-3:])
        self.in_shape = flat.shape
        height, width = ((n - self.size) // self.stride + 1 for n in flat.shape[1:3])
        return flat, empty((flat.shape[0], height, width, flat.shape[3]), dtype)

    def unflatten(self, images: Array) -> Array:
        return public(images.reshape(*self.lead, *images.shape[1:]))

    def flat_grad(self, grad: Array) -> tuple[Array, Array]:
        dy = channels_last(grad)
        return dy.reshape(-1, *dy.shape[-3:]), empty(self.in_shape, dy.dtype)


class MaxPool2d(Pool):
    """Largest value of each window; the gradient goes to the first that attains it."""

    def forward(self, x: Tensor) -> Array:
        flat, out = self.prepare(x, x.dtype)
        self.index = empty(out.shape, np.uint8)
        self.kernels["max_pool"](flat, self.size, self.stride, out, self.index)
        return self.unflatten(out)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dy, dx = self.flat_grad(grad)
        self.kernels["max_pool_grad"](dy, self.index, self.size, self.stride, dx)
        return (self.unflatten(dx),)


class AvgPool2d(Pool):
    """Mean of each window; spikes in, floats out."""

    def forward(self, x: Tensor) -> Array:
        flat, out = self.prepare(x, np.float32 if x.dtype == np.uint8 else x.dtype)
        self.kernels["avg_pool"](flat, self.size, self.stride, out)
        return self.unflatten(out)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dy, dx = self.flat_grad(grad)
        self.kernels["avg_pool_grad"](dy, self.size, self.stride, dx)
        return (self.unflatten(dx),)


def _check_pool(name: str, x: Tensor, size: int, stride: int | None) -> int:
    step = size if stride is None else stride
    if x.data.ndim != 4 + (x.timesteps is not None):
        raise ShapeError(f"{name}: input {list(x.shape)} must be [T, N, C, H, W] or [N, C, H, W]")
    if not 1 <= size <= min(15, *x.shape[-2:]) or step < 1:
        raise ShapeError(
            f"{name}: size (={size}) must lie between 1 and min(15, H, W) of {list(x.shape)} and "
            f"stride (={step}) be at least 1"
        )
    return step


def max_pool2d(x: Tensor, size: int = 2, stride: int | None = None) -> Tensor:
    """Max pooling of ``[.., C, H, W]``, float or uint8 spikes; stride defaults to `size`.

    Raises
    ------
    ShapeError : x holds no images, or the window does not fit.
    """
    return MaxPool2d(size, _check_pool("max_pool2d", x, size, stride))(x)


def avg_pool2d(x: Tensor, size: int = 2, stride: int | None = None) -> Tensor:
    """Average pooling of ``[.., C, H, W]``; the result is float. Raises as `max_pool2d`."""
    return AvgPool2d(size, _check_pool("avg_pool2d", x, size, stride))(x)


class Dropout(Function):
    """x * mask / (1 - p), the mask the same at every time step."""

    def __init__(self, mask: Array, factor: float) -> None:
        self.mask = mask
        self.factor = factor

    def forward(self, x: Tensor) -> Array:
        kind = np.float32 if x.dtype == np.uint8 else x.dtype
        self.lead = x.timesteps or 1
        out = empty(x.shape, kind)
        self._apply(np.ascontiguousarray(x.data), out)
        return out

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dx = empty(grad.shape, grad.dtype)
        self._apply(np.ascontiguousarray(grad), dx)
        return (dx,)

    def _apply(self, source: Array, out: Array) -> None:
        self.kernels["mask_time"](
            source.reshape(self.lead, -1), self.mask.reshape(-1), self.factor,
            out.reshape(self.lead, -1),
        )  # fmt: skip


def dropout_mask(
    shape: tuple[int, ...], p: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Mask of ones with probability 1 - p, uint8."""
    return (rng.random(shape, np.float32) >= p).astype(np.uint8)


def dropout(x: Tensor, p: float, mask: NDArray[np.uint8]) -> Tensor:
    """Multiply by ``mask / (1 - p)``; `mask` has the shape of one time step (`dropout_mask`).

    Raises
    ------
    ShapeError : p is outside [0, 1), or the mask has another shape.
    """
    single = x.shape if x.timesteps is None else x.shape[1:]
    if not 0 <= p < 1 or mask.shape != single:
        raise ShapeError(
            f"dropout: p (={p}) must lie in [0, 1) and the mask {list(mask.shape)} have the shape "
            f"of one time step, {list(single)}"
        )
    return Dropout(mask, 1.0 / (1.0 - p))(x)


class Flatten(Function):
    """[.., C, H, W] -> [.., C*H*W]."""

    def forward(self, x: Tensor) -> Array:
        self.shape = x.shape
        lead = 1 if x.timesteps is None else 2
        # one channel needs no exchange of axes
        self.images = len(x.shape) == lead + 3 and x.shape[-3] > 1
        if not self.images:
            return np.ascontiguousarray(x.data).reshape(*x.shape[:lead], -1)
        pixels = channels_last(x.data)
        channels = pixels.shape[-1]
        pixels = pixels.reshape(-1, x.shape[-2] * x.shape[-1], channels)
        out = empty((pixels.shape[0], channels, pixels.shape[1]), x.dtype)
        self.kernels["swap_last"](pixels, out)
        return out.reshape(*x.shape[:lead], -1)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        if not self.images:
            return (grad.reshape(self.shape),)
        channels, height, width = self.shape[-3:]
        planes = np.ascontiguousarray(grad).reshape(-1, channels, height * width)
        dx = empty((planes.shape[0], height * width, channels), grad.dtype)
        self.kernels["swap_last"](planes, dx)
        return (public(dx.reshape(*self.shape[:-3], height, width, channels)),)


def flatten(x: Tensor) -> Tensor:
    """Everything behind the batch axis in one axis, in the order C, H, W."""
    return Flatten()(x)


class Voting(Function):
    """Mean over groups of neighbouring outputs."""

    def __init__(self, group: int) -> None:
        self.group = group

    def forward(self, x: Tensor) -> Array:
        kind = np.float32 if x.dtype == np.uint8 else x.dtype
        grouped = x.data.reshape(*x.shape[:-1], -1, self.group)
        return grouped.sum(axis=-1, dtype=kind) / kind_of(kind, self.group)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        return (np.repeat(grad / kind_of(grad.dtype, self.group), self.group, axis=-1),)


def kind_of(dtype: Any, value: float) -> Any:
    """`value` as a scalar of `dtype`, so that it promotes nothing."""
    return np.dtype(dtype).type(value)


def voting(x: Tensor, group: int = 10) -> Tensor:
    """``[.., classes*group]`` -> ``[.., classes]``: each class is the mean vote of its group.

    Raises
    ------
    ShapeError : the last axis is not a multiple of `group`.
    """
    if group < 1 or x.shape[-1] % group:
        raise ShapeError(
            f"voting: the last axis of {list(x.shape)} must be a multiple of group (={group})"
        )
    return Voting(group)(x)
