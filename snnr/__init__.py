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
    UnknownName,
)

if TYPE_CHECKING:
    from snnr import (
        activity,
        checkpoint,
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
        sweep,
        training,
    )
    from snnr.checkpoint import load, save
    from snnr.data import Dataset
    from snnr.export import load_nir, load_weights
    from snnr.gradient_check import gradcheck
    from snnr.input import Events, Images, Samples, Source
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
    "Dataset": "snnr.data",
    "Events": "snnr.input",
    "Images": "snnr.input",
    "Samples": "snnr.input",
    "Source": "snnr.input",
    "Trainer": "snnr.training",
    "save": "snnr.checkpoint",
    "load": "snnr.checkpoint",
    "load_nir": "snnr.export",
    "load_weights": "snnr.export",
    "compile": "snnr.sparse",
}
_MODULES = (
    "activity", "checkpoint", "data", "export", "functional", "input", "metrics", "models", "nn",
    "optim", "sparse", "surrogate", "sweep", "training",
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


#: names that people know from other libraries -> what does that here
_ELSEWHERE = {
    "Module": "snnr.nn.Layer",
    "tensor": "snnr.Tensor",
    "from_numpy": "snnr.Tensor(array)",
    "as_tensor": "snnr.Tensor(array)",
    "zeros": "snnr.Tensor(np.zeros(shape, np.float32))",
    "ones": "snnr.Tensor(np.ones(shape, np.float32))",
    "randn": "snnr.Tensor(np.random.default_rng(seed).standard_normal(shape, np.float32))",
    "manual_seed": "the seed of each network and Trainer: seed=..., rng=...",
    "device": "a text: device='cpu', 'cuda' or 'auto'",
    "relu": "a layer of neurons, snnr.nn.LIF()",
}


def _elsewhere(name: str) -> dict[str, str]:
    """What a name that is not here is here, or where it stands. Nothing is imported for it: the
    question comes in the middle of imports too."""
    for module in _MODULES:
        if name in getattr(sys.modules.get(f"snnr.{module}"), "__all__", ()):
            return {**_ELSEWHERE, name: f"snnr.{module}.{name}"}
    return _ELSEWHERE


if not TYPE_CHECKING:  # which would take any name for a good one

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(import_module(_LAZY[name]), name)
        if name in _MODULES:
            return import_module(f"snnr.{name}")
        raise UnknownName("module 'snnr'", name, lambda: __all__, _elsewhere(name))


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


__all__ = [
    "ArgumentError",
    "Buffer",
    "Callback",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Dataset",
    "DeviceError",
    "DivergedError",
    "Events",
    "Function",
    "Images",
    "Interrupted",
    "Parameter",
    "Samples",
    "ShapeError",
    "SnnrError",
    "Source",
    "TapeError",
    "Tensor",
    "Trainer",
    "activity",
    "checkpoint",
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
    "sweep",
    "training",
]
