"""SHA-256 over what a checkpoint says, whatever the bytes are in which HDF5 says it.

A dataset's content is hashed where it is read or written, once; the rest (names, types, shapes,
attributes) is walked here. Each of the root's members carries the digest of its own content in its
attribute `digest`, and the root one over its own attributes and those of its members, so that a
reader may leave a member alone and still trust the others.

Everything that is hashed is a list of byte strings, each with its length before it::

    content   "text", the string in UTF-8                      of a string
              dtype (as NumPy's "<f4"), shape ("4,36"), bytes  of numbers, in C order
    attribute "attribute", name, "text" or "number", the value's repr
    dataset   its attributes by name, then its content's hash
    group     its attributes by name, then "member", name and hash of each member by name
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.hdf5 import Source

DIGEST = "digest"
_PREFIX = "sha256:"
_MAX_OBJECTS = 1 << 17
_MAX_DEPTH = 8


def content(value: NDArray[Any] | str) -> bytes:
    """Hash of a dataset's content."""
    if isinstance(value, str):
        return _hash((b"text", value.encode()))
    shape = ",".join(map(str, value.shape)).encode()
    return _hash((value.dtype.str.encode(), shape, np.ascontiguousarray(value).data))


class Digest:
    """Digests of an open file. Contents that were hashed before, by place, are not read again."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.contents: dict[str, bytes] = {}
        self._seen: set[tuple[int, int]] = set()

    def note(self, place: str, value: NDArray[Any] | str) -> None:
        """Take down the content of the dataset at `place`."""
        self.contents[place] = content(value)

    def member(self, name: str) -> str:
        """Digest of one of the root's members."""
        return _PREFIX + self._object(self.source.root, name, 1).hex()

    def root(self) -> str:
        """Digest of the root, from what its members say of themselves."""
        root = self.source.root
        parts = list(self._attributes(root, leave_out=DIGEST))
        for name in sorted(self.source.names(root)):
            told = self.source.attribute(self.source.member(root, name), DIGEST, str)
            parts += [b"member", name.encode(), told.encode()]
        return _PREFIX + _hash(parts).hex()

    def check(self, leave_out: tuple[str, ...] = ()) -> None:
        """Compare every digest with the content, but for members whose content was left alone.

        Raises
        ------
        the source's error : something in the file is not what was written.
        """
        source = self.source
        root = source.root
        source.watch = self.note
        if source.attribute(root, DIGEST, str) != self.root():
            source.fail("/", "is not what was written: its digest differs; go back to another copy")
        for name in source.names(root):
            if name not in leave_out:
                told = source.attribute(source.member(root, name), DIGEST, str)
                if told != self.member(name):
                    source.fail(
                        f"/{name}",
                        "is not what was written: its digest differs; go back to another copy",
                    )

    def _object(self, holder: h5py.Group, name: str, depth: int) -> bytes:
        source = self.source
        where = f"{holder.name.rstrip('/')}/{name}"
        found = source.member(holder, name)
        with source.touching(where):
            info = h5py.h5o.get_info(found.id)
            here = (info.fileno, info.addr)
        if here in self._seen or depth > _MAX_DEPTH or len(self._seen) >= _MAX_OBJECTS:
            source.fail(where, "is stored twice, too deep, or one of too many objects")
        self._seen.add(here)
        parts = list(self._attributes(found, leave_out=DIGEST if depth == 1 else ""))
        if isinstance(found, h5py.Group):
            for inside in sorted(source.names(found)):
                parts += [b"member", inside.encode()]
                parts.append(self._object(found, inside, depth + 1))
        elif isinstance(found, h5py.Dataset):
            if where not in self.contents:
                self._read(holder, name)
            parts.append(self.contents[where])
        else:
            source.fail(where, "is neither a group nor a dataset")
        return _hash(parts)

    def _read(self, holder: h5py.Group, name: str) -> None:
        source = self.source
        source.watch = self.note
        found = source.dataset(holder, name)
        with source.touching(f"{holder.name}/{name}"):
            text = isinstance(found.id.get_type(), h5py.h5t.TypeStringID)
        if text:
            source.text(holder, name)
        else:
            source.array(holder, name, found.shape, "iuf")

    def _attributes(self, holder: h5py.HLObject, leave_out: str) -> Iterable[bytes]:
        for name in sorted(self.source.attribute_names(holder)):
            if name == leave_out:
                continue
            value = self.source.value(holder, name)
            kind = b"text" if isinstance(value, str) else b"number"
            text = value if isinstance(value, str) else repr(value)
            yield from (b"attribute", name.encode(), kind)
            yield text.encode()


def _hash(parts: Iterable[bytes | memoryview]) -> bytes:
    total = hashlib.sha256()
    for part in parts:
        size = part.nbytes if isinstance(part, memoryview) else len(part)
        total.update(size.to_bytes(8, "little"))
        total.update(part)
    return total.digest()
