"""Linear, convolution, BatchNorm, pooling, dropout, flatten, voting."""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr import functional as F
from snnr.errors import ConfigError
from snnr.kernels.buffers import empty
from snnr.nn.base import Layer, generator
from snnr.tensor import Parameter, Tensor

Seed = np.random.Generator | int | None


def _positive(layer: str, **values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ConfigError(f"{layer}: {name} (={value!r}) must be a whole number, at least 1")


def _uniform(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> NDArray[Any]:
    """Uniform in ±1/sqrt(fan_in), PyTorch's default for Linear and Conv."""
    bound = 1.0 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(np.float32)


class Linear(Layer):
    """``y = x @ weight.T + bias``; ``[.., in_features]`` -> ``[.., out_features]``.

    `weight` is ``[out, in]`` (stored input-major, so that one spike names one row of memory), role
    "weight"; `bias` ``[out]``, role "bias". Both start uniform in ±1/sqrt(in_features).
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, rng: Seed = None
    ) -> None:
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.bias_enabled = bias
        random = generator(rng)
        memory = empty((in_features, out_features))
        memory.T[...] = _uniform((out_features, in_features), in_features, random)
        self.weight = Parameter(memory.T, "weight", "weight")
        if bias:
            self.bias = Parameter(_uniform((out_features,), in_features, random), "bias", "bias")

    def settings(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias_enabled,
        }

    def forward(
        self, x: Tensor, mask: NDArray[np.uint8] | None = None, factor: float = 1.0
    ) -> Tensor:
        bias = self.bias if self.bias_enabled else None
        return F.linear(x, self.weight, bias, mask, factor)


class Conv2d(Layer):
    """2-D convolution; ``[.., C, H, W]`` -> ``[.., out_channels, H', W']``.

    `weight` is ``[out, in, kh, kw]`` (stored ``[kh, kw, in, out]``), role "weight"; `bias`
    ``[out]``, role "bias". Both start uniform in ±1/sqrt(in_channels*kernel_size^2).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        rng: Seed = None,
    ) -> None:
        _positive(
            "Conv2d",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            stride=stride,
        )
        if padding < 0:
            raise ConfigError(f"Conv2d: padding (={padding}) must not be negative")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.bias_enabled = bias
        random = generator(rng)
        fan_in = in_channels * kernel_size**2
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        memory = empty((kernel_size, kernel_size, in_channels, out_channels))
        memory.transpose(3, 2, 0, 1)[...] = _uniform(shape, fan_in, random)
        self.weight = Parameter(memory.transpose(3, 2, 0, 1), "weight", "weight")
        if bias:
            self.bias = Parameter(_uniform((out_channels,), fan_in, random), "bias", "bias")

    def settings(self) -> dict[str, Any]:
        keys = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        return {**{key: getattr(self, key) for key in keys}, "bias": self.bias_enabled}

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias_enabled else None
        return F.conv2d(x, self.weight, bias, self.stride, self.padding)


class _BatchNorm(Layer):
    SETTINGS: ClassVar[tuple[str, ...]] = ("num_features", "eps", "momentum")

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        _positive(self.kind, num_features=num_features)
        if not 0 < momentum <= 1 or eps <= 0:
            raise ConfigError(
                f"{self.kind}: momentum (={momentum}) must lie in (0, 1] and eps (={eps}) be > 0"
            )
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.scale = Parameter(np.ones(num_features, np.float32), "scale", "scale")
        self.shift = Parameter(np.zeros(num_features, np.float32), "shift", "shift")
        self.statistics = F.RunningStatistics(
            np.zeros(num_features, np.float32), np.ones(num_features, np.float32), momentum, eps
        )

    @property
    def running_mean(self) -> NDArray[Any]:
        return self.statistics.mean

    @property
    def running_var(self) -> NDArray[Any]:
        return self.statistics.var

    def buffers(self) -> dict[str, NDArray[Any]]:
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.scale, self.shift, self.statistics, self.training)


class BatchNorm1d(_BatchNorm):
    """BatchNorm of ``[T, N, C]`` over time and batch: scale, shift and running statistics."""


class BatchNorm2d(_BatchNorm):
    """BatchNorm of ``[T, N, C, H, W]`` over time, batch and space."""


class MaxPool2d(Layer):
    """Max pooling without padding, floor mode; stride defaults to kernel_size."""

    SETTINGS: ClassVar[tuple[str, ...]] = ("kernel_size", "stride")

    def __init__(self, kernel_size: int = 2, stride: int | None = None) -> None:
        _positive(self.kind, kernel_size=kernel_size)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride)


class AvgPool2d(MaxPool2d):
    """Average pooling without padding, floor mode; stride defaults to kernel_size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride)


class Flatten(Layer):
    """``[.., C, H, W]`` -> ``[.., C*H*W]``."""

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x)


class Dropout(Layer):
    """Zero each unit with probability p, the same units at every time step, scale by 1/(1-p).

    The masks come from the layer's own generator, which a checkpoint saves.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("p",)

    def __init__(self, p: float = 0.5, rng: Seed = None) -> None:
        if not 0 <= p < 1:
            raise ConfigError(f"Dropout: p (={p}) must lie in [0, 1)")
        self.p = p
        self.rng = generator(rng)
        self.fixed_mask: NDArray[np.uint8] | None = None

    def active(self) -> bool:
        """Whether the layer does anything now."""
        return self.training and self.p > 0

    def mask(self, x: Tensor) -> NDArray[np.uint8]:
        """A fresh mask for one time step of x (or `fixed_mask` when that is set)."""
        if self.fixed_mask is not None:
            return self.fixed_mask
        single = x.shape if x.timesteps is None else x.shape[1:]
        return F.dropout_mask(single, self.p, self.rng)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.mask(x)) if self.active() else x


class Voting(Layer):
    """Each class is the mean of `group` neighbouring outputs."""

    SETTINGS: ClassVar[tuple[str, ...]] = ("group",)

    def __init__(self, group: int = 10) -> None:
        _positive(self.kind, group=group)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        return F.voting(x, self.group)
