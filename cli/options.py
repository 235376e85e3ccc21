"""Options of a run, made from the records of the run's settings and of the methods."""

from collections.abc import Callable
from dataclasses import Field
from typing import Any

import click
from snnr.cli.common import Choice, Names

from snnr.training.advice import short
from snnr.training.settings import METHODS, RECIPES, method_options, run_fields

Command = Callable[..., Any]

#: names on the command line that do not follow from the setting's
_FLAGS = {
    "timesteps": ("-T", "--timesteps"),
    "augment": ("--augment/--no-augment",),
}
_FLAGS_ALONE = ("augment",)
#: bounds that are there for arithmetic, and tell nobody what is sensible
_FAR = 1e15


def run_options(function: Command) -> Command:
    """An option for every setting of a run and of the methods; None where it is not given."""
    return _options(function)


def grid_options(function: Command) -> Command:
    """The same, but each may be given several times: a tuple of values. A flag has one value."""
    return _options(function, multiple=True)


def recipe_option(function: Command) -> Command:
    """--recipe, with what it sets."""
    told = "; ".join(
        f"{data}: {', '.join(_told(name, value) for name, value in settings.items())}"
        for data, settings in RECIPES["paper"].items()
    )
    return click.option(
        "--recipe", type=Choice(list(RECIPES)),
        help=f"Settings of the paper; other options override them. {told}; prior and sparsity (the "
             f"paper's p) are as without it.",
    )(function)  # fmt: skip


def _told(name: str, value: Any) -> str:
    """A setting as an option."""
    if isinstance(value, bool):
        return ("" if value else "no ") + name
    return f"{name.replace('_', '-')} {short(value)}"


def _options(function: Command, **more: Any) -> Command:
    made = []
    for one in run_fields():
        made.append(_run_option(one, **({} if one.name in _FLAGS_ALONE else more)))
        if one.name == "method":
            options = method_options().items()
            made += [_method_option(name, *owners, **more) for name, owners in options]
    for option in reversed(made):
        function = option(function)
    return function


def _flags(name: str) -> tuple[str, ...]:
    return _FLAGS.get(name, ("--" + name.replace("_", "-"),))


def _run_option(one: Field[Any], **more: Any) -> Command:
    about = one.metadata
    default = about["default_text"] or short(one.default)
    arguments: dict[str, Any] = {
        "default": None,
        "help": f"{about['help']}  [default: {default}]", **more,
    }  # fmt: skip
    if about["names"]:
        arguments["type"] = Names(about["names"], about["other"])
    elif about["least"] is not None:
        arguments["type"] = click.IntRange(about["least"], about["most"])
        arguments["metavar"] = "N"
    return click.option(*_flags(one.name), one.name, **arguments)


def _method_option(name: str, *owners: tuple[str, Field[Any]], **more: Any) -> Command:
    """One option for a setting that several methods may have.

    Bounds in which they agree are checked here; the method's record checks all of them.
    """
    fields = [one for _, one in owners]
    methods = [method for method, _ in owners]
    only = "" if len(methods) == len(METHODS) else f"  [{', '.join(methods)}]"
    defaults = "/".join(dict.fromkeys(short(one.default) for one in fields))
    text = f"{fields[0].metadata['help']}{only}  [default: {defaults}]"
    kind = _kind(fields)
    metavar = {_Range: "X", click.IntRange: "N"}.get(type(kind))
    return click.option(
        *_flags(name), name, default=None, help=text, type=kind, metavar=metavar, **more
    )


class _Range(click.FloatRange):
    """Says of its bounds what may be of use."""

    def _describe_range(self) -> str:
        if self.max is None or self.max < _FAR:
            return super()._describe_range()
        return f"x{'>' if self.min_open else '>='}{self.min:g}"


def _kind(fields: list[Field[Any]]) -> click.ParamType:
    first = fields[0]
    if first.metadata["choices"]:
        every = dict.fromkeys(choice for one in fields for choice in one.metadata["choices"])
        return Choice(list(every))

    def agreed(key: str) -> Any:
        values = {one.metadata[key] for one in fields}
        return values.pop() if len(values) == 1 else None

    least, most, above, below = map(agreed, ("least", "most", "above", "below"))
    kind = click.IntRange if isinstance(first.default, int) else _Range
    return kind(
        min=above if least is None else least, min_open=least is None and above is not None,
        max=below if most is None else most, max_open=most is None and below is not None,
    )  # fmt: skip
