"""Layers with prunable weights: linear and convolution."""

import math
from typing import Any

from numpy.typing import NDArray

from snnr import functional as F
from snnr.errors import ShapeError
from snnr.functional.conv import output_size
from snnr.layout import Layout
from snnr.nn.arrays import Seed, Shape, Spec, _Empty, uniform
from snnr.nn.base import Layer
from snnr.nn.checks import MAX_PADDING, MAX_STRIDE, flag, whole
from snnr.tensor import Parameter, Tensor


def _specs(shape: Shape, layout: Layout, bias: bool) -> dict[str, Spec]:
    """Weight and bias, both uniform in ±1/sqrt(fan_in)."""
    first = uniform(math.prod(shape[1:]))
    specs = {"weight": Spec("weight", shape, layout, first)}
    if bias:
        specs["bias"] = Spec("bias", shape[:1], Layout.PLAIN, first)
    return specs


class Linear(Layer, launches_alike=True):
    """``y = x @ weight.T + bias``; ``[.., in_features]`` -> ``[.., out_features]``.

    `weight` is ``[out, in]`` (memory ``[in, out]``, so that one spike names one row), role
    "weight"; `bias` ``[out]``, role "bias", or None. Both start uniform in ±1/sqrt(in_features).
    """

    weight: Parameter
    bias: Parameter | None = None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rng: Seed | _Empty = None,
    ) -> None:
        self.in_features = whole("Linear", in_features=in_features)
        self.out_features = whole("Linear", out_features=out_features)
        bias = flag("Linear", "bias", bias)
        self.own(self.declare(in_features=in_features, out_features=out_features, bias=bias), rng)

    @classmethod
    def declare(cls, **settings: Any) -> dict[str, Spec]:
        inputs, outputs = settings["in_features"], settings["out_features"]
        whole("Linear", in_features=inputs, out_features=outputs)
        return _specs((outputs, inputs), Layout.LINEAR, settings.get("bias", True))

    def settings(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias is not None,
        }

    def output_shape(self, shape: Shape) -> Shape:
        if shape != (self.in_features,):
            raise ShapeError(f"{self!r} takes samples of [{self.in_features}], not {list(shape)}")
        return (self.out_features,)

    def forward(
        self, x: Tensor, mask: "Tensor | NDArray[Any] | None" = None, factor: float = 1.0
    ) -> Tensor:
        return F.linear(x, self.weight, self.bias, mask, factor)


class Conv2d(Layer, launches_alike=True):
    """2-D convolution; ``[.., C, H, W]`` -> ``[.., out_channels, H', W']``.

    `weight` is ``[out, in, kh, kw]`` (memory ``[kh, kw, in, out]``), role "weight"; `bias`
    ``[out]``, role "bias", or None. Both start uniform in ±1/sqrt(in_channels*kernel_size^2).
    """

    weight: Parameter
    bias: Parameter | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        rng: Seed | _Empty = None,
    ) -> None:
        self.in_channels = whole("Conv2d", in_channels=in_channels)
        self.out_channels = whole("Conv2d", out_channels=out_channels)
        self.kernel_size = whole("Conv2d", kernel_size=kernel_size)
        self.stride = whole("Conv2d", most=MAX_STRIDE, stride=stride)
        self.padding = whole("Conv2d", least=0, most=MAX_PADDING, padding=padding)
        sizes = {
            "in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size,
        }  # fmt: skip
        self.own(self.declare(**sizes, bias=bias), rng)

    @classmethod
    def declare(cls, **settings: Any) -> dict[str, Spec]:
        inputs, outputs = settings["in_channels"], settings["out_channels"]
        taps = settings.get("kernel_size", 3)
        whole("Conv2d", in_channels=inputs, out_channels=outputs, kernel_size=taps)
        return _specs((outputs, inputs, taps, taps), Layout.CONV, settings.get("bias", True))

    def settings(self) -> dict[str, Any]:
        keys = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        return {**{key: getattr(self, key) for key in keys}, "bias": self.bias is not None}

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise ShapeError(
                f"{self!r} takes samples of [{self.in_channels}, H, W], not {list(shape)}"
            )
        taps, stride, padding = self.kernel_size, self.stride, self.padding
        size = output_size(shape[1:], (taps, taps), (stride, stride), (padding, padding))
        if min(size) < 1:
            raise ShapeError(f"{self!r} is larger than the padded image, {list(shape)}")
        return (self.out_channels, *size)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
