"""snnr data: where data sets are, downloads, checks."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from snnr.cli.common import data_dir_option, output_options, print_json, size
from snnr.cli.screen import print_table, print_text


@click.group(name="data", short_help="List, download and check data sets.")
def command() -> None:
    """List, download and check data sets. MNIST ships with snnr.

    \b
    Examples:
      snnr data list
      snnr data fetch fashion-mnist
    """


@command.command(name="list")
@data_dir_option
@output_options
def list_command(data_dir: Path | None, as_json: bool, quiet: bool) -> None:
    """Show every named data set and where it is.

    \b
    Example:
      snnr data list
    """
    from snnr import data

    found = data.status(data_dir)
    if as_json:
        print_json({"datasets": [asdict(status) for status in found]})
        return
    print_table(
        ("name", "state", "size", "folder"),
        [(s.name, s.state, size(s.size) if s.size else "-", s.folder) for s in found],
        left=(0, 1, 3),
        text=True,
    )


@command.command(name="fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--url", metavar="URL", help="Folder on a web server that holds the files.")
@data_dir_option
@output_options
def fetch_command(
    names: tuple[str, ...], url: str | None, data_dir: Path | None, as_json: bool, quiet: bool
) -> None:
    """Download data sets, with checksums; what is there already is kept.

    \b
    Example:
      snnr data fetch fashion-mnist cifar10
    """
    from snnr.cli.progress import Downloads

    from snnr import data

    done = [data.fetch(name, data_dir, url, Downloads(quiet, lines=True)) for name in names]
    _answer(done, as_json)


@command.command(name="verify")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@data_dir_option
@output_options
def verify_command(
    names: tuple[str, ...], data_dir: Path | None, as_json: bool, quiet: bool
) -> None:
    """Check every byte of data sets; without a name, of all that are here.

    \b
    Example:
      snnr data verify mnist
    """
    from snnr.cli.progress import Downloads

    from snnr import data

    here = [s.name for s in data.status(data_dir) if s.state != "missing"]
    done = [data.verify(name, data_dir, Downloads(quiet, lines=True)) for name in names or here]
    _answer(done, as_json)


def _answer(done: list[Any], as_json: bool) -> None:
    if as_json:
        print_json({"datasets": [asdict(status) for status in done]})
        return
    for status in done:
        print_text(f"{status.name}: sound, {size(status.size)} in {status.folder}")
