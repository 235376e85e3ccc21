"""The arrays of layers in a file: a weight as CSR in AnnData's encoding, all others dense."""

import math
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint.sheet import Sheet
from snnr.hdf5 import Source
from snnr.nn import Spec
from snnr.tensor import Stored

WEIGHT = "weight"


@dataclass(frozen=True)
class SparseWeight:
    """A weight as it is stored: row r has the entries ``indptr[r]:indptr[r + 1]`` of `data`
    (float32) and `indices` (int64, columns of ``[out, rest]``); `shape` is its public shape."""

    data: NDArray[np.float32]
    indices: NDArray[np.int64]
    indptr: NDArray[np.int64]
    shape: tuple[int, ...]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """``(out, rest)``."""
        return self.shape[0], math.prod(self.shape[1:])

    @property
    def nonzero(self) -> int:
        """Entries that are not zero (a stored -0.0 is)."""
        return int(np.count_nonzero(self.data))

    def fill(self, stored: Stored) -> None:
        """Put the entries into an array, zero elsewhere; no second dense copy on a host backend."""
        host = stored.backend.host
        stored.backend.fill(stored.memory, 0)
        public = (
            stored.layout.to_public(stored.memory) if host else np.zeros(self.shape, np.float32)
        )
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        public[(rows, *np.unravel_index(self.indices, self.shape[1:]))] = self.data
        if not host:
            stored.assign(public)


def write_weight(sheet: Sheet, group: h5py.Group, weight: NDArray[Any], what: str) -> None:
    """Entries with any bit set, row by row, so that even a -0.0 comes back."""
    rows = np.ascontiguousarray(weight.reshape(weight.shape[0], -1))
    stored = rows.view(np.uint32) != 0
    indptr = np.zeros(rows.shape[0] + 1, np.int64)
    np.cumsum(stored.sum(axis=1), out=indptr[1:])
    kind = np.int32 if max(indptr[-1], rows.shape[1]) < 1 << 31 else np.int64
    sheet.finite(group, "data", rows[stored], what)
    sheet.array(group, "indices", np.nonzero(stored)[1].astype(kind))
    sheet.array(group, "indptr", indptr.astype(kind))
    group.attrs["encoding-type"] = "csr_matrix"
    group.attrs["encoding-version"] = "0.1.0"
    group.attrs["shape"] = np.array(rows.shape, np.int64)
    if weight.ndim == 4:
        group.attrs["kernel_shape"] = np.array(weight.shape, np.int64)


def read_weight(source: Source, group: h5py.Group, shape: tuple[int, ...]) -> SparseWeight:
    """A weight of this public shape, checked, in memory proportional to what is stored."""
    inside = source.group(group, WEIGHT)
    encoding = source.attribute(inside, "encoding-type", str)
    if encoding != "csr_matrix":
        source.fail(inside.name, f"is encoded as {encoding!r}, expected csr_matrix")
    rows, columns = shape[0], math.prod(shape[1:])
    indptr = bounded(source, inside, "indptr", rows + 1, rows * columns)
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        source.fail(f"{inside.name}/indptr", f"must rise from 0 to at most {rows * columns}")
    stored = int(indptr[-1])
    data = source.array(inside, "data", (stored,), "f", 4)
    indices = bounded(source, inside, "indices", stored, columns - 1)
    source.budget.take(40 * stored, inside.name)
    # within a row the columns rise; where a row begins, they may fall
    rising = np.diff(indices) > 0
    begins = indptr[1:-1]
    rising[begins[(begins > 0) & (begins < stored)] - 1] = True
    if not rising.all():
        source.fail(f"{inside.name}/indices", "must rise within each row")
    return SparseWeight(data, indices, indptr, shape)


def bounded(
    source: Source, group: h5py.Group, name: str, count: int, largest: int
) -> NDArray[np.int64]:
    """Whole numbers from 0 to `largest`; compared as they are stored, before any conversion."""
    values = source.array(group, name, (count,), "iu")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= largest:
        source.fail(
            f"{group.name}/{name}",
            f"run from {values.min()} to {values.max()}, expected 0..{largest}",
        )
    return values.astype(np.int64, copy=False)


def check_declared(source: Source, group: h5py.Group, specs: dict[str, Spec]) -> None:
    """Hold the shapes that a layer declares to those of the stored arrays, before anything is
    allocated."""
    for short, spec in specs.items():
        if short != WEIGHT:
            if source.shape(group, short) != spec.shape:
                source.fail(f"{group.name}/{short}", f"is not of shape {list(spec.shape)}")
        else:
            inside = source.group(group, WEIGHT)
            rows = spec.shape[0]
            _expect(source, inside, "shape", (rows, math.prod(spec.shape[1:])))
            if len(spec.shape) == 4:
                _expect(source, inside, "kernel_shape", spec.shape)
            if source.shape(inside, "indptr") != (rows + 1,):
                source.fail(f"{inside.name}/indptr", f"has not {rows + 1} entries")
        source.budget.take(4 * spec.size, group.name)


def _expect(source: Source, group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    found = source.value(group, name)
    if found != shape:
        source.fail(f"attribute {name!r} of {group.name}", f"is {found}, expected {shape}")


def read_dense(
    source: Source, group: h5py.Group, short: str, shape: tuple[int, ...], least: float | None
) -> NDArray[Any]:
    """Any other array of a layer; `least` bounds its values."""
    values = source.array(group, short, shape, "f", 4)
    if least is not None and values.size and values.min() < least:
        source.fail(f"{group.name}/{short}", f"has values below {least:g}")
    return values
