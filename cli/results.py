"""What `train` and `eval` print: the same table and the same JSON."""

from collections.abc import Mapping
from typing import Any

from snnr.cli.common import percent
from snnr.cli.screen import print_table

from snnr.activity import Activity
from snnr.metrics import (
    connectivity,
    driven_neurons,
    footprint,
    layer_connectivity,
    sparse_footprint,
)
from snnr.nn import Layer
from snnr.training.settings import method_options


def layer_rows(
    network: Layer, firing_rate: Mapping[str, float], silent: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One mapping per weight layer, with the activity of the neurons that it drives."""
    driven = driven_neurons(network)
    return [
        {
            "name": part.name,
            "shape": list(part.shape),
            "weights": part.weights,
            "nonzero": part.nonzero,
            "connectivity": part.connectivity,
            "neurons": driven.get(part.name),
            "firing_rate": firing_rate.get(driven.get(part.name, "")),
            "silent": silent.get(driven.get(part.name, "")),
        }
        for part in layer_connectivity(network)
    ]


def print_layers(layers: list[dict[str, Any]]) -> None:
    """The table of layers."""
    print_table(
        ("layer", "shape", "nonzero", "connectivity", "firing rate", "silent"),
        [
            (
                layer["name"],
                "x".join(map(str, layer["shape"])),
                f"{layer['nonzero']:,}",
                percent(layer["connectivity"]),
                percent(layer["firing_rate"]),
                percent(layer["silent"], 1),
            )
            for layer in layers
        ],
    )


def connections(layers: list[dict[str, Any]]) -> str:
    """For example: 5.21 % (33,094 of 635,200 weights)."""
    nonzero = sum(layer["nonzero"] for layer in layers)
    weights = sum(layer["weights"] for layer in layers)
    return f"{percent(nonzero / max(weights, 1))} ({nonzero:,} of {weights:,} weights)"


def neurobench(network: Layer, activity: Activity) -> dict[str, Any]:
    """NeuroBench's metrics by its names, per image; what was not counted is None."""
    operations = None
    if activity.dense_operations:
        operations = {
            "Effective_MACs": sum(activity.effective_macs.values()),
            "Effective_ACs": sum(activity.effective_acs.values()),
            "Dense": sum(activity.dense_operations.values()),
        }
    return {
        "Footprint": footprint(network),
        "SparseFootprint": sparse_footprint(network),
        "ConnectionSparsity": 1 - connectivity(network),
        "ActivationSparsity": activity.activation_sparsity,
        "SynapticOperations": operations,
        "EnergyJoules": activity.energy if operations else None,
    }


def counted(network: Layer, activity: Activity) -> list[tuple[str, str]]:
    """The same for people, in lines of `print_pairs`."""
    told = neurobench(network, activity)
    lines = [("footprint", footprints(network))]
    lines.append(("activations", f"{percent(told['ActivationSparsity'])} are 0"))
    operations = told["SynapticOperations"]
    if operations is not None:
        lines += [
            ("effective", f"{operations['Effective_ACs']:,.0f} ACs and "
             f"{operations['Effective_MACs']:,.0f} MACs of {operations['Dense']:,.0f} dense"),
            ("energy", f"{1e6 * told['EnergyJoules']:.3g} uJ per image for these (45 nm)"),
        ]  # fmt: skip
    return lines


def footprints(network: Layer) -> str:
    """Dense, and with weights as CSR."""
    return f"{footprint(network):,} bytes, {sparse_footprint(network):,} with sparse weights"


def provenance(config: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, Any]:
    """How a network came about, for JSON."""
    seconds = history.get("seconds", [])
    return {
        "epochs": len(seconds),
        "seconds": sum(seconds),
        "seconds_per_epoch": sum(seconds) / max(len(seconds), 1),
        **{key: config.get(key) for key in ("dataset", "net", "seed", "method")},
        **{key: config.get(key) for key in method_options()},
    }
