"""The mutants themselves: what is changed, what is left alone, and that a mutant is found again."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from .mutants import Mutant, mutants, mutated
from .report import interval
from .rooms import GROUPS, files, group

SOURCE = '''"""A text, 1."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1

RATE = 0.5


def f(a: int = 3, *, b: bool = True) -> "int | None":
    """Text, 2."""
    if not 0 <= a < 9 and b:
        raise ValueError(f"a is {a}, expected 0 to {9 - 1}")
    print(a, sep="")
    for x in [y for y in range(a) if y]:
        if x:
            break
    return a + 1 if b else -a


class C:
    @property
    def g(self) -> object:
        def inner() -> object:
            super().__init__()
            self.h = None
            return None
        return inner
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(SOURCE)
    return tmp_path


def test_every_kind_of_change_is_made_once(root: Path) -> None:
    found = {(mutant.line, mutant.what) for mutant in mutants(root, "m.py")}
    assert found == {
        (7, "0.5 -> 1.0"),
        (10, "3 -> 4"), (10, "True -> False"),
        (12, "condition -> True"), (12, "condition -> False"), (12, "and -> or"),
        (12, "without not"), (12, "<= -> <"), (12, "< -> <="), (12, "0 -> 1"), (12, "9 -> 10"),
        (14, "without print(a, sep='')"), (14, "without sep="),
        (15, "filter -> True"),
        (16, "condition -> True"), (16, "condition -> False"),
        (17, "break <-> continue"),
        (18, "return None"), (18, "condition -> True"), (18, "condition -> False"),
        (18, "+ -> -"), (18, "1 -> 2"), (18, "without -"),
        (25, "without super().__init__()"),
        (28, "return None"),
    }  # fmt: skip


def test_a_mutant_knows_its_function_and_statement(root: Path) -> None:
    by_line = {mutant.line: mutant for mutant in mutants(root, "m.py")}
    assert by_line[7].function is by_line[10].function is None
    assert (by_line[12].function, by_line[12].lines) == (("f", 10), (12, 12))
    # the decorator is the first line of a function's code
    assert (by_line[25].function, by_line[25].lines) == (("C.g", 22), (25, 25))


def test_each_file_compiles_and_differs(root: Path) -> None:
    seen = {ast.unparse(ast.parse(SOURCE))}
    for mutant in mutants(root, "m.py"):
        tree = mutated(root, mutant)
        compile(tree, "m.py", "exec")
        assert ast.unparse(tree) not in seen
        seen.add(ast.unparse(tree))
    with pytest.raises(LookupError, match=r"m.py:1:0: \+ -> -"):
        mutated(root, Mutant("m.py", 1, 0, "+ -> -"))


def test_a_change_does_what_it_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def changed(line: int, what: str) -> Callable[..., object]:
        (mutant,) = (m for m in mutants(root, "m.py") if (m.line, m.what) == (line, what))
        names: dict[str, Callable[..., object]] = {}
        exec(compile(mutated(root, mutant), "m.py", "exec"), names)
        return names["f"]

    assert changed(18, "+ -> -")(5) == 4
    assert changed(18, "condition -> False")(5) == changed(10, "True -> False")(5) == -5
    assert changed(10, "3 -> 4")() == 5
    capsys.readouterr()
    assert changed(14, "without print(a, sep='')")(5) == 6
    assert capsys.readouterr().out == ""
    assert changed(12, "condition -> False")(9) == 10
    with pytest.raises(ValueError, match="a is 9"):
        changed(18, "+ -> -")(9)


def test_every_file_has_its_tests() -> None:
    root = Path(__file__).resolve().parents[2]
    assert {group(path) for path in files(root)} == set(GROUPS)
    for places, tests in GROUPS.values():
        assert [name for name in places if not (root / "snnr" / name).exists()] == []
        assert [name for name in tests if not (root / "tests" / name).exists()] == []


def test_the_interval_of_a_share() -> None:
    # Wilson's of 8 of 10
    assert interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert interval(10, 10)[1] == pytest.approx(1)
    assert interval(0, 0) == (0, 1)
