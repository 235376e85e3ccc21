"""What every layer has: parameters with names and roles, buffers, settings, train and eval mode."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr.tensor import Parameter, Tensor


class Layer(ABC):
    """Base of all layers: holds parameters and shapes; the mathematics is in `snnr.functional`."""

    #: constructor arguments that rebuild the layer, all JSON values
    SETTINGS: ClassVar[tuple[str, ...]] = ()

    training: bool = True
    #: position and kind within a network, e.g. "0_linear"
    name: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to a sequence or a static tensor."""

    @property
    def kind(self) -> str:
        """Class name, as in a checkpoint."""
        return type(self).__name__

    def settings(self) -> dict[str, Any]:
        """What `build` needs to make this layer again (without its parameters' values)."""
        return {key: getattr(self, key) for key in self.SETTINGS}

    def own_parameters(self) -> dict[str, Parameter]:
        """This layer's parameters by short name ("weight", "bias", "scale", "shift")."""
        return {k: v for k, v in vars(self).items() if isinstance(v, Parameter)}

    def parameters(self) -> list[Parameter]:
        """All parameters, in order."""
        return list(self.own_parameters().values())

    def buffers(self) -> dict[str, NDArray[Any]]:
        """Arrays that are saved but not trained, by short name; changed only in place."""
        return {}

    def layers(self) -> Iterator["Layer"]:
        """This layer and those inside it."""
        yield self

    def train(self, mode: bool = True) -> "Layer":
        """Training mode (batch statistics, dropout) or, with False, evaluation mode."""
        for layer in self.layers():
            layer.training = mode
        return self

    def eval(self) -> "Layer":
        """Evaluation mode: running statistics, no dropout."""
        return self.train(False)

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.settings().items())
        return f"{self.kind}({inside})"


def generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    """A seed, or an existing generator."""
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
