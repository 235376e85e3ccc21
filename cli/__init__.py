"""The command line. Commands are loaded when they run, so that `snnr --help` is quick."""

import os
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click
from snnr.cli import words

#: command -> (module, one line of help); listed here so that the overview imports no command
COMMANDS = {
    "train": ("snnr.cli.train", "Train and prune a network."),
    "sweep": ("snnr.cli.sweep", "Train with many settings and seeds; compare."),
    "search": ("snnr.cli.search", "Find the most accurate settings at a connectivity."),
    "plot": ("snnr.cli.plot", "Draw the figures of runs and sweeps."),
    "report": ("snnr.cli.report", "One HTML page about runs and sweeps."),
    "eval": ("snnr.cli.eval", "Accuracy, loss, connectivity, firing rates and operations."),
    "predict": ("snnr.cli.predict", "Label and rates of images."),
    "inspect": ("snnr.cli.inspect", "What is inside a checkpoint, layer by layer."),
    "export": ("snnr.cli.export", "A network as C, as NIR, or as arrays for scipy."),
    "bench": ("snnr.cli.bench", "Time training and inference on this machine."),
    "data": ("snnr.cli.data", "List, download and check data sets."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for, and turns errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = get_close_matches(name, COMMANDS, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            if name.lower() in words.COMMANDS:
                meant = f" Here {words.COMMANDS[name.lower()]}."
            ctx.fail(f"There is no command {name!r}.{meant} There are {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command: exit code 1 for failures, 2 for wrong settings, 130 after Ctrl-C."""
        from snnr.cli.common import say

        from snnr.interrupt import Watch

        _open_standard_streams()
        with Watch(lambda: say("stopping (Ctrl-C again: at once)")):
            try:
                return self._told(ctx)
            finally:
                _leave_stderr()

    def _told(self, ctx: click.Context) -> Any:
        """A command, its failures as one line."""
        from snnr.cli.common import say

        from snnr.errors import ConfigError, SnnrError, printable

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            text = str(error) or "interrupted"
            say(printable(text[:1].upper() + text[1:]))
            ctx.exit(128 + getattr(error, "signal", signal.SIGINT))
        except click.UsageError as error:
            text = error.format_message()
            if isinstance(error, click.NoSuchOption) and error.option_name in words.OPTIONS:
                text = f"No such option {error.option_name!r}. Here: "
                text += f"{words.OPTIONS[error.option_name]}."
            if error.ctx is not None:  # as click does it, but within the terminal
                say(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n")
            say(_within(f"Error: {text}"))
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.meta.get("snnr.debug"):
                raise
            text = " ".join(str(error).split())
            if not isinstance(error, SnnrError):
                text = f"unexpected {type(error).__name__}: {text} (--debug shows where)"
            say(_within(f"Error: {printable(text)}"))
            ctx.exit(2 if isinstance(error, ConfigError) else 1)


def _within(text: str) -> str:
    """A message as a line, which others may read; on a terminal in several that fit it."""
    from snnr.cli.screen import width, wrapped

    terminal = sys.stderr is not None and sys.stderr.isatty()
    return wrapped(text, width(sys.stderr)) if terminal else text


def _open_standard_streams() -> None:
    """Where a stream is closed, the next file that is opened takes its number: a checkpoint must
    not receive what a library says on stderr."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _leave_stderr() -> None:
    """What stderr did not take is dropped: since Python 3.14 it is tried once more at the exit, and
    a run that is well ends with status 120."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = None


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from snnr import __version__

        click.echo(f"snnr {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Show the version and exit.",
)  # fmt: skip
def main() -> None:
    """Very sparse spiking neural networks: train, prune and run them.

    \b
    Example:
      snnr train mnist --prior 5e-2 --epochs 12
      snnr eval runs/mnist-grad-r-prior0.05-seed0

    \b
    Completion of words by Tab, in the shell's start file:
      eval "$(_SNNR_COMPLETE=bash_source snnr)"     bash
      eval "$(_SNNR_COMPLETE=zsh_source snnr)"      zsh
      _SNNR_COMPLETE=fish_source snnr | source      fish
    """
