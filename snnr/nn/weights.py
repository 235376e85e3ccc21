"""Layers with prunable weights: linear and convolution."""

import math
from typing import Any

from numpy.typing import NDArray

from snnr import functional as F
from snnr.errors import ConfigError, ShapeError
from snnr.functional.conv import output_size
from snnr.layout import Layout
from snnr.nn import init
from snnr.nn.arrays import Initial, Seed, Shape, Spec, _Empty
from snnr.nn.base import Layer
from snnr.nn.checks import MAX_PADDING, MAX_STRIDE, Pair, both, flag, pair, whole
from snnr.tensor import Parameter, Tensor


def _specs(
    shape: Shape, layout: Layout, bias: bool, weight_init: Initial | None
) -> dict[str, Spec]:
    """Weight and bias, both uniform in ±1/sqrt(fan_in) unless the weight is told otherwise."""
    first = init.default(math.prod(shape[1:]))
    own = first if weight_init is None else init.checked("weight_init", weight_init)
    specs = {"weight": Spec("weight", shape, layout, own)}
    if bias:
        specs["bias"] = Spec("bias", shape[:1], Layout.PLAIN, first)
    return specs


class Linear(Layer, launches_alike=True):
    """``y = x @ weight.T + bias``; ``[.., in_features]`` -> ``[.., out_features]``.

    `weight` is ``[out, in]`` (memory ``[in, out]``, so that one spike names one row), role
    "weight"; `bias` ``[out]``, role "bias", or None. Both start uniform in ±1/sqrt(in_features),
    the weight as `weight_init` says where one is given (`snnr.nn.init`).
    """

    weight: Parameter
    bias: Parameter | None = None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rng: Seed | _Empty = None,
        weight_init: Initial | None = None,
    ) -> None:
        self.in_features = whole("Linear", in_features=in_features)
        self.out_features = whole("Linear", out_features=out_features)
        bias = flag("Linear", "bias", bias)
        sizes = {"in_features": in_features, "out_features": out_features}
        self.own(self.declare(**sizes, bias=bias, weight_init=weight_init), rng)

    @classmethod
    def declare(cls, **settings: Any) -> dict[str, Spec]:
        inputs, outputs = settings["in_features"], settings["out_features"]
        whole("Linear", in_features=inputs, out_features=outputs)
        bias, initial = settings.get("bias", True), settings.get("weight_init")
        return _specs((outputs, inputs), Layout.LINEAR, bias, initial)

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

    kernel_size, stride, padding : of rows and columns, one number for both or two.
    groups : see `snnr.functional.conv2d`; it divides both numbers of channels. ``groups =
        in_channels`` is depthwise.

    `weight` is ``[out, in/groups, kh, kw]`` (memory ``[kh, kw, in/groups, out]``), role "weight";
    `bias` ``[out]``, role "bias", or None. Both start uniform in ±1/sqrt(in/groups*kh*kw), the
    weight as `weight_init` says where one is given (`snnr.nn.init`).

    Windows that are not square run in the same kernels; Winograd's form serves 3x3 at stride 1,
    walks over spikes and surviving weights serve stride 1. Two equal numbers become one.
    """

    weight: Parameter
    bias: Parameter | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair = 3,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        rng: Seed | _Empty = None,
        groups: int = 1,
        weight_init: Initial | None = None,
    ) -> None:
        self.in_channels = whole("Conv2d", in_channels=in_channels)
        self.out_channels = whole("Conv2d", out_channels=out_channels)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride, most=MAX_STRIDE)
        self.padding = pair("Conv2d", "padding", padding, least=0, most=MAX_PADDING)
        bias = flag("Conv2d", "bias", bias)
        self.groups = whole("Conv2d", groups=groups)
        sizes = {
            "in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size,
        }  # fmt: skip
        more = {"bias": bias, "groups": groups, "weight_init": weight_init}
        self.own(self.declare(**sizes, **more), rng)

    @classmethod
    def declare(cls, **settings: Any) -> dict[str, Spec]:
        inputs, outputs = settings["in_channels"], settings["out_channels"]
        groups = settings.get("groups", 1)
        whole("Conv2d", in_channels=inputs, out_channels=outputs, groups=groups)
        taps = both(pair("Conv2d", "kernel_size", settings.get("kernel_size", 3)))
        for name, channels in (("in_channels", inputs), ("out_channels", outputs)):
            if channels % groups:
                raise ConfigError(
                    f"Conv2d: {name} (={channels}) must be divisible by groups (={groups})"
                )
        shape, bias = (outputs, inputs // groups, *taps), settings.get("bias", True)
        return _specs(shape, Layout.CONV, bias, settings.get("weight_init"))

    def settings(self) -> dict[str, Any]:
        keys = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        found = {**{key: getattr(self, key) for key in keys}, "bias": self.bias is not None}
        # left out where there are none, as in files of versions that knew none
        return found if self.groups == 1 else {**found, "groups": self.groups}

    @property
    def geometry(self) -> tuple[Pair, Pair, Pair]:
        """Kernel size, stride and padding, each of rows and columns."""
        return both(self.kernel_size), both(self.stride), both(self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise ShapeError(
                f"{self!r} takes samples of [{self.in_channels}, H, W], not {list(shape)}"
            )
        size = output_size(shape[1:], *self.geometry)
        if min(size) < 1:
            raise ShapeError(f"{self!r} is larger than the padded image, {list(shape)}")
        return (self.out_channels, *size)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.groups)
