"""snnr train: trains and prunes a network, with a checkpoint after every epoch."""

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
from snnr.cli.screen import print_pairs

from snnr.checkpoint import BEST, CHECKPOINT
from snnr.lock import locked
from snnr.training.settings import (
    RunSettings,
    dataset_name,
    method_options,
    run_folder,
    run_settings,
    takes,
)

if TYPE_CHECKING:
    from snnr.training import Trainer


@click.command(name="train", short_help="Train and prune a network.")
@click.argument("dataset")
@run_options
@recipe_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the run: checkpoint.h5 (the last epoch), best.h5 (the most accurate within 1.1 "
    "times the connectivity of the last), history.csv, log.txt.  [default: "
    "runs/DATASET-METHOD-priorVALUE-targetVALUE-seedN]",
)
@click.option("--resume", is_flag=True, help="Go on with the run in that folder, bit for bit.")
@click.option("--overwrite", is_flag=True, help="Replace the run in that folder.")
@data_dir_option
@machine_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    dataset: str,
    recipe: str | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    data_dir: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Train and prune a network on DATASET: mnist, fashion-mnist, cifar10, or the path of an .npz
    or .h5 file with x_train, y_train, x_test, y_test.

    A checkpoint is written after every epoch. Ctrl-C, SIGTERM and SIGHUP save and stop; --resume
    goes on with the same bits as if nothing had happened. best.h5 beside it is the epoch of the
    highest test accuracy among those that have at most 1.1 times the connectivity of the last one
    (or of the target, where that is higher): what was better before it was pruned does not count.

    How much is pruned: in every step --prior pushes all connections away, by lr times prior, so
    that what is left depends on how long a training goes on. After 12 epochs of MNIST a prior of
    1e-3 leaves 63 % of the connections, 5e-3 42 %, 1e-2 26 %, 5e-2 5.2 %, 1e-1 2.9 %, 3e-1 0.94 %.
    --sparsity says how far they are pushed, and is hardly ever reached: 0.95 does not leave 5 %.
    That is what --target-connectivity 0.05 does, which moves the prior by itself.

    Words: connectivity is the share of the weights that are not 0. pruned and regrown are
    connections that were there at the end of the epoch before and are no more, and the reverse
    (change, where the terminal is narrow, is how many more there are). silent is the share of the
    neurons that fire on no test image.

    \b
    Examples:
      snnr train mnist --target-connectivity 0.05
      snnr train mnist --prior 5e-2 --epochs 12
      snnr train mnist --recipe paper --epochs 100 --seed 1
      snnr train digits.npz --net mnist_fc -T 4 --json
      snnr train mnist --net 16c3-bn-lif-mp2-fc128-lif-fc10-lif
      snnr train mnist --epochs 40 --resume
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    _check_method(given)
    machine = {"data_dir": str(data_dir) if data_dir else None, "threads": threads}
    settings = run_settings(dataset, recipe, **given, **machine, device=device)
    folder = out or run_folder(settings.as_config())
    checkpoint = folder / CHECKPOINT
    with locked(folder):
        _check_run(checkpoint, resume, overwrite)
        settle(device, threads, quiet)
        if resume:
            asked = {**given, "dataset": dataset_name(dataset), "recipe": recipe}
            trainer = _resumed(checkpoint, settings, asked, quiet)
        else:
            # with --overwrite the first checkpoint takes the place of the old run's
            trainer = _started(checkpoint, settings, quiet)
        from snnr.cli.progress import Display, Warnings

        from snnr.training.advice import missed

        trainer.callbacks += [Warnings()] if quiet else [Display(), Warnings()]
        trainer.fit()
        amiss = missed(trainer.optimizer, trainer.history["connectivity"][-1])
        for text in amiss:
            note(f"warning: {text}")
    _report(trainer, [*trainer.warnings, *amiss], as_json)


def _check_method(given: dict[str, Any]) -> None:
    """Refuse settings that the method has not."""
    method = given["method"] or RunSettings.method
    for setting in method_options():
        if given[setting] is not None and not takes(method, setting):
            flag = "--" + setting.replace("_", "-")
            raise click.UsageError(f"{flag} means nothing to --method {method}; leave it out")


def _check_run(checkpoint: Path, resume: bool, overwrite: bool) -> None:
    from snnr.errors import SnnrError

    if resume and not checkpoint.exists():
        raise SnnrError(
            f"{checkpoint.parent} holds no run to go on with; leave --resume out, or name the "
            "folder with --out"
        )
    if checkpoint.exists() and not (resume or overwrite):
        raise SnnrError(
            f"{checkpoint.parent} already holds a run: go on with --resume, replace it with "
            "--overwrite, or choose another folder with --out"
        )


def _started(checkpoint: Path, settings: RunSettings, quiet: bool) -> "Trainer":
    """A new run."""
    from snnr.cli.progress import Downloads

    from snnr.metrics import layer_connectivity
    from snnr.training import start
    from snnr.training.advice import outlook

    trainer = start(settings, checkpoint, progress=Downloads(quiet))
    samples, weights = trainer.samples, sum(p.weights for p in layer_connectivity(trainer.network))
    told = outlook(trainer.optimizer)
    for line in (
        f"{samples.name}: {samples.train.count:,} training and {samples.test.count:,} test images",
        f"{settings.net}, T={trainer.config['timesteps']}, {weights:,} weights; {checkpoint}",
        settings.method + (f": {told}" if told else ""),
    ):
        note(line, quiet)
    return trainer


def _resumed(
    checkpoint: Path, settings: RunSettings, asked: dict[str, Any], quiet: bool
) -> "Trainer":
    """The run of a folder, taken up where it stopped."""
    from snnr.cli.progress import Downloads

    from snnr.training import resume

    trainer = resume(
        checkpoint, asked, asked["epochs"], settings.data_dir, settings.device,
        progress=Downloads(quiet),
    )  # fmt: skip
    state = f"epoch {trainer.epoch + 1} of {trainer.epochs}, step {trainer.position + 1:,}"
    note(
        f"{checkpoint} is complete with {trainer.epoch} epochs; --epochs N goes on to N"
        if trainer.epoch >= trainer.epochs
        else f"{checkpoint}: going on with {state}",
        quiet,
    )
    return trainer


def _report(trainer: "Trainer", warnings: list[str], as_json: bool) -> None:
    from snnr.cli.results import connections, layer_rows, print_layers, provenance

    history = trainer.history
    last = {key: {n: c[-1] for n, c in history[key].items()} for key in ("firing_rate", "silent")}
    layers = layer_rows(trainer.network, last["firing_rate"], last["silent"])
    origin = provenance(trainer.config, history)
    best = trainer.best
    if as_json:
        print_json(
            {
                "accuracy": history["test_accuracy"][-1],
                "loss": history["test_loss"][-1],
                "connectivity": history["connectivity"][-1],
                "layers": layers,
                **origin,
                "checkpoint": str(trainer.checkpoint),
                "best": None if best is None else vars(best),
                "warnings": warnings,
            }
        )
        return
    told = ""
    if best is not None:
        told = f"{percent(best.accuracy)} at {percent(best.connectivity)} in epoch {best.epoch}: "
        told += BEST
    print_pairs(
        [
            ("accuracy", percent(history["test_accuracy"][-1])),
            ("loss", f"{history['test_loss'][-1]:.5f}"),
            ("connectivity", connections(layers)),
            (
                "time",
                f"{origin['seconds']:.1f} s, {origin['seconds_per_epoch']:.2f} s per epoch",
            ),
            ("checkpoint", str(trainer.checkpoint)),
            *([("best", told)] if best is not None else []),
        ]
    )
    click.echo()
    print_layers(layers)
