"""Layers one after the other; neighbours that share a pass over memory are fused."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snnr import functional as F
from snnr.errors import ConfigError, ShapeError
from snnr.kernels import resolve
from snnr.nn.base import Layer
from snnr.nn.layers import Dropout, Linear, MaxPool2d, _BatchNorm
from snnr.nn.neuron import IF
from snnr.tensor import Parameter, Tensor

#: called with "" and the network's input, then with each layer's name and its output (of fused
#: layers, the last one's)
Observer = Callable[[str, Tensor], None]


class Sequential(Layer):
    """A network: layers in order, on one device.

    Parameters
    ----------
    layers : the layers; each gets the name ``"<index>_<kind>"`` and its parameters
        ``"<index>_<kind>.<short name>"``.
    T : time steps for a static input; sets T of every neuron layer that has none.
    device : "cpu", "reference" or "auto".

    Raises
    ------
    ConfigError : no layers, or a layer that is used twice.
    DeviceError : the device does not exist here.
    """

    def __init__(self, *layers: Layer, T: int | None = None, device: str = "cpu") -> None:
        if not layers or len(set(map(id, layers))) != len(layers):
            raise ConfigError("Sequential: give at least one layer, and each layer once")
        self.children = list(layers)
        self.T = T
        self.device = resolve(device)
        self.observer: Observer | None = None
        for index, layer in enumerate(self.children):
            layer.name = f"{index}_{layer.kind.lower()}"
            if isinstance(layer, IF) and layer.T is None:
                layer.T = T
            for short, parameter in layer.own_parameters().items():
                parameter.name = f"{layer.name}.{short}"
                parameter.to(self.device)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.children)

    def __len__(self) -> int:
        return len(self.children)

    def __getitem__(self, index: int) -> Layer:
        return self.children[index]

    def layers(self) -> Iterator[Layer]:
        yield self
        for child in self.children:
            yield from child.layers()

    def parameters(self) -> list[Parameter]:
        return [p for child in self.children for p in child.parameters()]

    def settings(self) -> dict[str, Any]:
        return {"T": self.T}

    def __call__(self, x: Tensor | ArrayLike) -> Tensor:
        """Run the network on a Tensor, or on an array taken as a static input ``[N, ...]``."""
        if not isinstance(x, Tensor):
            array = np.asarray(x)
            if array.dtype == np.uint8:
                raise ShapeError(
                    "the network got a uint8 array: normalise images to float32 first, or wrap "
                    "spikes in snnr.Tensor(spikes, timesteps=T)"
                )
            x = Tensor(array.astype(np.float32, copy=False), device=self.device)
        return self.forward(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.observer is not None:
            self.observer("", x)
        index = 0
        while index < len(self.children):
            x, used = self._step(x, index)
            index += used
            last = self.children[index - 1]
            if self.observer is not None:
                self.observer(last.name, x)
        return x

    def _step(self, x: Tensor, index: int) -> tuple[Tensor, int]:
        """Apply the layers at `index`, as many as fuse; returns how many that were."""
        layer, *rest = self.children[index : index + 3]
        following = rest[0] if rest else None
        if isinstance(layer, _BatchNorm) and isinstance(following, IF) and not following.smooth:
            pool = len(rest) > 1 and _is_halving(rest[1]) and self.observer is None
            out = F.norm_spiking(
                x, layer.scale, layer.shift, layer.statistics, following.neuron(), layer.training,
                following.steps(x), pool,
            )  # fmt: skip
            return out, 2 + pool
        flat = x.data.ndim == 2 + (x.timesteps is not None)
        if isinstance(layer, Dropout) and flat and layer.active() and isinstance(following, Linear):
            return following.forward(x, layer.mask(x), 1.0 / (1.0 - layer.p)), 2
        return layer(x), 1

    def __repr__(self) -> str:
        inside = ",\n  ".join(repr(child) for child in self.children)
        return f"Sequential(\n  {inside},\n  T={self.T})"


def _is_halving(layer: Layer) -> bool:
    return type(layer) is MaxPool2d and layer.kernel_size == layer.stride == 2
