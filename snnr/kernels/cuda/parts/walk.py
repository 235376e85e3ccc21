"""How the threads of a grid share out a long axis.

Places are unsigned, which spares every access the test for places counted from the end, and the
loop is a `while`, which spares the division that finds the length of a `range`: a seventh of the
instructions of ``for i in range(grid(1), size, gridsize(1))`` where the body is small.
"""

from typing import Any

import numpy as np

from snnr.kernels.cuda.device import cuda, function


@function
def places(size: Any) -> tuple[Any, Any, Any]:
    """First place of this thread, what its places lie apart, and the end of them all, uint64.

    An unsigned number must meet no signed one but as an index: they are added as float64.
    """
    return np.uint64(cuda.grid(1)), np.uint64(cuda.gridsize(1)), np.uint64(size)
