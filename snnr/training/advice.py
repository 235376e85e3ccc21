"""What settings lead to, as far as it was measured: told before a training, not after it."""

from typing import Any

from snnr.optim import Optimizer
from snnr.optim.steering import Steered
from snnr.training.schedule import Schedule

#: prior -> share of the connections of mnist_fc that are left after 12 epochs of MNIST at lr 1e-3
MEASURED = {1e-3: 0.631, 5e-3: 0.423, 1e-2: 0.262, 5e-2: 0.0516, 1e-1: 0.029, 3e-1: 0.0094}
#: below this share steering meets the last steps, which a schedule may have left without a rate
LOW = 0.025
#: and with fewer steps the prior has to be so strong that little is learned
FEW = 3000
#: times the target that a training may end at
MISSED = 1.1
#: share of the learning rate at the end with which little is learned any more
SLOW = 0.02


def outlook(optimizer: Optimizer) -> str:
    """In a sentence or two, how many connections a training is to end with, and what decides."""
    settings = optimizer.settings.as_dict()
    target, prior = settings.get("target_connectivity"), settings.get("prior")
    if target and target < 1:
        if isinstance(optimizer, Steered) and optimizer.steered:
            name = optimizer.steered
            return f"{name} moves by itself, to end at {_share(target)} of the connections"
        return f"to end at {_share(target)} of the connections"
    if optimizer.METHOD == "dense" or prior == 0 or target == 1:
        return "nothing is pruned"
    if prior is None:
        return ""
    or_so = "" if 0.04 < prior < 0.06 else ", or about --prior 5e-2"
    return (
        f"prior {short(prior)}, which left {_left(prior)} of the connections after 12 epochs of "
        f"MNIST; sparsity {short(settings['sparsity'])} is not the share that goes. "
        f"To end at 5 %: --target-connectivity 0.05{or_so}"
    )


def cautions(optimizer: Optimizer, schedule: Schedule, steps: int) -> list[str]:
    """What goes wrong with these settings, as measured, each with a remedy."""
    target = optimizer.settings.as_dict().get("target_connectivity") or 1.0
    end = schedule.share(steps, steps)
    steered = optimizer.steered if isinstance(optimizer, Steered) else None
    if not steered or target > LOW:
        return []
    told = []
    if end < SLOW:
        told.append(
            f"target_connectivity {target:g} is reached late, when schedule {schedule} has left "
            "next to nothing of the learning rate to learn with (MNIST at 1 %: accuracy 58.5 % "
            "with cosine, 97.0 % with constant); try: schedule constant, or method magnitude, "
            "which prunes earlier"
        )
    if steps < FEW and steered == "prior":
        told.append(
            f"target_connectivity {target:g} in {steps:,} steps takes a prior under which little "
            "is learned (MNIST at 2 %: accuracy 90.6 % after 744 steps, 98.1 % after 14,040); "
            "try: more epochs, or method magnitude, which has no prior"
        )
    return told


def missed(optimizer: Optimizer, connectivity: float) -> list[str]:
    """That a training ended above its target, with a remedy."""
    target = optimizer.settings.as_dict().get("target_connectivity")
    if not target or connectivity <= MISSED * target:
        return []
    return [
        f"{_share(connectivity)} of the connections are left, not {_share(target)}: there were too "
        f"few steps, or too small ones; try: more epochs, a higher lr (={optimizer.lr:g})"
    ]


def short(value: Any) -> str:
    """A number for people: 1e-3, 0.95, 20."""
    if isinstance(value, float) and 0 < abs(value) < 0.01:
        digits, exponent = f"{value:e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"


def _left(prior: float) -> str:
    """What is left with a prior, between what was measured."""
    below = max((p for p in MEASURED if p <= prior * 1.001), default=None)
    above = min((p for p in MEASURED if p >= prior * 0.999), default=None)
    if below is not None and below == above:
        return _percent(below)
    if below is None:
        return f"more than {_percent(min(MEASURED))}"
    if above is None:
        return f"less than {_percent(max(MEASURED))}"
    return f"{_percent(above)} to {_percent(below)}"


def _percent(prior: float) -> str:
    return f"{100 * MEASURED[prior]:.2g} %"
