"""Two-dimensional convolution, dense, driven by spikes or over surviving weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.functional.layout import channels_last, kernel_memory, kernel_public, public
from snnr.kernels.buffers import empty
from snnr.tensor import Function, Tensor

Array = NDArray[Any]
Pair = tuple[int, int]


class Conv2d(Function):
    """Cross-correlation of every image of the batch (and of the sequence) with the kernel."""

    def __init__(self, stride: Pair, padding: Pair) -> None:
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Array:
        images = channels_last(x.data)
        self.lead = images.shape[:-3]
        self.images = images.reshape(-1, *images.shape[-3:])
        self.weight = kernel_memory(weight.data)
        self.connectivity = getattr(weight, "connectivity", 1.0)
        size = output_size(x.shape[-2:], self.weight.shape[:2], self.stride, self.padding)
        out = empty((self.images.shape[0], *size, weight.shape[0]), weight.dtype)
        self.kernels["conv2d"](
            self.images,
            self.weight,
            None if bias is None else bias.data,
            self.stride,
            self.padding,
            out,
            self.connectivity,
        )
        return public(out.reshape(*self.lead, *size, weight.shape[0]))

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dy = channels_last(grad)
        dy = dy.reshape(-1, *dy.shape[-3:])
        dx = dw = db = None
        if self.needs[1]:
            buffer = empty(self.weight.shape, self.weight.dtype)
            self.kernels["conv2d_weight_grad"](
                self.images, dy, self.stride, self.padding, buffer
            )
            dw = kernel_public(buffer)
        if self.needs[2]:
            db = np.empty(dy.shape[-1], dy.dtype)
            self.kernels["bias_grad"](dy.reshape(-1, dy.shape[-1]), db)
        if self.needs[0]:
            buffer = empty(self.images.shape, dy.dtype)
            self.kernels["conv2d_input_grad"](
                dy, self.weight, self.stride, self.padding, buffer, self.connectivity
            )
            dx = public(buffer.reshape(*self.lead, *buffer.shape[1:]))
        return dx, dw, db


def output_size(size: Any, taps: Any, stride: Pair, padding: Pair) -> Pair:
    """Height and width of the result."""
    height, width = (
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(size, taps, stride, padding, strict=True)
    )
    return height, width


def _pair(name: str, value: int | Pair, least: int) -> Pair:
    first, second = (value, value) if isinstance(value, int) else value
    if min(first, second) < least:
        raise ShapeError(f"conv2d: {name} (={value}) must be at least {least}")
    return int(first), int(second)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
) -> Tensor:
    """2-D cross-correlation.

    Parameters
    ----------
    x : ``[T, N, C, H, W]`` or static ``[N, C, H, W]``; float, or uint8 spikes.
    weight : ``[out, in, kh, kw]``.
    bias : ``[out]`` or None.

    Returns
    -------
    ``[.., out, H', W']`` with ``H' = (H + 2 padding - kh)//stride + 1``.

    Raises
    ------
    ShapeError : channels differ, the kernel is larger than the padded image, or a setting is off.
    """
    stride, padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
    expected = 4 if x.timesteps is None else 5
    if x.data.ndim != expected or weight.data.ndim != 4:
        raise ShapeError(
            f"conv2d: input {list(x.shape)} must be [T, N, C, H, W] (or static [N, C, H, W]) and "
            f"weight {list(weight.shape)} [out, in, kh, kw]"
        )
    if x.shape[-3] != weight.shape[1]:
        raise ShapeError(
            f"conv2d: input has {x.shape[-3]} channels, the weight {list(weight.shape)} expects "
            f"in={weight.shape[1]}"
        )
    if min(output_size(x.shape[-2:], weight.shape[2:], stride, padding)) < 1:
        raise ShapeError(
            f"conv2d: kernel {list(weight.shape[2:])} is larger than the image "
            f"{list(x.shape[-2:])} padded by {list(padding)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"conv2d: bias {list(bias.shape)} must be [{weight.shape[0]}]")
    return Conv2d(stride, padding)(x, weight, bias)
