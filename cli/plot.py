"""snnr plot: the figures of runs and sweeps."""

import io
from pathlib import Path
from typing import Any

import click
from snnr.cli.common import Choice, data_dir_option, not_one_of, note, output_options, print_json

from snnr.errors import printable

FORMATS = ("png", "pdf", "svg")


@click.command(name="plot", short_help="Draw the figures of runs and sweeps.")
@click.argument(
    "paths", metavar="RUN|SWEEP...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--figure",
    "names",
    multiple=True,
    metavar="NAME",
    help="Figure to draw; may be repeated.  [default: all but confusion]",
)
@click.option("--format", "kind", type=Choice(FORMATS), default="png", show_default=True,
              help="Format of the files.")  # fmt: skip
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the files.  [default: figures, in the folder of the run or sweep]",
)
@click.option("--each", is_flag=True, help="Draw every run of a sweep by itself too.")
@click.option("--image", type=click.IntRange(min=0), default=0, show_default=True,
              help="Test image of the spike raster.")  # fmt: skip
@data_dir_option
@output_options
def command(
    paths: tuple[Path, ...],
    names: tuple[str, ...],
    kind: str,
    out: Path | None,
    each: bool,
    image: int,
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw figures of runs (folders or checkpoints) and of sweeps (folders of runs).

    Of all together: tradeoff (accuracy against connectivity), epochs.

    Of each run that is named: changes (pruned and regrown: connections that were there at the end
    of the epoch before and are no more, and the reverse), layers (connectivity, firing rate, and
    the share of silent neurons, which fire on no test image), histograms (theta, w), fields
    (receptive fields), raster (spikes of one image).

    Only where it is named: confusion (answers to the test images of each class, which are run for
    it).

    \b
    Examples:
      snnr plot runs/mnist-grad-r-prior0.001-seed0
      snnr plot sweeps/first --figure tradeoff --format pdf --out figures
    """
    from snnr.checkpoint import located
    from snnr.figures import FIGURES, drawn, gather
    from snnr.figures.runs import is_run

    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise click.BadParameter(not_one_of(unknown[0], list(FIGURES)), param_hint="'--figure'")
    runs = gather(paths)
    alone = {located(path).resolve() for path in paths if is_run(path)}
    singles = [run for run in runs if each or run.path.resolve() in alone]
    folder = out or _folder(paths)
    wanted = [name for name, one in FIGURES.items() if name in (names or [name] * (not one.asked))]
    if not names and len(runs) == 1:
        wanted.remove("tradeoff")
    if not singles and names and all(FIGURES[name].single for name in names):
        raise click.UsageError(f"{names[0]} is of one run: name one, or give --each")
    written: list[str] = []
    for name, run, figure in drawn(runs, wanted, singles, image, str(data_dir or "") or None):
        if isinstance(figure, str):
            note(f"no {name} of {run.name if run else 'all'}: {figure}", quiet)
            continue
        stem = f"{run.name}-{name}" if run is not None and len(runs) > 1 else name
        written.append(str(save_figure(figure, folder / f"{stem}.{kind}")))
        if not as_json:
            click.echo(printable(written[-1]))
    if as_json:
        print_json({"files": written})


def _folder(paths: tuple[Path, ...]) -> Path:
    """Beside what is drawn, where that is one thing."""
    if len(paths) > 1:
        return Path("figures")
    return (paths[0] if paths[0].is_dir() else paths[0].parent) / "figures"


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure whole or not at all."""
    from snnr.checkpoint.file import replace

    path.parent.mkdir(parents=True, exist_ok=True)
    image = io.BytesIO()
    kind = path.suffix[1:]
    # the time of drawing is left out: the same figure gives the same bytes
    about = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    figure.savefig(image, format=kind, dpi=150, metadata=about)
    replace(path, image.getvalue())
    return path
