"""snnr export: a network for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from snnr.cli.common import (
    Choice,
    data_dir_option,
    note,
    output_options,
    percent,
    print_json,
    size,
)
from snnr.cli.screen import print_pairs

if TYPE_CHECKING:
    from snnr.data import Dataset

    from snnr.export import Exported, Written

ENDINGS = {"c": ".h", "npz": ".npz", "nir": ".nir"}


@click.command(name="export", short_help="A network as C, as NIR, or as arrays for scipy.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--to", "kind", type=Choice(list(ENDINGS)), required=True, help="What is written."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="The file.  [default: network.h, network.npz or network.nir]",
)  # fmt: skip
@click.option("-T", "--timesteps", type=click.IntRange(min=1), help="[default: as trained]")
@click.option(
    "--quantize", type=Choice(["int8", "int16"]),
    help="C in fixed point, without floating point.",
)  # fmt: skip
@click.option(
    "--scale", type=Choice(["channel", "layer"]), default="channel", show_default=True,
    help="Fixed point: one scale for what.",
)  # fmt: skip
@click.option("--prefix", default="network", show_default=True, help="C: the prefix of every name.")
@click.option(
    "--golden", type=click.IntRange(1, 1000), default=2, show_default=True, metavar="N",
    help="C: images in it for its self-test.",
)  # fmt: skip
@click.option(
    "--check", "checked", is_flag=True,
    help="C: compile it here, run the test images, compare with the dense network.",
)  # fmt: skip
@click.option(
    "--dt", type=click.FloatRange(min=0, min_open=True), default=1e-4, show_default=True,
    help="NIR: seconds of a time step.",
)  # fmt: skip
@data_dir_option
@output_options
def command(
    checkpoint: Path,
    kind: str,
    output: Path | None,
    timesteps: int | None,
    quantize: str | None,
    scale: str,
    prefix: str,
    golden: int,
    checked: bool,
    dt: float,
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write CHECKPOINT (a file, or the folder of a run) for other programs. Neurons that never
    fire and channels that nothing reads are left out.

    c is one header of C99 with sparse tables, for microcontrollers; npz has a CSR matrix for each
    layer; nir is read by snnTorch, Norse, Sinabs and others (pip install 'snnr[nir]').

    \b
    Examples:
      snnr export runs/mnist-grad-r-prior0.3-seed0 --to c --quantize int8 --check
      snnr export checkpoint.h5 --to nir -o network.nir
    """
    from snnr.checkpoint import located
    from snnr.errors import ConfigError
    from snnr.export import exported, write_c, write_nir, write_npz

    if kind != "c" and (quantize or checked):
        raise ConfigError("--quantize and --check are for --to c")
    path = located(checkpoint)
    target = output or Path(f"network{ENDINGS[kind]}")
    network = exported(path, T=timesteps)
    told: dict[str, Any] = {
        "checkpoint": str(path), "to": kind, "file": str(target), "timesteps": network.T,
        "connections": network.form.nonzero, "neurons": sum(network.form.neurons.values()),
    }  # fmt: skip
    if kind == "npz":
        write_npz(network, target)
    elif kind == "nir":
        write_nir(network, target, dt=dt)
    else:
        images = _images(network, data_dir, quiet or not checked, checked)
        written = write_c(
            network, target, prefix, quantize, scale, golden, images and images.x_test
        )
        told |= _bytes(written)
        if checked and images is not None:
            told |= _checked(written, path, images, quiet)
    told["size"] = target.stat().st_size
    if as_json:
        print_json(told)
        return
    _print(told)


def _images(
    network: "Exported", folder: Path | None, quiet: bool, needed: bool
) -> "Dataset | None":
    """The images that the network was trained on, where they are here."""
    from snnr import data
    from snnr.errors import ConfigError, DataError

    name = network.config.get("dataset")
    try:
        if not isinstance(name, str):
            raise DataError("the checkpoint does not say what it was trained on")
        found = data.load(name, folder or network.config.get("data_dir"))
        if found.x_test.shape[1:] != network.form.input_shape or found.x_test.dtype != "uint8":
            raise DataError(f"{name} has other images than the network takes")
    except DataError as error:
        if needed:
            raise ConfigError(f"--check needs the test images: {error}") from error
        note(f"golden vectors are noise: {error}", quiet)
        return None
    return found


def _bytes(written: "Written") -> dict[str, Any]:
    """What it takes; on a Cortex-M4 where its compiler is here."""
    told: dict[str, Any] = {"flash_tables": written.flash, "ram_buffers": written.ram}
    sizes = written.cortex_m4()
    if sizes is not None:
        told |= {"flash_cortex_m4": sizes.flash, "ram_cortex_m4": sizes.buffers}
    return told


def _checked(written: "Written", path: Path, images: "Dataset", quiet: bool) -> dict[str, Any]:
    """Compiled and run on the test images, beside the dense network."""
    from snnr.checkpoint import load
    from snnr.input import Images
    from snnr.nn import IF, Sequential
    from snnr.training import evaluate

    note(f"compiling {written.path}, running {len(images.x_test):,} images", quiet)
    network = load(path, with_optimizer=False).network
    for layer in network.layers():
        if isinstance(layer, IF | Sequential):
            layer.T = written.program.T
    normal = written.program.normalisation
    assert normal is not None
    source = Images(images.x_test, normal.mean, normal.std)
    dense = evaluate(network, source, images.y_test, activity=False)
    answers = written.check(images.x_test)
    return {
        "accuracy": float((answers.labels() == images.y_test).mean()),
        "accuracy_dense": dense.accuracy,
        "images": len(images.x_test),
    }


def _print(told: dict[str, Any]) -> None:
    pairs = [
        ("file", f"{told['file']}, {size(told['size'])}"),
        ("network", f"{told['connections']:,} connections, {told['neurons']:,} neurons, "
                    f"T={told['timesteps']}"),
    ]  # fmt: skip
    if "flash_tables" in told:
        flash, ram = f"{told['flash_tables']:,} bytes of tables", f"{told['ram_buffers']:,} bytes"
        if "flash_cortex_m4" in told:
            flash = f"{told['flash_cortex_m4']:,} bytes on a Cortex-M4, {flash}"
        else:
            flash += ", and the code, 1 to 3 kB"
        pairs += [
            ("flash", flash),
            ("ram", f"{ram} of buffers, no heap; the image is the caller's"),
        ]
    if "accuracy" in told:
        pairs.append(("accuracy", f"{percent(told['accuracy'])} of {told['images']:,} images, "
                                  f"dense {percent(told['accuracy_dense'])}"))  # fmt: skip
    print_pairs(pairs)
