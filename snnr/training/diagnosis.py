"""Where a training stopped being finite."""

from collections.abc import Sequence

import numpy as np

from snnr import kernels
from snnr.kernels import Memory
from snnr.nn import Layer
from snnr.tensor import Parameter, Tensor, no_grad


def is_finite(memory: Memory, device: str) -> bool:
    """Whether all entries are finite; spikes always are."""
    if memory.dtype == np.uint8:
        return True
    backend = kernels.backend(device)
    flag = backend.empty(1, np.uint8)
    backend.fill(flag, 1)
    backend.all_finite(memory, flag)
    return bool(backend.copy_out(flag)[0])


def first_not_finite(network: Layer, params: Sequence[Parameter], batch: Tensor) -> str:
    """Name what first stopped being finite, as "<something> is": parameters, then outputs in order,
    then gradients from the loss backwards. Runs the batch once more."""
    for p in params:
        if not is_finite(p.memory, p.device):
            return f"{p.name} is"
    found: list[str] = []

    def observe(name: str, x: Tensor) -> None:
        if not found and not is_finite(x.memory, x.device):
            found.append(f"the output of {name} is" if name else "the input is")

    with network.observed(observe), no_grad(), np.errstate(all="ignore"):
        network(batch)
    if found:
        return found[0]
    for p in reversed(params):
        if p.grad_memory is not None and not is_finite(p.grad_memory, p.device):
            return f"the gradient of {p.name} is"
    return "the loss is"
