"""How many weights came and went in a step."""

from typing import Any

import numpy as np

from snnr.kernels.cuda.device import cuda, function, kernel
from snnr.kernels.cuda.parts.reduce import THREADS, fold


@kernel()
def forget(counts: Any) -> None:
    """The nonzero weights are counted anew; what came and went adds up."""
    counts[0] = 0


@function
def tally(alive: Any, pruned: Any, regrown: Any, counts: Any) -> None:
    """Adds what the threads of a block counted to counts; called by all of them."""
    scratch = cuda.shared.array((3, THREADS), np.int32)
    t = cuda.threadIdx.x
    scratch[0, t] = alive
    scratch[1, t] = pruned
    scratch[2, t] = regrown
    fold(scratch)
    if t < 3 and scratch[t, 0] != 0:
        cuda.atomic.add(counts, t, np.int64(scratch[t, 0]))
    # in the simulator `cuda` means another module here once the first thread has left
    cuda.syncthreads()
