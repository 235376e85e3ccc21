"""The rooms of the package, from the ground up: each imports only from those below it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import snnr

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"snnr": "snnr", "cli": "snnr.cli", "data": "snnr.data"}

#: from the ground up; rooms on one line stand beside each other and do not import one another
ORDER: list[tuple[str, ...]] = [
    ("snnr.errors",),
    ("snnr.budget", "snnr.interrupt", "snnr.lock", "snnr.wording"),
    ("snnr.hdf5",),
    ("snnr.data",),
    ("snnr.kernels.rules",),
    ("snnr.kernels.hints", "snnr.kernels.watching"),
    ("snnr.kernels.operations",),
    ("snnr.kernels.updates",),
    ("snnr.kernels.backend",),
    ("snnr.kernels.reference",),
    ("snnr.kernels.threads",),
    ("snnr.kernels.cache",),
    ("snnr.kernels.jit",),
    ("snnr.kernels.cpu",),
    ("snnr.kernels.cuda",),
    ("snnr.kernels",),
    ("snnr.layout",),
    ("snnr.tensor",),
    ("snnr.gradient_check",),
    ("snnr.surrogate",),
    ("snnr.functional",),
    ("snnr.nn",),
    ("snnr.optim",),
    ("snnr.models",),
    ("snnr.metrics",),
    ("snnr.activity",),
    ("snnr.checkpoint",),
    ("snnr.input",),
    ("snnr.training",),
    ("snnr.sweep",),
    ("snnr.figures",),
    ("snnr.report",),
    ("snnr.sparse",),
    ("snnr.export",),
    ("snnr.cli",),
    ("snnr.__main__",),
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

#: the rooms that data and what it reads with may know
DATA_MAY = ("snnr.data", "snnr.errors", "snnr.budget", "snnr.hdf5")

RUNTIME = {"numpy", "numba", "llvmlite", "scipy", "h5py"}
#: third-party packages of one room alone, and whether they may be imported at its top level
ONLY = {
    "click": ("snnr.cli", True),
    "matplotlib": ("snnr.figures", False),
    "PIL": ("snnr.cli", False),
    "nir": ("snnr.export", False),
    "distributed": ("snnr.sweep", False),
    "optuna": ("snnr.sweep", False),
    "cuda": ("snnr.kernels.cuda", False),
}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
LINES = 450


def modules() -> dict[str, Path]:
    """Every module of the package, by the name it has once installed."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def room(module: str) -> str | None:
    """The room that a module of snnr stands in: its longest known prefix."""
    parts = module.split(".")
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[:end])) in LEVEL:
            return name
    return None


def imports(module: str, tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Modules imported anywhere in `tree`: name, line, and whether inside a function."""
    is_package = MODULES.get(module, Path()).name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]

    def visit(node: ast.AST, inside: bool) -> Iterator[tuple[str, int, bool]]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, inside
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names:
                yield named(base, alias.name), node.lineno, inside
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0] if node.args else None
            if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield str(first.value), node.lineno, inside
        deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, deeper)

    yield from visit(tree, False)


def named(base: str, name: str) -> str:
    """What `from base import name` reaches: a module, or the module that has the name."""
    full = f"{base}.{name}"
    if base == "snnr" and name in snnr._LAZY:
        return snnr._LAZY[name]
    if base == "snnr" and name == "__version__":
        return "snnr.errors"  # of no room
    if full in MODULES or room(full) == full or full == "numba.cuda":
        return full
    return base


def complaints(module: str, source: str) -> list[str]:
    """Everything that `module` with this `source` does against the rules."""
    tree = ast.parse(source)
    here = room(module)
    found = []
    if here is None:
        return [f"{module}: has no place in ORDER"]
    for name, line, inside in imports(module, tree):
        place = f"{module}:{line}: imports {name}"
        top = name.split(".")[0]
        if top == "snnr":
            there = room(name)
            if there is None:
                found.append(f"{place}, which is no room")
            elif there != here and LEVEL[there] >= LEVEL[here]:
                found.append(f"{place}, which stands above {here}")
            elif here == "snnr.data" and there not in DATA_MAY:
                found.append(f"{place}: data knows nothing of the engine")
        elif top in UNPICKLERS:
            found.append(f"{place}: nothing is unpickled")
        elif name.startswith("numba.cuda") and here != "snnr.kernels.cuda":
            found.append(f"{place} outside snnr.kernels.cuda")
        elif top in ONLY:
            owner, anywhere = ONLY[top]
            if here != owner:
                found.append(f"{place}, which only {owner} uses")
            elif not (inside or anywhere):
                found.append(f"{place}: optional, so only inside a function")
        elif top not in sys.stdlib_module_names:
            allowed = {"numpy", "h5py"} if here in DATA_MAY else RUNTIME
            if top not in allowed:
                found.append(f"{place}, which {here} does not depend on")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            found.append(f"{module}:{node.lineno}: calls {node.func.id}")
        for keyword in node.keywords:
            harmless = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "allow_pickle" and not harmless:
                found.append(f"{module}:{node.lineno}: allows pickles")
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if name != "snnr"])
def test_a_module_keeps_to_its_room(module: str) -> None:
    assert complaints(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_not_too_long(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= LINES, f"{module} has {lines} lines: it is asking to be two"


def test_the_root_imports_only_errors() -> None:
    """`import snnr` is quick because everything else is loaded when it is first used."""
    tree = ast.parse(MODULES["snnr"].read_text(encoding="utf-8"))
    at_once = {
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snnr")
    }
    assert at_once == {"snnr.errors"}
    assert set(snnr._LAZY.values()) | {f"snnr.{name}" for name in snnr._MODULES} <= set(MODULES)


#: what the rooms that handle memory may use of numpy: names of types, and the host arrays that
#: people hand over (inputs, labels, first values)
HOST_EDGE = {
    "snnr.tensor": {"asarray", "array"},
    "snnr.functional": {"arange", "asarray", "ascontiguousarray", "shape", "zeros"},
    "snnr.nn": {"asarray", "full", "linalg", "random"},
    # what is read from a file is looked at on the host
    "snnr.optim": {"asarray", "array_equal", "maximum", "random"},
}
TYPES = {
    "dtype", "float32", "float64", "int8", "int64", "uint8", "integer", "floating", "ndarray",
    "generic",
}  # fmt: skip


def touches(module: str, source: str) -> list[str]:
    """Where a module computes with NumPy on what may be memory of a device."""
    here = room(module)
    allowed = HOST_EDGE.get(here or "")
    if allowed is None:
        return []
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute):
            continue
        if ast.unparse(node.value) == "np" and node.attr not in allowed | TYPES:
            found.append(f"{module}:{node.lineno}: np.{node.attr}")
        view = node.attr in ("data", "grad") and isinstance(node.ctx, ast.Load)
        if view and ast.unparse(node.value) not in ("self", "super()"):
            found.append(f"{module}:{node.lineno}: a host view, .{node.attr}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_numpy_computes_nothing_above_the_kernels(module: str) -> None:
    """The arithmetic of tensors is the backends'; tests/test_opaque.py runs on one without NumPy's
    arrays."""
    assert touches(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "out = np.sum(x.memory)", "def f(x):\n    return np.exp(x)", "y = x.data + 1",
        "p.grad.ravel()",
    ],
)  # fmt: skip
def test_numpy_above_the_kernels_would_be_seen(source: str) -> None:
    assert touches("snnr.functional.extra", source)
    assert not touches("snnr.kernels.cpu.extra", source)


@pytest.mark.parametrize(
    ("module", "source", "told"),
    [
        ("snnr.tensor", "from snnr.nn import Linear", "above"),
        ("snnr.tensor", "import snnr.training", "above"),
        ("snnr.tensor", "import snnr", "no room"),
        ("snnr.tensor", "from snnr import functional as F", "above"),
        ("snnr.gradient_check", "from snnr import Trainer", "above"),
        ("snnr.nn.extra", "def f():\n    from snnr import optim", "above"),
        ("snnr.nn.extra", "def f():\n    from ..optim.adam import Adam", "above"),
        ("snnr.nn.extra", "import_module('snnr.optim')", "above"),
        ("snnr.nn.extra", "if TYPE_CHECKING:\n    from snnr.models import csnn", "above"),
        ("snnr.functional.extra", "from snnr.input import Images", "above"),
        ("snnr.kernels.cpu.extra", "from snnr.kernels import table", "above"),
        ("snnr.kernels.rules", "from snnr.kernels.jit import jit", "above"),
        ("snnr.training", "from snnr.cli.common import note", "above"),
        ("snnr.data.extra", "from snnr.cli import main", "above"),
        ("snnr.cli.extra", "from snnr.nowhere import x", "no room"),
        ("snnr.novelty", "import math", "no place"),
        ("snnr.data.extra", "import scipy", "does not depend on"),
        ("snnr.data.extra", "from snnr.interrupt import x", "knows nothing"),
        ("snnr.tensor", "import torch", "does not depend on"),
        ("snnr.training", "import click", "only snnr.cli"),
        ("snnr.figures.extra", "import matplotlib.pyplot as plt", "inside a function"),
        ("snnr.cli.extra", "def f():\n    import matplotlib", "only snnr.figures uses"),
        ("snnr.export.nir", "import nir", "inside a function"),
        ("snnr.optim.base", "from numba import cuda", "outside"),
        ("snnr.data.extra", "import pickle", "unpickled"),
        ("snnr.data.extra", "numpy.load(path, allow_pickle=True)", "allows pickles"),
        ("snnr.data.extra", "numpy.load(path, allow_pickle=flag)", "allows pickles"),
        ("snnr.checkpoint.reader", "eval(text)", "calls eval"),
    ],
)
def test_the_test_sees_what_is_wrong(module: str, source: str, told: str) -> None:
    found = complaints(module, source)
    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("snnr.nn.extra", "from . import base\nfrom .base import Layer\nfrom ..tensor import T"),
        ("snnr.figures.extra", "def f():\n    import matplotlib\n    from snnr import Trainer"),
        ("snnr.export.nir", "def f():\n    import nir"),
        ("snnr.kernels.cuda.lif", "from numba import cuda"),
        ("snnr.checkpoint.writer", "from snnr import __version__"),
        ("snnr.data.extra", "numpy.load(path, allow_pickle=False)"),
        ("snnr.kernels", "def f():\n    from snnr.kernels.cpu import OPERATIONS"),
    ],
)
def test_the_test_accepts_what_is_right(module: str, source: str) -> None:
    assert complaints(module, source) == []
