"""Two-dimensional convolution, dense, driven by spikes or over surviving weights."""

from math import prod
from typing import Any

import numpy as np

from snnr.errors import ShapeError
from snnr.functional.linear import fitting_bias, hints_of, keep_wanted, room_for_gradient
from snnr.kernels import Hints, Memory, Pair
from snnr.layout import Layout
from snnr.tensor import Function, Tensor
from snnr.tensor.checks import expect_tensors
from snnr.tensor.shapes import converted, laid_out, rows_of


class Conv2d(Function):
    """Cross-correlation of every image of the batch (and of the sequence) with the kernel."""

    owned = True

    def __init__(self, stride: Pair, padding: Pair, hints: Hints) -> None:
        self.stride = stride
        self.padding = padding
        self.hints = hints

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Memory:
        self.x_shape = x.memory.shape
        lead, pixels = self.x_shape[:-3], self.x_shape[-3:]
        self.images = x.memory.reshape((prod(lead), *pixels))
        self.weight = weight.memory
        self.parameter = weight
        size = output_size(pixels[:2], self.weight.shape[:2], self.stride, self.padding)
        channels = self.weight.shape[3]
        out = self.backend.empty((self.images.shape[0], *size, channels), weight.dtype)
        self.product(None if bias is None else bias.memory, out)
        return out.reshape((*lead, *size, channels))

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dy = grad.reshape((self.images.shape[0], *grad.shape[-3:]))
        dx = dw = db = None
        if self.needs[1]:
            dw = self.weight_gradient(dy)
            keep_wanted(self.parameter, dw)
        if self.needs[2]:
            db = self.backend.empty(dy.shape[-1], dy.dtype)
            self.backend.bias_grad(rows_of(dy), db)
        if self.needs[0]:
            flat = self.backend.empty(self.images.shape, dy.dtype)
            self.input_gradient(dy, flat)
            dx = flat.reshape(self.x_shape)
        return dx, dw, db

    def product(self, bias: Memory | None, out: Memory) -> None:
        """out = images * weight + bias."""
        self.backend.conv2d(
            self.images, self.weight, bias, self.stride, self.padding, out, self.hints
        )

    def weight_gradient(self, dy: Memory) -> Memory:
        """That of the kernel."""
        dw = room_for_gradient(self.parameter, self.hints)
        self.backend.conv2d_weight_grad(self.images, dy, self.stride, self.padding, dw, self.hints)
        return dw

    def input_gradient(self, dy: Memory, dx: Memory) -> None:
        """dx = that of the images."""
        self.backend.conv2d_input_grad(dy, self.weight, self.stride, self.padding, dx, self.hints)


class GroupedConv2d(Conv2d):
    """The same, each group of channels by itself."""

    def __init__(self, stride: Pair, padding: Pair, groups: int) -> None:
        super().__init__(stride, padding, Hints())
        self.groups = groups

    def product(self, bias: Memory | None, out: Memory) -> None:
        self.backend.grouped_conv2d(
            self.images, self.weight, bias, self.stride, self.padding, self.groups, out
        )

    def weight_gradient(self, dy: Memory) -> Memory:
        dw = self.backend.empty(self.weight.shape, self.weight.dtype)
        self.backend.grouped_conv2d_weight_grad(
            self.images, dy, self.stride, self.padding, self.groups, dw
        )
        return dw

    def input_gradient(self, dy: Memory, dx: Memory) -> None:
        self.backend.grouped_conv2d_input_grad(
            dy, self.weight, self.stride, self.padding, self.groups, dx
        )


def output_size(size: Any, taps: Any, stride: Pair, padding: Pair) -> Pair:
    """Height and width of the result."""
    height, width = (
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, taps, stride, padding, strict=True)
    )
    return height, width


def _pair(name: str, value: Any, least: int) -> Pair:
    given = value if isinstance(value, tuple | list) else (value, value)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in given)
    if len(given) != 2 or not whole or min(given) < least:
        raise ShapeError(
            f"conv2d: {name} (={value!r}) must be a whole number, or two for rows and columns, of "
            f"at least {least}"
            + ("; half of an odd kernel keeps the size at stride 1" if name == "padding" else "")
        )
    return int(given[0]), int(given[1])


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    groups: int = 1,
) -> Tensor:
    """2-D cross-correlation.

    Parameters
    ----------
    x : ``[T, N, C, H, W]`` or static ``[N, C, H, W]``; float (converted to the weight's dtype), or
        spikes.
    weight : ``[out, in/groups, kh, kw]``.
    bias : ``[out]`` or None.
    stride, padding : of rows and columns, one number for both or two.
    groups : output channels are split into so many groups, each of which reads as many of the
        input channels; as many groups as channels is a depthwise convolution. On the CPU that is
        one walk over rows, and other groups run one after the other, copied out and in, by the
        ways of an ungrouped convolution: eight groups of eight channels took three times as long
        as none, of spikes three to ten times. On a GPU a thread makes each value, without tiles.
        Neither follows surviving weights.

    Returns
    -------
    ``[.., out, H', W']`` with ``H' = (H + 2 padding - kh)//stride + 1``, of the weight's dtype.

    Raises
    ------
    ShapeError : channels differ, the kernel is larger than the padded image, or a setting is off.
    """
    expect_tensors("conv2d", x=x, weight=weight)
    stride, padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
    if x.layout is not Layout.IMAGES or len(weight.shape) != 4:
        raise ShapeError(
            f"conv2d: input {list(x.shape)} must be [T, N, C, H, W] (or static [N, C, H, W]) and "
            f"weight {list(weight.shape)} [out, in, kh, kw]"
        )
    whole = isinstance(groups, int | np.integer) and not isinstance(groups, bool)
    if not whole or groups < 1 or weight.shape[0] % groups:
        raise ShapeError(
            f"conv2d: groups (={groups!r}) must be a whole number that divides the "
            f"{weight.shape[0]} output channels of the weight {list(weight.shape)}"
        )
    if x.shape[-3] != weight.shape[1] * groups:
        raise ShapeError(
            f"conv2d: input has {x.shape[-3]} channels, the weight {list(weight.shape)} expects "
            f"in={weight.shape[1] * groups}" + (f" for groups={groups}" if groups > 1 else "")
        )
    if min(output_size(x.shape[-2:], weight.shape[2:], stride, padding)) < 1:
        raise ShapeError(
            f"conv2d: kernel {list(weight.shape[2:])} is larger than the image "
            f"{list(x.shape[-2:])} padded by {list(padding)}"
        )
    bias = fitting_bias("conv2d", bias, weight)
    x = converted(x, weight.dtype)
    weight = laid_out(weight, Layout.CONV)
    if groups > 1:
        return GroupedConv2d(stride, padding, int(groups))(x, weight, bias)
    return Conv2d(stride, padding, hints_of(weight))(x, weight, bias)
