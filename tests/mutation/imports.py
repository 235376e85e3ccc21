"""Mutants of what happens on import: each gets a fork of a process that has not imported snnr, in
which the changed file is what the import finds."""

import ast
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from .mutants import Mutant, mutated
from .session import Outcome, Tests, in_fork


class _Changed(MetaPathFinder):
    """Finds one module with another tree."""

    def __init__(self, root: Path, mutant: Mutant) -> None:
        self._name = mutant.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        self._file = str(root / mutant.path)
        self._tree = mutated(root, mutant)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, self._file, self._tree)
        return spec_from_file_location(fullname, self._file, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._tree, self.path, "exec")


class _Watch:
    """Tells which tests are run."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say(nodeid)


def attempt(
    root: Path, mutant: Mutant, tests: Tests, patience: float, options: Sequence[str]
) -> Outcome:
    """One mutant, and the quickest tests of its file that patience suffices for."""
    names = tests.covering(mutant)
    chosen: list[str] = []
    for name in names:
        patience -= tests.seconds[name]
        if patience < 0:
            break
        chosen.append(name)
    if not chosen:
        return Outcome("uncovered")

    def work(say: Callable[[str], None]) -> int:
        sys.meta_path.insert(0, _Changed(root, mutant))
        say("import")
        return int(pytest.main([*options, "-x", *_gathered(chosen)], plugins=[_Watch(say)]))

    status, lines, seconds = in_fork(work)
    cut = len(chosen) < len(names)
    if status:
        return Outcome("caught", lines[-1], f"status {status}", len(lines) - 1, False, seconds)
    return Outcome("survived", "", "", len(lines) - 1, cut, seconds)


def _gathered(names: Sequence[str]) -> list[str]:
    """Tests of one file beside each other, so that its fixtures are made once."""
    return sorted(names, key=lambda name: name.partition("::")[0])
