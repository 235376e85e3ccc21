"""Reading HDF5 from strangers: every object is checked before anything of its size is allocated."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.diagnosis import is_finite
from snnr.errors import CheckpointError

_MAX_TEXT = 1 << 26
_MAX_CHUNK = 1 << 20

#: what h5py raises for files that are damaged
_DAMAGED = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError)


class Source:
    """An open checkpoint; each method names the file and the place in its errors."""

    def __init__(self, file: h5py.File, path: str) -> None:
        self.file = file
        self.path = path

    def fail(self, where: str, what: str) -> NoReturn:
        raise CheckpointError(f"{self.path}: {where} {what}")

    def child(self, group: h5py.Group, name: str) -> Any:
        """A member that lies in this very file, or None; links that lead elsewhere are refused."""
        where = f"{group.name.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            self.fail(where, f"is a {type(link).__name__}, links are not followed")
        return group[name]

    def group(self, group: h5py.Group, name: str) -> h5py.Group:
        """A group that must be there."""
        found = self.child(group, name)
        if not isinstance(found, h5py.Group):
            self.fail(f"{group.name.rstrip('/')}/{name}", "is missing or is not a group")
        return found

    def dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """A dataset that must be there, stored inside of the file."""
        found = self.child(group, name)
        where = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(found, h5py.Dataset):
            self.fail(where, "is missing or is not a dataset")
        if found.is_virtual or found.external:
            self.fail(where, "refers to other files, which is not allowed")
        if found.shape is None:
            self.fail(where, "is empty")
        if found.chunks and int(np.prod(found.chunks)) > max(found.size, _MAX_CHUNK):
            self.fail(where, f"has chunks of {found.chunks}, larger than the whole")
        return found

    def array(
        self, group: h5py.Group, name: str, shape: tuple[int, ...], kinds: str, itemsize: int = 0
    ) -> NDArray[Any]:
        """A numeric dataset of exactly this shape, of finite values.

        kinds : numpy kinds allowed ("f", "iu").
        itemsize : bytes of an element; 0 for any up to 8.
        """
        found = self.dataset(group, name)
        if found.shape != shape:
            self.fail(found.name, f"has shape {list(found.shape)}, expected {list(shape)}")
        kind, size = found.dtype.kind, found.dtype.itemsize
        if kind not in kinds or size > 8 or (itemsize and size != itemsize):
            self.fail(found.name, f"is {found.dtype}, expected kind {kinds!r} of {itemsize or 8}")
        values: NDArray[Any] = found[()]
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if not is_finite(values):
            self.fail(found.name, "has values that are not finite")
        return values

    def text(self, group: h5py.Group, name: str) -> str:
        """A string."""
        found = self.dataset(group, name)
        if found.shape != () or h5py.check_string_dtype(found.dtype) is None:
            self.fail(found.name, "must be one string")
        if found.dtype.itemsize > _MAX_TEXT:
            self.fail(found.name, f"has room for {found.dtype.itemsize} bytes, more than allowed")
        return str(found.asstr()[()])

    def attribute(self, group: h5py.Group, name: str, kind: type, required: bool = True) -> Any:
        """A scalar attribute as int, float or str; None when it is not there and need not be."""
        where = f"attribute {name!r} of {group.name}"
        if name not in group.attrs:
            if required:
                self.fail(where, "is missing")
            return None
        value = group.attrs[name]
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or isinstance(value, bool) or value != value:
            self.fail(where, f"is {str(value)[:80]!r}, expected {kind.__name__}")
        return kind(value)

    def attributes(self, group: h5py.Group) -> dict[str, Any]:
        """All attributes as plain values: numbers, strings and short tuples."""
        values: dict[str, Any] = {}
        for name in group.attrs:
            value = group.attrs[name]
            if isinstance(value, np.ndarray):
                if value.size > 16 or value.dtype.kind not in "fiu":
                    self.fail(f"attribute {name!r} of {group.name}", "is not a short list")
                value = tuple(value.tolist())
            elif isinstance(value, np.generic):
                value = value.item()
            values[name] = value
        return values


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a checkpoint; whatever goes wrong inside becomes a CheckpointError with the path.

    Raises
    ------
    CheckpointError : there is no such file, it is not HDF5, or it is damaged.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise CheckpointError(f"{name}: no such checkpoint; check the path")
    try:
        with h5py.File(name, "r") as file:
            yield Source(file, name)
    except CheckpointError:
        raise
    except _DAMAGED as error:
        text = " ".join(str(error).split())
        raise CheckpointError(
            f"{name}: damaged or not a checkpoint ({text}); go back to an older copy"
        ) from error
