"""snnr: very sparse spiking neural networks that train, prune and run on NumPy and Numba."""

from importlib import import_module
from pathlib import Path
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
    TapeError,
)

if TYPE_CHECKING:
    from snnr import activity, data, functional, input, metrics, models, nn, optim, surrogate
    from snnr.checkpoint import load, save
    from snnr.gradient_check import gradcheck
    from snnr.tensor import Buffer, Function, Parameter, Tensor, no_grad
    from snnr.training import Callback, Trainer

__version__ = "0.1.0"

# `cli` and `data` are installed inside of this package; in a checkout they lie beside it
_here = Path(__file__).parent
if not (_here / "data").exists() and (_here.parent / "data" / "mnist").exists():
    __path__.append(str(_here.parent))

#: public name -> module that has it; loaded on first use, so that `import snnr` stays quick
_LAZY = {
    "Tensor": "snnr.tensor",
    "Parameter": "snnr.tensor",
    "no_grad": "snnr.tensor",
    "Buffer": "snnr.tensor",
    "Function": "snnr.tensor",
    "gradcheck": "snnr.gradient_check",
    "Callback": "snnr.training",
    "Trainer": "snnr.training",
    "save": "snnr.checkpoint",
    "load": "snnr.checkpoint",
}
_MODULES = (
    "activity", "data", "functional", "input", "metrics", "models", "nn", "optim", "surrogate",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(f"snnr.{name}")
    raise AttributeError(f"module 'snnr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_MODULES])


__all__ = [
    "Buffer",
    "Callback",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "DivergedError",
    "Function",
    "Interrupted",
    "Parameter",
    "ShapeError",
    "SnnrError",
    "TapeError",
    "Tensor",
    "Trainer",
    "activity",
    "data",
    "functional",
    "gradcheck",
    "input",
    "load",
    "metrics",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "surrogate",
]
