"""Options and output that commands share. Imports nothing heavy."""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from snnr.cli.screen import width, wrapped

from snnr.errors import ConfigError, printable, suggestion

Command = Callable[..., Any]


#: how others call what snnr has
_ELSEWHERE = {
    "gpu": "cuda", "ce": "cross-entropy", "crossentropyloss": "cross-entropy", "adam": "dense",
    "lth": "imp", "lottery": "imp", "lottery-ticket": "imp", "gmp": "magnitude", "scipy": "npz",
    "csr": "npz", "er": "erk", "pareto": "tradeoff", "rasters": "raster", "weights": "histograms",
}  # fmt: skip


def not_one_of(value: str, names: Sequence[str]) -> str:
    """That a value is none of the names, and which may have been meant."""
    elsewhere = _ELSEWHERE.get(value.lower())
    meant = f" (did you mean {elsewhere}?)" if elsewhere in names else suggestion(value, names)
    return printable(f"{value!r} is not one of {', '.join(names)}{meant}")


class Choice(click.Choice[str]):
    """As click's, with near misses."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            self.fail(not_one_of(str(value), list(self.choices)), param, ctx)
        return super().convert(value, param, ctx)


class Names(click.ParamType):
    """A choice whose names are looked up when they are needed: "module:DICTIONARY".

    other : "module:function" that reads what is none of the names and returns its one form.
    """

    name = "name"

    def __init__(self, source: str, other: str = "") -> None:
        self.source = source
        self.other = other

    def names(self) -> list[str]:
        module, table = self.source.split(":")
        return list(getattr(import_module(module), table))

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return f"[{'|'.join([*self.names(), *(['SPEC'] if self.other else [])])}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.names():
            return value
        if self.other:
            module, function = self.other.split(":")
            try:
                return getattr(import_module(module), function)(value)
            except ConfigError as error:
                pointing = getattr(error, "pointing", None)
                self.fail(pointing() if pointing else printable(str(error)), param, ctx)
        else:
            self.fail(not_one_of(str(value), self.names()), param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["snnr.debug"] = value


def output_options(function: Command) -> Command:
    """--json, -q and --debug."""
    for option in (
        click.option("--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug,
                     help="Show the traceback of an error."),
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
        click.option("--json", "as_json", is_flag=True,
                     help="Print the result as one JSON object on stdout."),
    ):  # fmt: skip
        function = option(function)
    return function


def machine_options(function: Command) -> Command:
    """--device and --threads."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1),
                     help="Threads of the kernels.  [default: all cores]"),
        click.option("--device", type=Choice(["auto", "cpu", "cuda"]), default="auto",
                     show_default=True, help="Where the network runs."),
    ):  # fmt: skip
        function = option(function)
    return function


def data_dir_option(function: Command) -> Command:
    """--data-dir."""
    return click.option(
        "--data-dir", type=click.Path(file_okay=False, path_type=Path),
        help="Folder of data sets.  [default: $SNNR_DATA_DIR, then the cache]",
    )(function)  # fmt: skip


def say(text: str, nl: bool = True) -> None:
    """Text on stderr. That nobody listens there any more must not end a training."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True, nl=nl)


def note(text: str, quiet: bool = False) -> None:
    """A sentence of progress, within the terminal."""
    if not quiet:
        say(wrapped(printable(text), width(sys.stderr)))


def settle(device: str, threads: int | None, quiet: bool) -> str:
    """Choose device and threads, and show from now on when kernels are compiled; returns the
    device."""
    from snnr import kernels
    from snnr.kernels.threads import set_threads

    chosen, reason = kernels.choose(device)
    count = set_threads(threads)
    why = f" ({reason})" if reason else ""
    note(f"device {chosen}{why}, {count} thread{'s' * (count != 1)}", quiet)
    context = click.get_current_context(silent=True)
    if not quiet and context is not None:
        from snnr.cli.compiling import watch

        context.call_on_close(watch(chosen == "cuda"))
    return chosen


def print_json(value: dict[str, Any]) -> None:
    """Exactly one JSON object on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def percent(value: float | None, digits: int = 2) -> str:
    """A share as per cent; "-" when unknown."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
