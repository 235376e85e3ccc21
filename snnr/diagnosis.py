"""Where a training stopped being finite.

Spikes hide it: a neuron whose potential is NaN is merely silent, and the loss of rates stays
finite. The gradients do not, so they are looked at in every step.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.nn import Sequential
from snnr.tensor import Parameter, Tensor, no_grad


def is_finite(array: NDArray[Any]) -> bool:
    """Whether all entries are finite; quick, without a temporary of the array's size."""
    if array.dtype.kind != "f" or not array.size:
        return True
    return math.isfinite(float(array.min())) and math.isfinite(float(array.max()))


def gradients_are_finite(params: Iterable[Parameter]) -> bool:
    """Whether every gradient is finite; one pass over each, at the speed of memory."""
    for p in params:
        if p.grad is None:
            continue
        gradient = p.grad.ravel(order="K")
        # only a sum of squares that overflows needs the second look
        if not math.isfinite(np.dot(gradient, gradient)) and not is_finite(gradient):
            return False
    return True


def first_not_finite(
    network: Sequential, params: Sequence[Parameter], batch: NDArray[np.float32]
) -> str:
    """Name what first stopped being finite, as "<something> is": parameters, then outputs in order,
    then gradients from the loss backwards. Runs the batch once more."""
    for p in params:
        if not is_finite(p.data):
            return f"{p.name} is"
    found: list[str] = []

    def observe(name: str, x: Tensor) -> None:
        if not found and not is_finite(x.data):
            found.append(f"the output of {name} is" if name else "the input is")

    before, network.observer = network.observer, observe
    try:
        with no_grad(), np.errstate(all="ignore"):
            network(batch)
    finally:
        network.observer = before
    if found:
        return found[0]
    for p in reversed(params):
        if p.grad is not None and not is_finite(p.grad):
            return f"the gradient of {p.name} is"
    return "the loss is"
