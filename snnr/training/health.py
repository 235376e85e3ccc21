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
    """What is wrong with the network after an epoch, each with a remedy; empty when nothing is. The
    same trouble has the same words after each epoch, so that it can be told once.

    Parameters
    ----------
    row : that epoch's row of the history. Guesses count from the second epoch on, where it says
        which it is: a first one may be too short.
    classes, images : of the samples that `test_accuracy` is over.
    settings : of the method, and the schedule, as they are now; those that are missing are named
        without a value.
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
        if settings.get("schedule", "constant") != "constant":
            milder += "schedule constant, "
    if pruned:
        less = milder + (f"lower {told('sparsity')}, " if settings.get("sparsity") else "")
        return [
            f"{' and '.join(pruned)} {'has' if len(pruned) == 1 else 'have'} no connection left, "
            f"so that nothing comes through; try: {less}fewer epochs"
        ]
    names = list(row["firing_rate"])
    if silent:
        which = f"{silent[0]}, the output," if silent[0] == names[-1] else silent[0]
        return [
            f"{which} does not fire on any test image, so that nothing comes through; try: "
            f"{milder}larger inputs or first weights, a lower v_threshold or a BatchNorm in front "
            f"of it, another {told('lr')}"
        ]
    chance = 1 / classes
    luck = 2 * math.sqrt(chance * (1 - chance) / images)
    if row["test_accuracy"] > chance + luck or classes < 2 or not row["silent"]:
        return []
    output, share = list(row["silent"].items())[-1]
    if share >= 0.5:
        return [
            f"most of {output} never fire and the accuracy is that of guessing; try: {milder}a "
            f"higher {told('lr')}, more timesteps, larger inputs, a lower v_threshold"
        ]
    if row.get("epoch", 2) > 1:
        return [
            f"the accuracy is that of guessing among {classes} classes; try: {milder}another "
            f"{told('lr')}, a BatchNorm in front of neurons, more timesteps; are labels and images "
            "in the same order?"
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
