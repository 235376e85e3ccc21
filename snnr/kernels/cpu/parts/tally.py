"""What the steps of all methods share: blocks of elements, and how many weights came and went."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.kernels.jit import jit

#: elements per inner loop; counts are summed over blocks of this size
BLOCK = 4096


@jit(forceinline=True)
def tally(counts: Any, before: Any, after: Any) -> Any:
    """(nonzero, pruned, regrown) with one more weight, from whether it was and is not zero."""
    alive, pruned, regrown = counts
    return (
        np.int32(alive + np.int32(after)),
        np.int32(pruned + np.int32(before & (not after))),
        np.int32(regrown + np.int32(after & (not before))),
    )


def typed(dtype: Any, *values: float) -> tuple[Any, ...]:
    """Numbers of the type of the weights."""
    return tuple(dtype.type(value) for value in values)


def partial(size: int) -> NDArray[np.int32]:
    """A tally for each block of so many elements."""
    return np.empty((-(-size // BLOCK), 3), np.int32)


def record(counts: NDArray[np.int32], total: NDArray[np.int64]) -> None:
    """total = nonzero, and adds how many weights became 0 and how many left 0."""
    total[0] = 0
    total += counts.sum(axis=0, dtype=np.int64)
