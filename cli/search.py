"""snnr search: the best accuracy at a connectivity, with settings chosen by Optuna."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from snnr.cli.common import (
    data_dir_option,
    machine_options,
    note,
    output_options,
    percent,
    print_json,
    settle,
)
from snnr.cli.options import recipe_option, run_options
from snnr.cli.screen import cut, print_table, width

from snnr.errors import SnnrError
from snnr.training.advice import short

#: columns in which the name of a run fits, and of its end otherwise
_WIDE, _END = 160, 8

if TYPE_CHECKING:
    from snnr.sweep.search import Search, Trial


@click.command(name="search", short_help="Find the most accurate settings at a connectivity.")
@click.argument("dataset")
@click.option(
    "--at",
    type=click.FloatRange(0, 1, min_open=True),
    required=True,
    metavar="C",
    help="Connectivity that every run is to end at.",
)
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="Trials in all, of all processes.")  # fmt: skip
@run_options
@recipe_option
@click.option("--prune/--no-prune", default=True, show_default=True,
              help="End runs early that are worse than the median.")  # fmt: skip
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the search.  [default: searches/DATASET-METHOD-atC-DIGEST]",
)
@click.option("--storage", metavar="URL", help="Optuna's storage.  [default: study.db in FOLDER]")
@data_dir_option
@machine_options
@output_options
def command(
    dataset: str,
    at: float,
    trials: int,
    recipe: str | None,
    prune: bool,
    out: Path | None,
    storage: str | None,
    data_dir: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Look for the settings with which DATASET is learned best at a connectivity. What is given is
    fixed; of learning rate, prior and sparsity, those that the method has and that are not given
    are searched. Needs Optuna (extra optuna).

    Each trial is a run in a folder of its own. The same command goes on where a search stopped, and
    several processes that give it, with one --storage or folder, share the work. A run is named by
    its folder, of which a narrow terminal shows the end.

    \b
    Examples:
      snnr search mnist --at 0.05 --trials 30 --epochs 8
      snnr search mnist --at 0.02 --lr 1e-3 --net mnist_fc:hidden=400 --json
    """
    if given.pop("target_connectivity", None) is not None:
        raise click.UsageError("--at is the target; leave --target-connectivity out")
    from snnr.sweep.search import Search

    place = {"data_dir": str(data_dir.absolute()) if data_dir else None, "device": device}
    search = Search(dataset, at, recipe, out, storage, prune, **given, **place, threads=threads)
    settle(device, threads, quiet)
    note(f"{search.name} in {search.out}: {', '.join(search.space)} are searched", quiet)

    def tell(run: str, event: Mapping[str, Any]) -> None:
        if event["event"] == "epoch":
            accuracy, share = percent(event["test_accuracy"]), percent(event["connectivity"])
            told = f": epoch {event['epoch']}  {accuracy} at {share}"
            note(cut(run, max(_END, width(sys.stderr) - len(told))) + told, quiet)
        elif event["event"] == "failed":
            note(f"{run}: {event['error']}", quiet)

    found = search.go(trials, tell)
    _report(search, found, as_json)
    if not any(trial.state == "complete" for trial in found):
        why = next((trial.why for trial in found if trial.why), "none has ended")
        raise SnnrError(f"none of {len(found)} trials ended at {percent(at)}: {why}")


def _report(search: "Search", found: "list[Trial]", as_json: bool) -> None:
    if as_json:
        done = [trial for trial in found if trial.state == "complete"]
        print_json(
            {
                "search": str(search.out),
                "storage": search.storage,
                "study": search.name,
                "at": search.at,
                "best": asdict(done[0]) if done else None,
                "trials": [asdict(trial) for trial in found],
            }
        )
        return
    print_table(
        ("trial", "state", "accuracy", "connectivity", *search.space, "run"),
        [
            (
                str(trial.number), trial.state, percent(trial.accuracy),
                percent(trial.connectivity),
                *(_value(trial.settings.get(name)) for name in search.space),
                trial.why or _run(trial.run),
            )
            for trial in found
        ],
        left=(0, 1, 4 + len(search.space)),
        text=True,
    )  # fmt: skip


def _run(name: str | None) -> str:
    """The folder of a trial; where that is narrow, its end, which is its own."""
    if name is None:
        return "-"
    return name if width() >= _WIDE else f"..{name[-_END:]}"


def _value(value: float | None) -> str:
    return "-" if value is None else short(float(f"{value:.3g}"))
