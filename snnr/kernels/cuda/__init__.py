"""Numba kernels for NVIDIA GPUs, in the files that `reference` and `cpu` have for the same
operations.

`device` is the only place that knows `numba.cuda`; `geometry` says how many threads, `allocator`
and `memory` hand out blocks. Kernels take arrays of few axes and walk them in strides of the grid.
Sums are cut into parts whose number depends on the sizes alone, and added in one order, so that a
run repeats bit for bit on the same card. The equations are those of `snnr.kernels.rules`.
"""

from collections.abc import Callable
from typing import Any

from snnr.kernels.backend import OPERATIONS as NAMES
from snnr.kernels.cuda import (
    arithmetic,
    count,
    dropout,
    input,
    loss,
    masked,
    memory,
    norm,
    optim,
    packed,
    pool,
    rewiring,
    shape,
)
from snnr.kernels.cuda.conv import choose as conv
from snnr.kernels.cuda.conv import grouped
from snnr.kernels.cuda.linear import choose as linear
from snnr.kernels.cuda.neuron import pooled, sequence

_FILES = (
    memory, arithmetic, shape, dropout, linear, conv, grouped, norm, sequence, pooled, pool, loss,
    count, optim, masked, packed, rewiring, input,
)  # fmt: skip
#: operation name -> function; what a file only imports is none of its own
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: vars(file)[name]
    for file in _FILES
    for name in NAMES
    if getattr(vars(file).get(name), "__module__", "") == file.__name__
}
