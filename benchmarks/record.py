"""What a contender tells about one training step, and what of it must agree."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

SAMPLE = 2000

Array = np.ndarray[Any, Any]


@dataclasses.dataclass
class Record:
    """One training step, seen from outside.

    ``spikes``: density after each LIF layer; ``inputs``: share of nonzeros that each weight
    layer receives (after pooling and dropout); ``grad_norms`` and ``change_norms``: L2 norm of
    gradient and of the update, by parameter; ``weights``: a fixed sample of each parameter
    after the step, in the public shape's order.
    """

    loss: float = 0.0
    spikes: dict[str, float] = dataclasses.field(default_factory=dict)
    inputs: dict[str, float] = dataclasses.field(default_factory=dict)
    grad_norms: dict[str, float] = dataclasses.field(default_factory=dict)
    change_norms: dict[str, float] = dataclasses.field(default_factory=dict)
    weights: dict[str, list[float]] = dataclasses.field(default_factory=dict)


def sample(values: Array) -> list[float]:
    """A fixed, evenly spread sample of ``values`` in C order."""
    flat = np.ascontiguousarray(values).reshape(-1)
    stride = max(1, len(flat) // SAMPLE)
    # an odd stride does not fall into step with the power-of-two shapes
    return [float(v) for v in flat[:: stride | 1][:SAMPLE]]


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far two contenders may be apart in one step.

    Float32 sums in another order move some potentials across the threshold, so spikes differ
    in a few places; Adam's first step is lr * sign(gradient), so a weight whose gradient is
    about zero may go the other way by 2 * lr.
    """

    loss: float
    density: float
    gradient: float
    flipped: float


# one output spike more or less moves the loss of a small batch by some tenths of a per cent
TOLERANCES = {
    "mnist_fc": Tolerance(loss=1e-3, density=1e-3, gradient=5e-3, flipped=0.01),
    "csnn": Tolerance(loss=5e-3, density=2e-3, gradient=3e-2, flipped=0.05),
    "cifar10_conv": Tolerance(loss=2e-2, density=5e-3, gradient=5e-2, flipped=0.10),
}


def disagreements(ours: Record, theirs: Record, lr: float, limit: Tolerance) -> list[str]:
    """What differs between two records, in words; empty when they agree."""
    found = []

    def compare(what: str, a: float, b: float, tolerance: float, floor: float = 1e-12) -> None:
        apart = abs(a - b) / max(abs(a), abs(b), floor)
        if not apart <= tolerance:
            found.append(f"{what} {a:.6g} and {b:.6g} ({100 * apart:.2g} % apart)")

    compare("loss", ours.loss, theirs.loss, limit.loss)
    for name in ours.spikes:
        compare(f"density of {name}", ours.spikes[name], theirs.spikes[name], limit.density)
    for name, norm in ours.grad_norms.items():
        compare(f"gradient norm of {name}", norm, theirs.grad_norms[name], limit.gradient)
        compare(
            f"size of the update of {name}",
            ours.change_norms[name],
            theirs.change_norms[name],
            limit.gradient,
        )
    for name, values in ours.weights.items():
        apart = np.abs(np.array(values) - np.array(theirs.weights[name]))
        flipped = float((apart > 0.02 * lr).mean())
        if flipped > limit.flipped or float(apart.max()) > 2.5 * lr:
            found.append(
                f"weights of {name} after the step: {100 * flipped:.2g} % differ, "
                f"at most by {apart.max():.2g}"
            )
    return found
