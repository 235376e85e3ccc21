"""Questions whose answer is one or few integers, in NumPy."""

import numpy as np

from snnr.kernels.operations import Packed
from snnr.kernels.reference.types import Array


def all_finite(x: Array | Packed, flag: Array) -> None:
    """flag[0] becomes 0 where x has a value that is not finite."""
    flag[0] &= np.isfinite(x.values if isinstance(x, Packed) else x).all()


def count_correct(rate: Array, labels: Array, count: Array) -> None:
    """count[0] += rows of rate[N,C] whose first maximum is at labels[N]."""
    count[0] += np.count_nonzero(rate.argmax(axis=1) == labels)


def count_spikes(spikes: Array, count: Array) -> None:
    """count[M] += spikes[R,M] summed over R."""
    count += spikes.sum(axis=0, dtype=np.int64)


def count_present(x: Array, count: Array, graded: Array) -> None:
    """count[T,M] += entries of x[T,R,M] that are not 0; graded[T] becomes 1 where one is no
    +-1."""
    count += np.count_nonzero(x, axis=1)
    graded |= ~np.isin(x, (-1, 0, 1)).all(axis=(1, 2))


def count_nonzero(x: Array, count: Array) -> None:
    """count[0] = entries of x that are not zero."""
    count[0] = np.count_nonzero(x)
