"""Whether a network still works: a dead one goes on training, and nothing else would tell."""

import math
from collections.abc import Mapping
from typing import Any


def ailments(
    row: Mapping[str, Any], classes: int, images: int, settings: Mapping[str, Any]
) -> list[str]:
    """What is wrong with the network after an epoch, each with a remedy; empty when nothing is.

    Parameters
    ----------
    row : that epoch's row of the history.
    classes, images : of the samples that `test_accuracy` is over.
    settings : of the method, as they are now.
    """
    pruned = [name for name, share in row["layer_connectivity"].items() if share == 0]
    silent = [name for name, rate in row["firing_rate"].items() if rate == 0]
    milder = f"lower prior (={settings['prior']:g}), " if settings.get("prior") else ""
    if pruned:
        sparsity = settings.get("sparsity")
        less = milder + (f"lower sparsity (={sparsity:g}), " if sparsity else "")
        return [
            f"{' and '.join(pruned)} {'has' if len(pruned) == 1 else 'have'} no connection left, "
            f"so that nothing comes through; try: {less}fewer epochs"
        ]
    if silent:
        return [
            f"{silent[0]} does not fire on any test image, so that nothing comes through; try: "
            f"{milder}larger inputs or first weights, a BatchNorm in front of it, "
            f"another lr (={settings['lr']:g})"
        ]
    outputs, share = list(row["silent"].items())[-1] if row["silent"] else ("", 0.0)
    chance = 1 / classes
    luck = 2 * math.sqrt(chance * (1 - chance) / images)
    if share >= 0.5 and row["test_accuracy"] <= chance + luck:
        return [
            f"{100 * share:.0f} % of {outputs} never fire and the accuracy is that of guessing; "
            f"try: {milder}a higher lr (={settings['lr']:g}), more timesteps, larger inputs"
        ]
    return []
