"""What a contender tells about its first training step, and whether it is right.

A deep spiking network magnifies rounding: one potential that rounds to the other side of the
threshold moves one spike, which moves many a layer later. Float32 contenders therefore differ
from one another however right they are. So each is compared with the same step in float64,
and may be as far from it as float32 PyTorch is, with a margin. The weight update is no such
matter: it must be Grad R applied to the contender's own gradient.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from networks import Work

SAMPLE = 2000
# how much farther than float32 PyTorch from float64 a contender may be
MARGIN = 3.0
# a gradient that has nothing to do with the right one is 1.4 away from it
UNRELATED = 1.2
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

Array = np.ndarray[Any, Any]


@dataclasses.dataclass
class Record:
    """One training step, seen from outside.

    ``spikes``: density after each LIF layer; ``inputs``: share of nonzeros that each weight
    layer receives (after pooling and dropout); ``grad_norms``: L2 norms by parameter;
    ``grads`` and ``weights``: a fixed sample of each parameter's gradient, and of the
    parameter after the step, in the public shape's order; ``connectivity``: share of prunable
    weights that are not zero after it.
    """

    loss: float = 0.0
    spikes: dict[str, float] = dataclasses.field(default_factory=dict)
    inputs: dict[str, float] = dataclasses.field(default_factory=dict)
    grad_norms: dict[str, float] = dataclasses.field(default_factory=dict)
    grads: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    weights: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    connectivity: float = 1.0

    def brief(self) -> dict[str, Any]:
        """Without the samples."""
        keep = ("loss", "spikes", "inputs", "grad_norms", "connectivity")
        return {name: getattr(self, name) for name in keep}


@dataclasses.dataclass(frozen=True)
class Floor:
    """Relative distance from float64 that is never held against a contender."""

    loss: float
    density: float
    gradient: float


# one output spike more or less moves the loss of a small batch by some tenths of a per cent
FLOORS = {
    "mnist_fc": Floor(loss=1e-4, density=1e-4, gradient=1e-3),
    "csnn": Floor(loss=5e-3, density=2e-3, gradient=5e-2),
    "cifar10_conv": Floor(loss=3e-2, density=2e-2, gradient=2e-1),
}
# factors of 10 bits move many more spikes. Rounding them so on a CPU moved mnist_fc's gradient by
# 6e-2 (batch 16), csnn's by 5e-1 (batch 4) and the last layer's density by 1 to 2 per cent
FLOORS_TF32 = {
    "mnist_fc": Floor(loss=1e-2, density=1.5e-2, gradient=1.5e-1),
    "csnn": Floor(loss=6e-2, density=4e-2, gradient=7e-1),
    "cifar10_conv": Floor(loss=2e-1, density=8e-2, gradient=1.0),
}


def sample(values: Array) -> list[float]:
    """A fixed, evenly spread sample of ``values`` in C order."""
    flat = np.ascontiguousarray(values).reshape(-1)
    # an odd stride does not fall into step with the power-of-two shapes
    stride = max(1, len(flat) // SAMPLE) | 1
    return [float(v) for v in flat[::stride][:SAMPLE]]


def distance(a: list[float], b: list[float]) -> float:
    """Relative L2 distance of ``a`` from ``b``."""
    x, y = np.array(a), np.array(b)
    return float(np.linalg.norm(x - y) / max(float(np.linalg.norm(y)), 1e-30))


def gradient_error(record: Record, exact: Record) -> float:
    """The largest relative distance from the exact gradient over all parameters."""
    return max(distance(record.grads[name], exact.grads[name]) for name in exact.grads)


def far(record: Record, exact: Record, plain: Record, work: Work, tf32: bool = False) -> list[str]:
    """Where ``record`` is farther from ``exact`` (float64) than ``plain`` (float32 PyTorch, its
    products in TF32 too if the record's are) and the floor allow, in words."""
    floor = (FLOORS_TF32 if tf32 else FLOORS)[work.name]
    found = []

    def check(what: str, value: float, right: float, usual: float, least: float) -> None:
        error = abs(value - right) / abs(right)
        allowed = max(least, MARGIN * abs(usual - right) / abs(right))
        if not error <= allowed:
            found.append(f"{what} is {value:.6g}, in float64 {right:.6g}")

    check("loss", record.loss, exact.loss, plain.loss, floor.loss)
    for name, right in exact.spikes.items():
        value, usual = record.spikes[name], plain.spikes[name]
        check(f"density of {name}", value, right, usual, floor.density)
    for name, right_grad in exact.grads.items():
        error = distance(record.grads[name], right_grad)
        usual = distance(plain.grads[name], right_grad)
        if not error <= max(floor.gradient, min(MARGIN * usual, UNRELATED)):
            found.append(
                f"gradient of {name} is {error:.2g} away from float64, PyTorch {usual:.2g}"
            )
        norm, right = record.grad_norms[name], exact.grad_norms[name]
        check(f"gradient norm of {name}", norm, right, plain.grad_norms[name], floor.gradient)
    return found


def wrong_update(record: Record, start: dict[str, Array], work: Work) -> list[str]:
    """Parameters whose first update is not Grad R (or Adam) on the recorded gradient."""
    found = []
    mu = math.log(2 - 2 * work.sparsity) / work.prior if work.prior else 0.0
    for name, grads in record.grads.items():
        before = np.array(sample(start[name]), np.float64)
        grad = np.array(grads)
        # bias-corrected moments after one step are the gradient and its square
        move = work.lr * grad / (np.abs(grad) + EPS)
        if name.endswith(".weight"):
            sign = np.sign(before)
            theta = np.abs(before)
            push = work.lr / (1 - BETA1) * work.prior * np.sign(theta - mu) if work.prior else 0.0
            right = sign * np.maximum(theta - sign * move - push, 0)
        else:
            right = before - move
        apart = np.abs(np.array(record.weights[name]) - right)[before != 0]
        if not np.all(apart <= 1e-3 * work.lr + 3e-7 * np.abs(before[before != 0])):
            found.append(f"{name} after the step is up to {apart.max():.2g} away from Grad R")
    return found
