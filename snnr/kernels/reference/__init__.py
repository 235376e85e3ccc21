"""NumPy oracle of every kernel: slow, obvious, and what the fast backends are tested against.

Outputs are preallocated by the caller and fully overwritten; results have the dtype of the output.
"""

from collections.abc import Callable
from typing import Any

from snnr.kernels.backend import OPERATIONS as NAMES
from snnr.kernels.reference import (
    arithmetic,
    conv,
    count,
    dropout,
    input,
    linear,
    loss,
    masked,
    memory,
    neuron,
    norm,
    optim,
    packed,
    pool,
    rewiring,
    shape,
)

_FILES = (
    memory, arithmetic, shape, dropout, linear, conv, norm, neuron, pool, loss, count, optim,
    masked, packed, rewiring, input,
)  # fmt: skip
#: operation name -> function
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: vars(file)[name] for file in _FILES for name in NAMES if name in vars(file)
}
