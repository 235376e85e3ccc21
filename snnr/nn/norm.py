"""BatchNorm layers."""

from typing import Any

from snnr import functional as F
from snnr.errors import ConfigError, ShapeError
from snnr.layout import Layout
from snnr.nn.arrays import Seed, Shape, Spec, _Empty
from snnr.nn.base import Layer
from snnr.nn.checks import number, whole
from snnr.nn.init import ones, zeros
from snnr.tensor import Buffer, Parameter, Tensor


class BatchNorm(Layer):
    """What both kinds share: `scale` and `shift` ``[C]``, roles of the same names; buffers
    `running_mean` and `running_var`, which evaluation normalises with.

    momentum : weight of the newest batch in the running statistics, in (0, 1].
    """

    scale: Parameter
    shift: Parameter
    running_mean: Buffer
    running_var: Buffer

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        rng: Seed | _Empty = None,
    ) -> None:
        eps, momentum = number(self.kind, "eps", eps), number(self.kind, "momentum", momentum)
        if not 0 < momentum <= 1 or not eps > 0:
            raise ConfigError(
                f"{self.kind}: momentum (={momentum}) must lie in (0, 1] and eps (={eps}) be > 0"
            )
        self.num_features = whole(self.kind, num_features=num_features)
        self.eps = eps
        self.momentum = momentum
        self.own(self.declare(num_features=num_features), rng)

    @classmethod
    def declare(cls, **settings: Any) -> dict[str, Spec]:
        count = settings["num_features"]
        whole(cls.__name__, num_features=count)
        plain, zero, one = Layout.PLAIN, zeros(), ones()
        return {
            "scale": Spec("scale", (count,), plain, one),
            "shift": Spec("shift", (count,), plain, zero),
            "running_mean": Spec("running_mean", (count,), plain, zero, trained=False),
            "running_var": Spec("running_var", (count,), plain, one, trained=False, least=0),
        }

    @property
    def statistics(self) -> F.RunningStatistics:
        """The running statistics, as `snnr.functional` takes them."""
        return F.RunningStatistics(self.running_mean, self.running_var, self.momentum, self.eps)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 3) or shape[0] != self.num_features:
            raise ShapeError(
                f"{self!r} takes samples of {self.num_features} channels, not {list(shape)}"
            )
        return shape

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.scale, self.shift, self.statistics, self.training)


class BatchNorm1d(BatchNorm, launches_alike=True):
    """BatchNorm of ``[T, N, C]`` over time and batch: scale, shift and running statistics."""


class BatchNorm2d(BatchNorm, launches_alike=True):
    """BatchNorm of ``[T, N, C, H, W]`` over time, batch and space."""
