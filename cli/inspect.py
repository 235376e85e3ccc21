"""snnr inspect: what is inside a checkpoint, without running it."""

from pathlib import Path
from typing import Any

import click
import numpy as np
from snnr.cli.common import output_options, percent, print_json, print_pairs, print_table

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@click.command(name="inspect", short_help="What is inside a checkpoint, layer by layer.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@output_options
def command(checkpoint: Path, as_json: bool, quiet: bool) -> None:
    """Show the layers of CHECKPOINT (a file, or the folder of a run): shape, weights, nonzeros,
    connectivity, quantiles of theta, and dead neurons, which no surviving connection reaches.

    \b
    Example:
      snnr inspect runs/mnist-grad-r-prior0.001-seed0
    """
    from snnr.checkpoint import load

    path = checkpoint / "checkpoint.h5" if checkpoint.is_dir() else checkpoint
    found = load(path)
    layers = [_layer(layer, found.optimizer) for layer in found.network]
    weights = [layer for layer in layers if "nonzero" in layer]
    total = sum(layer["weights"] for layer in weights)
    nonzero = sum(layer["nonzero"] for layer in weights)
    about = {
        "checkpoint": str(path),
        "size": path.stat().st_size,
        "created": found.created,
        "snnr_version": found.snnr_version,
        "epoch": found.epoch,
        "step": found.step,
        "timesteps": found.network.T,
        "accuracy": found.accuracy,
        "weights": total,
        "nonzero": nonzero,
        "connectivity": nonzero / max(total, 1),
        **{key: found.config.get(key) for key in ("dataset", "net", "method", "prior", "sparsity")},
    }
    if as_json:
        print_json({**about, "layers": layers, "config": found.config})
        return
    print_pairs(
        [
            ("checkpoint", f"{path}, snnr {found.snnr_version}, {found.created}"),
            ("network", " - ".join(layer.kind for layer in found.network)),
            ("trained", f"{found.epoch} epochs, {found.step:,} steps, T={found.network.T}"),
            ("accuracy", percent(found.accuracy)),
            (
                "connectivity",
                f"{percent(about['connectivity'])} ({nonzero:,} of {total:,} weights)",
            ),
        ]
    )
    click.echo()
    print_table(
        ("layer", "shape", "weights", "nonzero", "connectivity", "dead neurons", "unused inputs"),
        [
            (
                layer["name"],
                "x".join(map(str, layer["shape"])),
                f"{layer['weights']:,}",
                f"{layer['nonzero']:,}",
                percent(layer["connectivity"]),
                str(layer["dead_neurons"]),
                str(layer["unused_inputs"]),
            )
            for layer in weights
        ],
    )
    thetas = [layer for layer in weights if layer["theta_quantiles"]]
    if thetas:
        click.echo()
        print_table(
            ("theta", *(percent(q, 0) for q in _QUANTILES)),
            [
                (layer["name"], *(f"{v:.4g}" for v in layer["theta_quantiles"].values()))
                for layer in thetas
            ],
        )


def _layer(layer: Any, optimizer: Any) -> dict[str, Any]:
    from snnr.metrics import unreached_neurons, unused_inputs

    described: dict[str, Any] = {"name": layer.name, "type": layer.kind}
    described["settings"] = layer.settings()
    parameters = layer.own_parameters()
    if "weight" not in parameters:
        return described
    weight = parameters["weight"]
    nonzero = int(np.count_nonzero(weight.data))
    theta = optimizer.state[weight].theta if optimizer else None
    quantiles = None
    if theta is not None:
        values = np.quantile(theta, _QUANTILES)
        quantiles = {f"{q:g}": float(v) for q, v in zip(_QUANTILES, values, strict=True)}
    return {
        **described,
        "shape": list(weight.shape),
        "weights": weight.data.size,
        "nonzero": nonzero,
        "connectivity": nonzero / max(weight.data.size, 1),
        "dead_neurons": unreached_neurons(layer),
        "unused_inputs": unused_inputs(layer),
        "theta_quantiles": quantiles,
    }
