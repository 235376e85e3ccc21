"""Layers without weights: pooling, flatten, voting."""

import math

from snnr import functional as F
from snnr.errors import ShapeError
from snnr.functional.pool import pooled
from snnr.nn.arrays import Shape
from snnr.nn.base import Layer
from snnr.nn.checks import MAX_POOL, MAX_STRIDE, whole
from snnr.tensor import Tensor


class MaxPool2d(Layer, launches_alike=True):
    """Max pooling without padding, floor mode; stride defaults to kernel_size."""

    def __init__(self, kernel_size: int = 2, stride: int | None = None) -> None:
        self.kernel_size = whole(self.kind, most=MAX_POOL, kernel_size=kernel_size)
        step = self.kernel_size if stride is None else stride
        self.stride = whole(self.kind, most=MAX_STRIDE, stride=step)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or min(shape[1:]) < self.kernel_size:
            raise ShapeError(
                f"{self!r} takes images of at least {self.kernel_size} by {self.kernel_size}, not "
                f"samples of {list(shape)}"
            )
        return (shape[0], *pooled(shape[1:], self.kernel_size, self.stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride)


class AvgPool2d(MaxPool2d, launches_alike=True):
    """Average pooling without padding, floor mode; stride defaults to kernel_size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride)


class Flatten(Layer, launches_alike=True):
    """``[.., C, H, W]`` -> ``[.., C*H*W]``."""

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x)


class Voting(Layer, launches_alike=True):
    """Each class is the mean of `group` neighbouring outputs."""

    def __init__(self, group: int = 10) -> None:
        self.group = whole(self.kind, group=group)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] % self.group:
            raise ShapeError(
                f"{self!r} takes samples of a multiple of {self.group} votes, not {list(shape)}"
            )
        return (shape[0] // self.group,)

    def forward(self, x: Tensor) -> Tensor:
        return F.voting(x, self.group)
