"""snnr report: everything about runs and sweeps in one HTML page."""

from pathlib import Path

import click
from snnr.cli.common import data_dir_option, note, output_options, print_json

from snnr.errors import printable

#: runs whose details are shown without --each
MOST = 24


@click.command(name="report", short_help="One HTML page about runs and sweeps.")
@click.argument(
    "paths", metavar="RUN|SWEEP...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              default=Path("report.html"), show_default=True, help="File to write.")  # fmt: skip
@click.option("--title", help="Heading of the page.  [default: the names of the folders]")
@click.option(
    "--each", is_flag=True, help="Details of every run, not of one seed of each setting."
)
@click.option("--image", type=click.IntRange(min=0), default=0, show_default=True,
              help="Test image whose spikes are shown.")  # fmt: skip
@data_dir_option
@output_options
def command(
    paths: tuple[Path, ...],
    out: Path,
    title: str | None,
    each: bool,
    image: int,
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write all about runs (folders or checkpoints) and sweeps (folders of runs) into one page that
    needs no network: curves that tell their values under the mouse, tables, weights, spikes.

    \b
    Examples:
      snnr report runs/mnist-grad-r-prior0.001-seed0
      snnr report sweeps/first -o first.html
    """
    from snnr.checkpoint.file import replace
    from snnr.figures import gather, groups
    from snnr.report import report

    runs = gather(paths)
    singles = list(runs) if each else [group.runs[0] for group in groups(runs)][:MOST]
    note(f"{len(runs)} run{'s' * (len(runs) != 1)}, details of {len(singles)}", quiet)
    heading = title or ", ".join(path.resolve().name for path in paths)
    page = report(runs, singles, heading, image, str(data_dir or "") or None)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace(out, page.encode("utf-8", "backslashreplace"))
    if as_json:
        print_json({"report": str(out), "runs": len(runs), "details": len(singles)})
    else:
        click.echo(printable(str(out)))
