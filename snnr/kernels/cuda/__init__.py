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
from snnr.kernels.cuda import arithmetic, memory
from snnr.kernels.cuda.conv import choose as conv
from snnr.kernels.cuda.linear import choose as linear

_FILES = (memory, arithmetic, linear, conv)
#: operation name -> function
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: vars(file)[name] for file in _FILES for name in NAMES if name in vars(file)
}
