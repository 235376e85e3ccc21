"""snnr train: trains and prunes a network, with a checkpoint after every epoch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from snnr.cli import recipes
from snnr.cli.common import (
    Names,
    data_dir_option,
    machine_options,
    note,
    output_options,
    percent,
    print_json,
    print_pairs,
    settle,
)

from snnr.lock import locked

if TYPE_CHECKING:
    from snnr.training import Trainer

#: options that shape the result: when resuming they must be what they were
_FIXED = (
    "prior", "sparsity", "method", "net", "batch_size", "lr", "timesteps", "augment", "seed",
    "loss", "limit_train", "recipe",
)  # fmt: skip


@click.command(name="train", short_help="Train and prune a network.")
@click.argument("dataset")
@click.option(
    "--method",
    type=Names("snnr.optim:METHODS"),
    help="How connections are pruned.  [default: grad-r]",
)
@click.option(
    "--prior",
    type=click.FloatRange(min=0),
    help="Strength of the sparse prior; larger prunes more.  [default: 1e-3]",
)
@click.option(
    "--sparsity",
    type=click.FloatRange(min=0, max=1, max_open=True),
    help="Share of connections expected to go.  [default: 0.95]",
)
@click.option(
    "--net", type=Names("snnr.models:MODELS"), help="Network.  [default: what suits the data set]"
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Passes over the training images.  [default: 20]"
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.  [default: 128]")
@click.option(
    "--lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate.  [default: 1e-3]"
)
@click.option(
    "-T",
    "--timesteps",
    type=click.IntRange(min=1, max=255),
    help="Time steps per image.  [default: the network's]",
)
@click.option(
    "--loss", type=Names("snnr.evaluation:LOSSES"), help="Loss on the output rates.  [default: mse]"
)
@click.option(
    "--augment/--no-augment", default=None, help="Move training images at random.  [default: no]"
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of weights, order and moves.  [default: 0]"
)
@click.option(
    "--recipe",
    type=click.Choice(list(recipes.RECIPES)),
    help="Schedule and augmentation of the paper; other options override it.",
)
@click.option(
    "--limit-train",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use the first N training images only.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the run.  [default: runs/DATASET-METHOD-priorVALUE-seedN]",
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
    limit_train: int | None,
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
    goes on with the same bits as if nothing had happened.

    \b
    Examples:
      snnr train mnist --prior 1e-3
      snnr train mnist --recipe paper --epochs 100 --seed 1
      snnr train digits.npz --net mnist_fc -T 4 --json
      snnr train mnist --epochs 40 --resume
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    settings = recipes.resolve(dataset, recipe, given)
    has_prior = _check_method(settings["method"], given)
    folder = out or recipes.run_folder(dataset, settings, has_prior)
    checkpoint = folder / "checkpoint.h5"
    with locked(folder):
        _check_run(checkpoint, resume, overwrite)
        chosen = settle(device, threads, quiet)
        settings |= {
            "dataset": recipes.dataset_name(dataset),
            "recipe": recipe,
            "limit_train": limit_train,
            "data_dir": str(data_dir) if data_dir else None,
            "device": chosen,
            "threads": threads,
        }
        if resume:
            asked = {**given, "limit_train": limit_train, "recipe": recipe}
            trainer = _resumed(checkpoint, settings, asked, quiet)
        else:
            # with --overwrite the first checkpoint takes the place of the old run's
            trainer = _started(checkpoint, settings, quiet)
        if not quiet:
            from snnr.cli.progress import Display

            trainer.callbacks.append(Display())
        trainer.fit()
    _report(trainer, as_json)


def _check_method(method: str, given: dict[str, Any]) -> bool:
    """Refuse settings that the method has not; returns whether it has a prior."""
    from snnr.cli.results import takes

    for setting in ("prior", "sparsity"):
        if given[setting] is not None and not takes(method, setting):
            raise click.UsageError(f"--{setting} means nothing to --method {method}; leave it out")
    return takes(method, "prior")


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


def _started(checkpoint: Path, settings: dict[str, Any], quiet: bool) -> "Trainer":
    """A new run."""
    from snnr.cli.progress import Downloads
    from snnr.cli.results import takes

    from snnr import data, models
    from snnr.optim import METHODS
    from snnr.training import Trainer

    images = data.load(
        settings["dataset"], settings["data_dir"], settings["limit_train"], Downloads(quiet)
    )
    for text in images.notes:
        note(text, quiet)
    network = models.make(
        settings["net"], settings["timesteps"], settings["seed"], settings["device"],
        images.image_shape, images.classes,
    )  # fmt: skip
    settings["timesteps"] = network.T
    method = settings["method"]
    possible = {key: settings[key] for key in ("lr", "prior", "sparsity")}
    possible["rng"] = settings["seed"]
    for setting in ("prior", "sparsity"):
        settings[setting] = settings[setting] if takes(method, setting) else None
    optimizer = METHODS[method](
        network.parameters(), **{k: v for k, v in possible.items() if takes(method, k)}
    )
    note(
        f"{images.name}: {len(images.x_train)} training and {len(images.x_test)} test images; "
        f"{settings['net']}, {method}, T={network.T}; {checkpoint}",
        quiet,
    )
    return Trainer(
        network,
        optimizer,
        images,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        loss=settings["loss"],
        augment=settings["augment"],
        seed=settings["seed"],
        checkpoint=checkpoint,
        config=settings,
    )


def _resumed(
    checkpoint: Path, settings: dict[str, Any], asked: dict[str, Any], quiet: bool
) -> "Trainer":
    """The run of a folder, taken up where it stopped."""
    from snnr.cli.progress import Downloads

    from snnr import checkpoint as checkpoints
    from snnr import data
    from snnr.errors import ConfigError
    from snnr.training import Trainer

    found = checkpoints.load(checkpoint, settings["device"])
    config = found.config
    for key in ("dataset", *_FIXED):
        value = settings["dataset"] if key == "dataset" else asked[key]
        before = bool(config.get(key)) if key == "augment" else config.get(key)
        if value is not None and value != before:
            raise ConfigError(
                f"{checkpoint} was trained with {key.replace('_', '-')} {before}, not {value}: "
                "a run is resumed with its own settings; leave the option out, or start another "
                "run with --out"
            )
    images = data.load(
        config["dataset"],
        settings["data_dir"] or config.get("data_dir"),
        config.get("limit_train"),
        Downloads(quiet),
    )
    trainer = Trainer.resume(found, images, epochs=asked["epochs"])
    state = f"epoch {trainer.epoch + 1}, step {trainer.position + 1}"
    note(
        f"{checkpoint} is complete with {trainer.epoch} epochs; --epochs N goes on to N"
        if trainer.epoch >= trainer.epochs
        else f"{checkpoint}: going on with {state}",
        quiet,
    )
    return trainer


def _report(trainer: "Trainer", as_json: bool) -> None:
    from snnr.cli.results import connections, layer_rows, print_layers, provenance

    history = trainer.history
    last = {key: {n: c[-1] for n, c in history[key].items()} for key in ("firing_rate", "silent")}
    layers = layer_rows(trainer.network, last["firing_rate"], last["silent"])
    origin = provenance(trainer.config, history)
    if as_json:
        print_json(
            {
                "accuracy": history["test_accuracy"][-1],
                "loss": history["test_loss"][-1],
                "connectivity": history["connectivity"][-1],
                "layers": layers,
                **origin,
                "checkpoint": str(trainer.checkpoint),
            }
        )
        return
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
        ]
    )
    click.echo()
    print_layers(layers)
