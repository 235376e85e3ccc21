"""snnr inspect: what is inside a checkpoint, without running it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from snnr.cli.common import output_options, percent, print_json
from snnr.cli.screen import print_pairs, print_table

if TYPE_CHECKING:

    from snnr.nn import Layer
    from snnr.optim import Optimizer
    from snnr.tensor import Parameter

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@click.command(name="inspect", short_help="What is inside a checkpoint, layer by layer.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@output_options
def command(checkpoint: Path, as_json: bool, quiet: bool) -> None:
    """Show the layers of CHECKPOINT (a file, or the folder of a run), without running it: shape,
    weights, and what is left of them.

    Words: nonzero weights are the connections, connectivity their share. Dead neurons (of a
    convolution: channels) are those that no connection reaches, unused inputs those that none
    leaves. theta is what grad-r trains in place of the weights, shown by its quantiles: where it is
    below 0 there is no connection.

    \b
    Example:
      snnr inspect runs/mnist-grad-r-prior0.001-seed0
    """
    from snnr.cli.results import footprints

    from snnr.checkpoint import load, located
    from snnr.metrics import footprint, sparse_footprint
    from snnr.training.settings import method_options

    path = located(checkpoint)
    found = load(path)
    layers = [_layer(layer, found.optimizer) for layer in found.network.layers() if layer.name]
    weights = [weight for layer in layers for weight in _rows(layer)]
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
        "footprint": footprint(found.network),
        "sparse_footprint": sparse_footprint(found.network),
        **{key: found.config.get(key) for key in ("dataset", "net", "method", *method_options())},
    }
    if as_json:
        print_json({**about, "layers": layers, "config": found.config})
        return
    print_pairs(
        [
            ("checkpoint", f"{path}, snnr {found.snnr_version}, {found.created}"),
            ("network", _chain(found.network)),
            ("trained", f"{found.epoch} epochs, {found.step:,} steps, T={found.network.T}"),
            ("accuracy", percent(found.accuracy)),
            (
                "connectivity",
                f"{percent(about['connectivity'])} ({nonzero:,} of {total:,} weights)",
            ),
            ("footprint", footprints(found.network)),
        ]
    )
    click.echo()
    print_weights(weights)
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


def print_weights(weights: list[dict[str, Any]]) -> None:
    """The table of weights."""
    print_table(
        ("layer", "shape", "weights", "nonzero", "connectivity", "dead neurons", "unused inputs"),
        [
            (
                layer["name"],
                "x".join(map(str, layer["shape"])),
                f"{layer['weights']:,}",
                f"{layer['nonzero']:,}",
                percent(layer["connectivity"]),
                f"{layer['dead_neurons']:,}",
                f"{layer['unused_inputs']:,}",
            )
            for layer in weights
        ],
    )


def _chain(layer: "Layer") -> str:
    """The layers inside by kind, those of a layer inside in brackets."""
    parts = []
    for child in layer.children().values():
        inside = _chain(child)
        parts.append(f"{child.kind} [{inside}]" if inside else child.kind)
    return " - ".join(parts)


def _layer(layer: "Layer", optimizer: "Optimizer | None") -> dict[str, Any]:
    """Kind and settings of a layer, and its weight; several weights as a list."""
    from snnr.nn import Layer

    def plain(value: Any) -> bool:
        parts = value if isinstance(value, list | tuple) else [value]
        return not any(isinstance(part, Layer) for part in parts)

    described: dict[str, Any] = {"name": layer.name, "type": layer.kind}
    # those of layers inside have entries of their own
    described["settings"] = {k: v for k, v in layer.settings().items() if plain(v)}
    weights = [p for p in layer.own_parameters().values() if p.role == "weight"]
    if len(weights) == 1:
        described |= _weight(weights[0], optimizer)
    elif weights:
        described["parts"] = [{"name": p.name, **_weight(p, optimizer)} for p in weights]
    return described


def _rows(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """What the tables show of a layer."""
    return layer.get("parts", [layer] if "nonzero" in layer else [])


def _weight(weight: "Parameter", optimizer: "Optimizer | None") -> dict[str, Any]:
    from snnr.metrics import nonzero, unreached_neurons, unused_inputs

    count = nonzero(weight)
    state = optimizer.state.get(weight) if optimizer else None
    quantiles = None
    if state is not None and "theta" in state.kept:
        values = np.quantile(state.numpy("theta"), _QUANTILES)
        quantiles = {f"{q:g}": float(v) for q, v in zip(_QUANTILES, values, strict=True)}
    return {
        "shape": list(weight.shape),
        "weights": weight.size,
        "nonzero": count,
        "connectivity": count / max(weight.size, 1),
        "dead_neurons": unreached_neurons(weight),
        "unused_inputs": unused_inputs(weight),
        "theta_quantiles": quantiles,
    }
