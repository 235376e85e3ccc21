"""snnr: very sparse spiking neural networks that train, prune and run on NumPy and Numba."""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnr.errors import (
    ArgumentError,
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
    from snnr import (
        activity,
        data,
        export,
        functional,
        input,
        metrics,
        models,
        nn,
        optim,
        sparse,
        surrogate,
    )
    from snnr.checkpoint import load, save
    from snnr.export import load_nir, load_weights
    from snnr.gradient_check import gradcheck
    from snnr.sparse import compile
    from snnr.tensor import Buffer, Function, Parameter, Tensor, no_grad
    from snnr.training import Callback, Trainer

__version__ = "0.1.0"

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
    "load_nir": "snnr.export",
    "load_weights": "snnr.export",
    "compile": "snnr.sparse",
}
_MODULES = (
    "activity", "data", "export", "functional", "input", "metrics", "models", "nn", "optim",
    "sparse", "surrogate",
)  # fmt: skip


class _Beside(MetaPathFinder):
    """Finds `snnr.cli` and `snnr.data` beside this folder, where they lie in a checkout."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname not in ("snnr.cli", "snnr.data"):
            return None
        folder = Path(__file__).parents[1] / fullname.rpartition(".")[2]
        if not (folder / "__init__.py").is_file():
            return None
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


if not Path(__file__).with_name("data").exists():
    sys.meta_path.append(_Beside())  # after whoever knows an installed copy


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _MODULES:
        return import_module(f"snnr.{name}")
    raise AttributeError(f"module 'snnr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_MODULES])


__all__ = [
    "ArgumentError",
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
    "compile",
    "data",
    "export",
    "functional",
    "gradcheck",
    "input",
    "load",
    "load_nir",
    "load_weights",
    "metrics",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "sparse",
    "surrogate",
]
