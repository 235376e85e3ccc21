"""snnr: very sparse spiking neural networks that train, prune and run on NumPy and Numba."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snnr.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DeviceError,
    DivergedError,
    Interrupted,
    ShapeError,
    SnnrError,
)

if TYPE_CHECKING:
    from snnr import data, functional, metrics, models, nn, optim, surrogate
    from snnr.checkpoint import load, save
    from snnr.gradcheck import gradcheck
    from snnr.tensor import Parameter, Tensor, no_grad
    from snnr.training import Trainer

__version__ = "0.1.0"

#: public name -> module that has it; loaded on first use, so that `import snnr` stays quick
_LAZY = {
    "Tensor": "snnr.tensor",
    "Parameter": "snnr.tensor",
    "no_grad": "snnr.tensor",
    "gradcheck": "snnr.gradcheck",
    "Trainer": "snnr.training",
    "save": "snnr.checkpoint",
    "load": "snnr.checkpoint",
}
_MODULES = ("data", "functional", "metrics", "models", "nn", "optim", "surrogate")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(f"snnr.{name}")
    raise AttributeError(f"module 'snnr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_MODULES])


__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "DivergedError",
    "Interrupted",
    "Parameter",
    "ShapeError",
    "SnnrError",
    "Tensor",
    "Trainer",
    "data",
    "functional",
    "gradcheck",
    "load",
    "metrics",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "surrogate",
]
