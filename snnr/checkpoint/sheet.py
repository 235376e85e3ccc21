"""Datasets and attributes as they go into a checkpoint in the making."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint.digest import Digest
from snnr.errors import CheckpointError

_CHUNK = 1 << 18  # entries
_SMALL = 1 << 10  # a dataset below this many entries is stored as it is


class Sheet:
    """Writes datasets and takes down the hash of each."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest

    def array(self, group: h5py.Group, name: str, array: NDArray[Any]) -> None:
        """A dataset; one of size is chunked, shuffled, compressed and has checksums."""
        options: dict[str, Any] = {}
        if array.size >= _SMALL:
            row = array.size // array.shape[0]
            options = {
                "chunks": (max(1, min(array.shape[0], _CHUNK // row)), *array.shape[1:]),
                "shuffle": True,
                "compression": "gzip",
                "compression_opts": 1,  # higher levels cost time and gain under 1 % on weights
                "fletcher32": True,
            }
        group.create_dataset(name, data=array, **options)
        self.digest.note(f"{group.name.rstrip('/')}/{name}", array)

    def text(self, group: h5py.Group, name: str, text: str) -> None:
        """A string of fixed length, which lies in no heap."""
        packed = text.encode()
        kind = h5py.string_dtype("utf-8", len(packed))
        group.create_dataset(name, data=np.array(packed, kind), dtype=kind)
        self.digest.note(f"{group.name.rstrip('/')}/{name}", text)

    def finite(self, group: h5py.Group, name: str, array: NDArray[Any], what: str) -> None:
        """`array`, refused where it has values that are not finite.

        Raises
        ------
        CheckpointError : it has.
        """
        if array.dtype.kind == "f" and array.size:
            ends = float(array.min()), float(array.max())
            if not np.isfinite(ends).all():
                raise CheckpointError(
                    f"{what} has values that are not finite: not saved, so that the last good "
                    "checkpoint stays"
                )
        self.array(group, name, np.ascontiguousarray(array))


def write_attributes(group: h5py.Group, settings: Mapping[str, Any]) -> None:
    """Settings one by one; a nested mapping of plain values gives its entries under their names,
    its `name` under its own; None, lists of layers and layers give nothing."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            if "name" in value:
                group.attrs[key] = value["name"]
                write_attributes(group, {k: v for k, v in value.items() if k != "name"})
        elif isinstance(value, bool | int | float | str | np.number):
            group.attrs[key] = value
        elif isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
            group.attrs[key] = list(value)
