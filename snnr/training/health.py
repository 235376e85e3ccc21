"""Whether a network still works: a dead one goes on training, and nothing else would tell."""

import math
from collections.abc import Mapping
from typing import Any

from snnr.metrics import layer_connectivity
from snnr.nn import Layer
from snnr.training.evaluation import Evaluation


def ailments(
    row: Mapping[str, Any], classes: int, images: int, settings: Mapping[str, Any]
) -> list[str]:
    """What is wrong with the network after an epoch, each with a remedy; empty when nothing is.

    Parameters
    ----------
    row : that epoch's row of the history.
    classes, images : of the samples that `test_accuracy` is over.
    settings : of the method, as they are now; those that are missing are named without a value.
    """
    pruned = [name for name, share in row["layer_connectivity"].items() if share == 0]
    silent = [name for name, rate in row["firing_rate"].items() if rate == 0]

    def told(name: str) -> str:
        value: Any = settings.get(name)
        # in a checkpoint of somebody else it may be anything
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return f"{name} (={value:g})" if number and abs(value) < 1e99 else name

    milder = f"lower {told('prior')}, " if settings.get("prior") else ""
    if settings.get("target_connectivity"):
        milder = f"a higher {told('target_connectivity')}, "  # by which the prior moves
    if pruned:
        less = milder + (f"lower {told('sparsity')}, " if settings.get("sparsity") else "")
        return [
            f"{' and '.join(pruned)} {'has' if len(pruned) == 1 else 'have'} no connection left, "
            f"so that nothing comes through; try: {less}fewer epochs"
        ]
    if silent:
        return [
            f"{silent[0]} does not fire on any test image, so that nothing comes through; try: "
            f"{milder}larger inputs or first weights, a BatchNorm in front of it, "
            f"another {told('lr')}"
        ]
    outputs, share = list(row["silent"].items())[-1] if row["silent"] else ("", 0.0)
    chance = 1 / classes
    luck = 2 * math.sqrt(chance * (1 - chance) / images)
    if share >= 0.5 and row["test_accuracy"] <= chance + luck:
        return [
            f"{100 * share:.0f} % of {outputs} never fire and the accuracy is that of guessing; "
            f"try: {milder}a higher {told('lr')}, more timesteps, larger inputs"
        ]
    return []


def row_of(network: Layer, result: Evaluation) -> dict[str, Any]:
    """What `ailments` looks at, of an evaluation with activity."""
    assert result.activity is not None
    neurons = result.activity.neurons
    return {
        "layer_connectivity": {p.name: p.connectivity for p in layer_connectivity(network)},
        "firing_rate": {name: counts.firing_rate for name, counts in neurons.items()},
        "silent": {name: counts.silent for name, counts in neurons.items()},
        "test_accuracy": result.accuracy,
    }
