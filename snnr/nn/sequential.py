"""Layers one after the other; neighbours that share a pass over memory are fused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snnr import functional as F
from snnr.errors import ArgumentError, ConfigError, ShapeError
from snnr.nn.arrays import Shape
from snnr.nn.base import Layer
from snnr.nn.checks import steps
from snnr.nn.neuron import IF
from snnr.nn.shape import MaxPool2d
from snnr.nn.stages import Stage, grouped
from snnr.nn.watching import watches_of
from snnr.nn.weights import Linear
from snnr.tensor import Tensor
from snnr.tensor.checks import described


class Sequential(Layer, launches_alike=True):
    """A network, or a part of one: layers in order, on one device.

    Parameters
    ----------
    layers : the layers, which may be sequences themselves or have layers inside; each gets the path
        ``"<index>_<kind>"`` and its arrays ``"<index>_<kind>.<short name>"``, behind the path of
        the sequence they stand in.
    T : time steps for a static input; sets T of every neuron layer inside that has none.
    device : "cpu", "reference" or "auto"; None leaves the layers where they are.

    Raises
    ------
    ConfigError : no layers, a layer or parameter that stands in two places, or a T out of bounds.
    DeviceError : the device does not exist here.
    """

    def __init__(self, *layers: Layer, T: int | None = None, device: str | None = None) -> None:
        if not layers:
            raise ConfigError("Sequential: give at least one layer")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ConfigError(
                    f"Sequential: {described(layer)} is no layer (snnr.nn.Layer); {_remedy(layer)}"
                )
        self.in_order = list(layers)
        self.T = T = steps("Sequential", T)
        self._stages = grouped(self.in_order)
        self.call("")
        if T is not None:
            for inside in self.layers():
                if isinstance(inside, IF | Sequential) and inside.T is None:
                    inside.T = T
        if device is not None:
            self.to(device)

    @classmethod
    def setting_names(cls) -> list[str]:
        return ["T", "layers"]

    def settings(self) -> dict[str, Any]:
        return {"T": self.T, "layers": list(self.in_order)}

    def children(self) -> dict[str, Layer]:
        return {f"{i}_{layer.kind.lower()}": layer for i, layer in enumerate(self.in_order)}

    def layers(self) -> Iterator[Layer]:
        yield self
        for layer in self.in_order:
            yield from layer.layers()

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.in_order)

    def __len__(self) -> int:
        return len(self.in_order)

    def __getitem__(self, index: int) -> Layer:
        return self.in_order[index]

    def output_shape(self, shape: Shape) -> Shape:
        for layer in self.in_order:
            shape = layer.output_shape(shape)
        return shape

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        """Run the network on a Tensor, or on an array taken as a static input ``[N, ...]``."""
        if not isinstance(x, Tensor):
            array = np.asarray(x)
            if array.dtype.kind not in "fiu":
                raise ArgumentError(
                    f"the network got {described(x)}, expected a snnr.Tensor or an array of "
                    "numbers [N, ...]"
                )
            if array.dtype == np.uint8:
                raise ShapeError(
                    "the network got a uint8 array: normalise images to float32 first, or wrap "
                    "spikes in snnr.Tensor(spikes, timesteps=T)"
                )
            x = Tensor(array.astype(self._float_dtype(), copy=False), device=self.device)
        return super().__call__(x)

    def _float_dtype(self) -> Any:
        """That of the first parameter, float32 without one."""
        for layer in self.layers():
            for parameter in layer.own_parameters().values():
                return parameter.dtype
        return np.float32

    def forward(self, x: Tensor) -> Tensor:
        watches = watches_of(self)
        apart = any(watch.spikes for watch in watches)
        for stage in self._stages:
            layers = stage.layers
            index = 0
            while index < len(layers):
                fused = _fused(stage, layers[index], x, apart)
                if fused is None:
                    x = layers[index](x)
                    index += 1
                    continue
                x, used = fused
                index += used
                for watch in watches:
                    watch.after(layers[index - 1], None, x)
        return x

    def __repr__(self) -> str:
        inside = ",\n  ".join(repr(layer).replace("\n", "\n  ") for layer in self.in_order)
        return f"Sequential(\n  {inside},\n  T={self.T})"


def _remedy(thing: Any) -> str:
    """How it becomes a layer of a sequence."""
    if isinstance(thing, list | tuple):
        return "pass the layers one by one: Sequential(*layers)"
    if isinstance(thing, type):
        return f"make one: {thing.__name__}(...)"
    return "wrap what it does in a subclass of snnr.nn.Layer"


def _fused(stage: Stage, layer: Layer, x: Tensor, apart: bool) -> tuple[Tensor, int] | None:
    """Several layers from `layer` on in one pass, and how many; None where it runs alone.

    apart : pooling runs by itself, so that the spikes in front of it exist.
    """
    norm, neuron, pool = stage.norm, stage.neuron, stage.pool
    if norm is not None and layer is norm and neuron is not None and not neuron.smooth:
        together = pool is not None and _is_halving(pool) and not apart and min(x.shape[-2:]) > 1
        out = F.norm_spiking(
            x, norm.scale, norm.shift, norm.statistics, neuron.neuron(), norm.training,
            neuron.steps(x), together,
        )  # fmt: skip
        return out, 2 + together
    dropout, weight = stage.dropout, stage.weight
    flat = len(x.sample_shape) == 2
    if dropout is not None and layer is dropout and flat and isinstance(weight, Linear):
        if not dropout.active():
            return None
        return weight.forward(x, dropout.mask(x), 1.0 / (1.0 - dropout.p)), 2
    return None


def _is_halving(layer: MaxPool2d) -> bool:
    return type(layer) is MaxPool2d and layer.kernel_size == layer.stride == 2
