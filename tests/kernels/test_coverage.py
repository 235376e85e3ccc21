"""No operation without a test: the names that the tests compare are the names that exist."""

import ast
from pathlib import Path

import snnr.kernels
from snnr.kernels.reference import OPERATIONS


def compared() -> set[str]:
    """Operation names in calls `compare(kernels, "name", ...)` of the test files here."""
    names = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "compare":
                names.add(ast.literal_eval(node.args[1]))
    return names


def test_every_operation_is_compared():
    assert compared() == set(OPERATIONS)


def test_backends_have_the_operations_of_the_reference():
    assert set(snnr.kernels.table("reference")) == set(OPERATIONS)
    assert set(snnr.kernels.table("cpu")) == set(OPERATIONS)
