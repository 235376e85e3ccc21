"""snnr sweep: the same work with many settings and seeds, in processes or on a cluster."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from snnr.cli.common import data_dir_option, machine_options, note, output_options, print_json
from snnr.cli.options import grid_options, recipe_option

from snnr.errors import SnnrError

if TYPE_CHECKING:
    from snnr.sweep import DaskPool, LocalPool, Planned, Sweep


@click.command(name="sweep", short_help="Train with many settings and seeds; compare.")
@click.argument("dataset")
@grid_options
@click.option(
    "--seeds",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Seeds 0 to N-1 of every setting, instead of --seed.",
)
@recipe_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the sweep.  [default: sweeps/DATASET-DIGEST, of what all methods share]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs at a time; the cores are shared out among them.  [default: 1]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Hand the runs to a Dask scheduler whose workers see the same folders (extra dask).",
)
@data_dir_option
@machine_options
@output_options
def command(
    dataset: str,
    seeds: int | None,
    recipe: str | None,
    out: Path | None,
    jobs: int | None,
    scheduler: str | None,
    data_dir: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Train on DATASET with every combination of the settings that are given; most may be given
    several times. A method meets the values of the settings that it has.

    Each run has a folder of its own. The same command goes on where a sweep stopped: a finished
    run is never repeated, a broken one goes on with the same bits, and further values, methods and
    seeds join those that are there. Results are in results.csv and results.h5 after every run.
    Ctrl-C, SIGTERM and SIGHUP save the runs that are under way. A run that fails does not stop the
    others.

    \b
    Examples:
      snnr sweep mnist --prior 1e-3 --prior 1e-2 --prior 5e-2 --seeds 3
      snnr sweep mnist --method grad-r --method dense --jobs 2 --out sweeps/first
      snnr sweep mnist --prior 1e-2 --seeds 8 --scheduler tcp://head:8786
    """
    from snnr.cli.board import Board, summary

    from snnr.sweep import Sweep, default_folder

    if seeds is not None and given["seed"]:
        raise click.UsageError("--seeds and --seed exclude each other")
    if scheduler is not None and jobs is not None:
        raise click.UsageError("--jobs is for this machine; --scheduler has workers of its own")
    if seeds is not None:
        given["seed"] = range(seeds)
    runs = _plan(dataset, recipe, given, data_dir, device)
    sweep = Sweep(runs, out or default_folder(runs))
    with _pool(scheduler, jobs or 1, threads) as pool:
        note(f"{len(runs)} runs in {sweep.out}; {pool}", quiet)
        rows = sweep.go(pool, Board(quiet))
    failed = [row for row in rows if row["status"] == "failed"]
    if as_json:
        print_json({"sweep": str(sweep.out), "runs": rows, "failed": [r["run"] for r in failed]})
    else:
        summary(rows)
    _draw(sweep, quiet)
    if failed:
        named = "; ".join(f"{row['run']}: {row['error']}" for row in failed)
        raise SnnrError(f"{len(failed)} of {len(rows)} runs failed: {named}")


def _plan(
    dataset: str, recipe: str | None, given: dict[str, Any], data_dir: Path | None, device: str
) -> "list[Planned]":
    from snnr.sweep import plan

    axes = {k: v for k, v in given.items() if isinstance(v, tuple | range)}
    alone = {k: v for k, v in given.items() if k not in axes and v is not None}
    place = {"data_dir": str(data_dir.absolute()) if data_dir else None, "device": device}
    return plan(dataset, axes, recipe, **alone, **place)


@contextlib.contextmanager
def _pool(
    scheduler: str | None, jobs: int, threads: int | None
) -> "Iterator[DaskPool | LocalPool]":
    from snnr.sweep import DaskPool, LocalPool

    if scheduler is None:
        yield LocalPool(jobs, threads)
        return
    cluster = DaskPool(scheduler, threads)
    try:
        yield cluster
    finally:
        cluster.close()


def _draw(sweep: "Sweep", quiet: bool) -> None:
    """The curve beside the tables, where it can be drawn."""
    note(f"results in {sweep.out / 'results.csv'} and results.h5", quiet)
    if not sweep.count("finished"):
        return
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        note("no curve: pip install 'snnr[plot]' draws one", quiet)
        return
    from snnr.cli.plot import save_figure

    from snnr.figures import drawn, gather

    done = [sweep.out / row["run"] for row in sweep.rows.values() if row["status"] == "finished"]
    for _, _, figure in drawn(gather(done), ["tradeoff"]):
        note(f"curve in {save_figure(figure, sweep.out / 'accuracy.png')}", quiet)
