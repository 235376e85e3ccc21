"""A copy of a stranger's file, for a package that opens HDF5 files by itself.

Such a package follows links, and has the library walk heaps and unpack chunks. So it is shown a
file that snnr has written, of what it has read by its own rules.
"""

import math
import os

import h5py
import numpy as np

from snnr.budget import Budget
from snnr.errors import SnnrError
from snnr.hdf5.source import Source, opened

_MAX_GROUPS = 2000
#: longer ways into each other than a package could follow
_MAX_DEPTH = 50


def copied(path: str | os.PathLike[str], error: type[SnnrError], what: str) -> tuple[bytes, Budget]:
    """Groups, numbers and texts of a file as the bytes of a new one, and what is left of what
    reading the old one may ask for. Attributes are left out.

    what : what it is, for messages ("NIR file").

    Raises
    ------
    error : as `opened`; or the file has something in it that `Source` refuses, a data set that is
        neither numbers nor texts, or numbers that are not finite.
    """
    with (
        opened(path, error, what) as source,
        h5py.File("copy", "w", driver="core", backing_store=False) as copy,
    ):
        inside: list[tuple[h5py.Group, h5py.Group, int]] = [(source.root, copy, 0)]
        groups = 0
        while inside:
            group, target, depth = inside.pop()
            groups += 1
            if groups > _MAX_GROUPS or depth > _MAX_DEPTH:
                source.fail("/", f"has more than {_MAX_GROUPS} groups, or one inside of itself")
            for name in source.names(group):
                child = source.member(group, name)
                if name in target or name in ("", ".") or "/" in name:
                    source.fail(group.name or "/", f"has the name {name[:80]!r} in it")
                if isinstance(child, h5py.Group):
                    inside.append((child, target.create_group(name), depth + 1))
                else:
                    _copy(source, group, name, target)
        copy.flush()
        image: bytes = copy.id.get_file_image()
    return image, source.budget


def _copy(source: Source, group: h5py.Group, name: str, target: h5py.Group) -> None:
    shape = source.shape(group, name)
    if source.is_text(group, name):
        texts = source.texts(group, name)
        target.create_dataset(name, data=texts if shape else texts[()], dtype=h5py.string_dtype())
        return
    values = source.array(group, name, shape, "iufb")
    source.budget.take(2 * math.prod(shape) * values.itemsize, name)  # in the copy and its image
    target.create_dataset(name, data=np.asarray(values))
