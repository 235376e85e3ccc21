"""No operation without a test, nor one that differs in name, place or arguments."""

import ast
import inspect
from pathlib import Path

import pytest

from snnr.kernels.backend import OPERATIONS, Backend

from .conftest import BACKENDS, operations


def compared() -> set[str]:
    """Operation names in calls `compare(kernels, "name", ...)` of the test files here."""
    names = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "compare":
                name = node.args[1]
                names |= {name.value} if isinstance(name, ast.Constant) else set()
    return names


#: memory verbs with a test of their own
VERBS = {
    "empty", "zeros", "copy_in", "copy_out", "write", "copy", "fill", "record", "reconsider",
    "packed_gradient",
}  # fmt: skip


def test_every_operation_is_compared():
    assert compared() == set(OPERATIONS) - VERBS


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_backends_have_the_operations_that_are_written_down(backend):
    functions = operations(backend)
    assert set(functions) == set(OPERATIONS)
    for name, function in functions.items():
        written = inspect.signature(getattr(Backend, name)).parameters.values()
        found = inspect.signature(function).parameters.values()
        assert [(p.name, p.default) for p in found] == [
            (p.name, p.default) for p in written if p.name != "self"
        ], name


def file(backend, name):
    """The file or folder below the backend's that an operation lives in."""
    module = operations(backend)[name].__module__
    return module.removeprefix(f"snnr.kernels.{backend}.").split(".")[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_operation_lives_in_the_same_file_in_every_backend(backend):
    for name in OPERATIONS:
        assert file(backend, name) == file("reference", name), name
