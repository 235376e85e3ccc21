"""snnr eval: how good a checkpoint is, and what an image costs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from snnr.cli.common import (
    Choice,
    data_dir_option,
    machine_options,
    note,
    output_options,
    percent,
    print_json,
    settle,
)
from snnr.cli.screen import print_pairs

if TYPE_CHECKING:
    from snnr.training import Evaluation


def _dense(**arguments: Any) -> "Evaluation":
    """The engine that trains: kernels that choose by what they meet."""
    from snnr.training import evaluate

    return evaluate(**arguments)


def _sparse(**arguments: Any) -> "Evaluation":
    """The compiled network."""
    from snnr.cli.sparse import evaluate

    return evaluate(**arguments)


#: engine -> function with the arguments of `snnr.training.evaluate`
ENGINES: dict[str, Callable[..., "Evaluation"]] = {"dense": _dense, "sparse": _sparse}


@click.command(name="eval", short_help="Accuracy, loss, connectivity, rates and operations.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--dataset", metavar="NAME|FILE", help="Another data set.  [default: the one of the training]"
)
@click.option(
    "--engine",
    type=Choice(list(ENGINES)),
    default="dense",
    show_default=True,
    help="What runs the network: the kernels that train it, or the compiled network.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Images at a time.  [default: what fits 256 MiB]",
)
@click.option("--limit-test", metavar="N", type=click.IntRange(min=1),
              help="Use the first N test images only.  [default: all]")  # fmt: skip
@click.option(
    "--confusion", is_flag=True, help="Which classes are taken for which: rows are classes, "
    "columns answers.",
)  # fmt: skip
@data_dir_option
@machine_options
@output_options
def command(
    checkpoint: Path,
    dataset: str | None,
    engine: str,
    batch_size: int | None,
    limit_test: int | None,
    confusion: bool,
    data_dir: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run CHECKPOINT (a file, or the folder of a run) on the test images.

    Synaptic operations are what an event-driven machine does for one image: a spike meets a
    connection that survived. Layers with analog input count multiply-accumulates instead. Beside
    them stand the figures of NeuroBench 2.3, by its definitions.

    Words: connectivity is the share of the weights that are not 0. The firing rate is spikes per
    neuron and time step, silent the share of the neurons that fire on no test image; both are of
    the neurons that a layer of weights drives.

    \b
    Examples:
      snnr eval runs/mnist-grad-r-prior0.001-seed0
      snnr eval checkpoint.h5 --engine sparse --json
      snnr eval runs/first/best.h5 --confusion --limit-test 1000
    """
    from snnr.cli.confusion import print_confusion
    from snnr.cli.progress import Display, Downloads
    from snnr.cli.results import (
        connections,
        counted,
        layer_rows,
        neurobench,
        print_layers,
        provenance,
    )

    from snnr import data
    from snnr.checkpoint import load, located
    from snnr.errors import CheckpointError, ConfigError
    from snnr.input import Images
    from snnr.metrics import connectivity
    from snnr.training.health import ailments, row_of

    path = located(checkpoint)
    if engine == "sparse":
        if device == "cuda":
            raise ConfigError("--engine sparse runs on the CPU: leave out --device cuda")
        device = "cpu"
    found = load(path, settle(device, threads, quiet), with_optimizer=False)
    config = found.config
    name = dataset or config.get("dataset")
    if not isinstance(name, str):
        raise CheckpointError(f"{path} does not say what it was trained on; give --dataset")
    folder = data_dir or (config.get("data_dir") if dataset is None else None)
    images = data.load(name, folder, progress=Downloads(quiet), limit_test=limit_test)
    trained = config.get("data")
    trained = trained if isinstance(trained, dict) else {}
    if trained and trained.get("image_shape") != list(images.image_shape):
        raise CheckpointError(
            f"{path} takes images of {trained.get('image_shape')}, {images.name} has "
            f"{list(images.image_shape)}; give a --dataset of that shape"
        )
    try:
        source = Images(
            images.x_test,
            trained.get("mean", images.mean),
            trained.get("std", images.std),
            device=found.network.device,
        )
    except ConfigError as error:
        raise CheckpointError(
            f"{path}: mean and std of the data make no sense ({error}); train anew"
        ) from error
    display = Display()
    result = ENGINES[engine](
        network=found.network,
        source=source,
        labels=images.y_test,
        loss=config.get("loss", "mse"),
        batch_size=batch_size,
        report=None if quiet else display.evaluation,
        confusion=confusion,
    )
    if not quiet:
        display.clear()
    activity = result.activity
    assert activity is not None
    layers = layer_rows(
        found.network,
        {name: n.firing_rate for name, n in activity.neurons.items()},
        {name: n.silent for name, n in activity.neurons.items()},
    )
    row = row_of(found.network, result)
    warnings = ailments(row, images.classes, result.images, config)
    for text in warnings:
        note(f"warning: {text}")
    if as_json:
        print_json(
            {
                "accuracy": result.accuracy,
                "loss": result.loss,
                "connectivity": connectivity(found.network),
                "layers": layers,
                **provenance(config, found.history),
                "checkpoint": str(path),
                "dataset": name,
                "engine": engine,
                "images": result.images,
                "images_per_second": result.images / result.seconds,
                "synaptic_operations": activity.sops,
                "multiply_accumulates": activity.macs,
                "layer_synaptic_operations": activity.synaptic_operations,
                "layer_multiply_accumulates": activity.multiply_accumulates,
                "neurobench": neurobench(found.network, activity),
                **({} if result.confusion is None else {"confusion": result.confusion.tolist()}),
                "warnings": warnings,
            }
        )
        return
    print_pairs(
        [
            ("accuracy", f"{percent(result.accuracy)} of {result.images:,} images"),
            ("loss", f"{result.loss:.5f}"),
            ("connectivity", connections(layers)),
            ("operations", f"{activity.sops:,.0f} synaptic, {activity.macs:,.0f} "
                           "multiply-accumulates per image"),
            *counted(found.network, activity),
            ("speed", f"{result.images / result.seconds:,.0f} images per second ({engine})"),
        ]
    )  # fmt: skip
    click.echo()
    print_layers(layers)
    if result.confusion is not None:
        click.echo()
        print_confusion(result.confusion)
