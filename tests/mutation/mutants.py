"""Small wrong changes of a source file: which there are, and the file with one of them in it.

Left alone is what no test could be asked to notice: annotations, decorators, docstrings, texts,
assertions for the type checker, and what stands in a `raise`, the message.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
    ast.MatMult: ast.Mult,
}  # fmt: skip
_SKIPPED = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)
_LEFT_OUT = frozenset({"annotation", "returns", "decorator_list", "type_params"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, order=True)
class Mutant:
    """One change.

    path : of the file, relative to the checkout.
    function : the outermost function whose body it is in, by its qualified name and first line;
        None where it happens on import.
    lines : first and last line of the statement, of which one at least is run with it.
    """

    path: str
    line: int
    column: int
    what: str
    function: tuple[str, int] | None = field(default=None, compare=False)
    lines: tuple[int, int] = field(default=(0, 0), compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.what}"


@dataclass
class _Change:
    node: ast.AST
    what: str
    function: tuple[str, int] | None
    make: Callable[[], None]
    lines: tuple[int, int] = (0, 0)


def mutants(root: Path, path: str) -> list[Mutant]:
    """Every mutant of a file."""
    return [_mutant(path, change) for change in _changes(ast.parse((root / path).read_text()))]


def mutated(root: Path, mutant: Mutant) -> ast.Module:
    """The file of a mutant, changed.

    Raises
    ------
    LookupError : the file has no such mutant; it was edited since.
    """
    tree = ast.parse((root / mutant.path).read_text())
    for change in _changes(tree):
        if _mutant(mutant.path, change) == mutant:
            change.make()
            return ast.fix_missing_locations(tree)
    raise LookupError(f"there is no mutant {mutant}")


def _mutant(path: str, change: _Change) -> Mutant:
    node = change.node
    place = node.lineno, node.col_offset  # type: ignore[attr-defined]
    return Mutant(path, *place, change.what, change.function, change.lines)


def _changes(tree: ast.Module) -> list[_Change]:
    seen: dict[tuple[object, ...], int] = {}
    found = []
    for change in _visit(tree, "", None, (0, 0)):
        # two alike at one place, as in a chain of comparisons, are told apart by a number
        key = (change.node.lineno, change.node.col_offset, change.what)  # type: ignore[attr-defined]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            change.what += f" ({seen[key]})"
        found.append(change)
    return found


def _visit(
    node: ast.AST, name: str, function: tuple[str, int] | None, lines: tuple[int, int]
) -> Iterator[_Change]:
    if isinstance(node, _SKIPPED) or _is_for_types(node):
        return
    if isinstance(node, ast.stmt):
        lines = _extent(node)
    for at, what, make in _of(node, function):
        yield _Change(at, what, function, make, lines)
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        name = f"{name}.{node.name}".lstrip(".")
    for key, value in ast.iter_fields(node):
        if key in _LEFT_OUT:
            continue
        inner = function
        if function is None and isinstance(node, _FUNCTIONS) and key == "body":
            inner = (name, min([node.lineno, *(d.lineno for d in node.decorator_list)]))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _visit(child, name, inner, lines)


def _extent(node: ast.stmt) -> tuple[int, int]:
    """Lines of a statement, without those of the statements in it."""
    body = getattr(node, "body", None)
    last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
    return node.lineno, max(last, node.lineno)


def _is_for_types(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(to, ast.Name) and to.id == "__all__" for to in node.targets)
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


_Found = Iterator[tuple[ast.AST, str, Callable[[], None]]]


def _of(node: ast.AST, function: tuple[str, int] | None) -> _Found:
    """The changes of one node itself."""
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            other = _COMPARE[type(op)]()
            yield node, f"{_sign(op)} -> {_sign(other)}", _put(node.ops, place, other)
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        operator = _ARITHMETIC[type(node.op)]()
        yield node, f"{_sign(node.op)} -> {_sign(operator)}", _set(node, "op", operator)
    elif isinstance(node, ast.BoolOp):
        junction = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, f"{_sign(node.op)} -> {_sign(junction)}", _set(node, "op", junction)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        # `+x` keeps the node, `not not x` the kind of the value
        plain = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        operand = node.operand
        if isinstance(node.op, ast.Not):
            operand = ast.UnaryOp(ast.Not(), node.operand)
        yield node, f"without {_sign(node.op)}", _set(node, "op", plain, "operand", operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        number = _other(node.value)
        yield node, f"{node.value!r} -> {number!r}", _set(node, "value", number)
    elif isinstance(node, ast.If | ast.IfExp | ast.While) and not _constant(node.test):
        for answer in (True, False) if not isinstance(node, ast.While) else (False,):
            yield node.test, f"condition -> {answer}", _set(node, "test", _kept(node.test, answer))
    elif isinstance(node, ast.comprehension):
        for place, test in enumerate(node.ifs):
            yield test, "filter -> True", _put(node.ifs, place, _kept(test, True))
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield keyword, f"without {keyword.arg}=", _without(node.keywords, keyword)
    elif isinstance(node, ast.Break | ast.Continue):
        other_way = ast.Continue if isinstance(node, ast.Break) else ast.Break
        yield node, "break <-> continue", _become(node, other_way)
    if function is None:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        yield node, f"without {_short(call)}", _set(node, "value", _kept(call, None))
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Return):
        value = node.value
        if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            said = "return None" if isinstance(node, ast.Return) else "value -> None"
            yield node, said, _set(node, "value", _kept(value, None))


def _other(value: int | float) -> int | float:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 2 * value or 1.0


def _kept(node: ast.expr, value: object) -> ast.expr:
    """`value`, beside an expression that is never evaluated: whoever looks for the variables of the
    function, the cells of its closure among them, finds the same ones."""
    if _constant(node):
        return ast.copy_location(ast.Constant(value), node)
    return ast.copy_location(ast.IfExp(ast.Constant(False), node, ast.Constant(value)), node)


def _constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _set(node: ast.AST, *changes: object) -> Callable[[], None]:
    def make() -> None:
        for name, value in zip(changes[::2], changes[1::2], strict=True):
            setattr(node, str(name), value)

    return make


def _put(values: list[ast.AST], place: int, value: ast.AST) -> Callable[[], None]:  # type: ignore[type-arg]
    return lambda: values.__setitem__(place, value)


def _without(keywords: list[ast.keyword], keyword: ast.keyword) -> Callable[[], None]:
    return lambda: keywords.remove(keyword)


def _become(node: ast.AST, kind: type[ast.AST]) -> Callable[[], None]:
    return lambda: setattr(node, "__class__", kind)


def _sign(op: ast.AST) -> str:
    text = {
        ast.And: "and", ast.Or: "or", ast.Not: "not", ast.USub: "-",
    }.get(type(op))  # fmt: skip
    if text is not None:
        return text
    left, right = ast.Constant(1), ast.Constant(2)
    whole: ast.expr
    if isinstance(op, ast.cmpop):
        whole = ast.Compare(left, [op], [right])
    else:
        assert isinstance(op, ast.operator)
        whole = ast.BinOp(left, op, right)
    return ast.unparse(whole)[2:-2]


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) < 50 else text[:47] + "..."
