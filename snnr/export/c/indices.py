"""Columns of a sparse row in few bytes: as they are, or as gaps to the column before.

A gap of g in bytes is ``g // 255`` times 255 and then ``g % 255``: 255 says that the gap goes on.
Words of 16 bits do the same with 65535.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNSIGNED: tuple[Any, ...] = (np.uint8, np.uint16, np.uint32)


def smallest(largest: int) -> Any:
    """The smallest unsigned type for 0..largest."""
    return next(kind for kind in UNSIGNED if largest <= np.iinfo(kind).max)


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of all rows, one row after the other.

    gaps : whether they are gaps.
    """

    values: NDArray[Any]
    gaps: bool

    @property
    def going_on(self) -> int:
        """The gap that says that it goes on."""
        return int(np.iinfo(self.values.dtype).max)


def encoded(indices: NDArray[np.int64], indptr: NDArray[np.int64]) -> Columns:
    """The columns of a CSR matrix, in the form that takes the fewest bytes."""
    plain = Columns(indices.astype(smallest(int(indices.max(initial=0)))), False)
    gaps = np.diff(indices, prepend=0)
    starts = indptr[:-1][np.diff(indptr) > 0]
    gaps[starts] = indices[starts]
    every = [plain, *(Columns(_cut(gaps, kind), True) for kind in UNSIGNED[:2])]
    return min(every, key=lambda columns: columns.values.nbytes)


def _cut(gaps: NDArray[np.int64], kind: Any) -> NDArray[Any]:
    top = int(np.iinfo(kind).max)
    full = gaps // top
    ends = np.cumsum(full + 1) - 1
    out = np.full(int(ends[-1]) + 1 if gaps.size else 0, top, kind)
    out[ends] = gaps % top
    return out


def decoded(columns: Columns, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The columns again, for `counts` entries in each row; the way the C code reads them."""
    if not columns.gaps:
        return columns.values.astype(np.int64)
    out, stream = [], iter(columns.values.tolist())
    for count in counts.tolist():
        place = 0
        for _ in range(count):
            while (gap := next(stream)) == columns.going_on:
                place += gap
            place += gap
            out.append(place)
    return np.array(out, np.int64)
