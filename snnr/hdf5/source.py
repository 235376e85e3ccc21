"""An open HDF5 file of which nothing is believed.

Links that lead elsewhere, external storage and virtual data sets are refused; shapes, types and
filters are looked at before anything is read, and what is about to be allocated is counted. Only
the calls into the library are guarded: a mistake in snnr is never renamed a damaged file.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from snnr.budget import UNLIMITED, Budget
from snnr.errors import SnnrError, printable
from snnr.hdf5 import chunks
from snnr.hdf5.heaps import broken_heap, longest_text

_MAX_TEXT = 1 << 26
_MAX_TEXTS = 1 << 16  # of one dataset
_MAX_CHUNK = 1 << 20  # entries
_MAX_CHUNKS = 1 << 18
_MAX_ATTRIBUTE = 1 << 16  # bytes of a list

#: what the library and h5py raise for a file that is damaged
_DAMAGED = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError,
    NotImplementedError, UnicodeError,
)  # fmt: skip

#: called with a dataset's place, and its text or its values as they are stored
Watch = Callable[[str, "NDArray[Any] | str"], None]


class Source:
    """An open file; every method names it and the place in what it raises, which is `error`.

    image : the whole file, in which the heaps of variable-length strings are checked before the
        first of them is read; without it such strings are refused.
    own : this program has just made the file in memory, heaps included.
    watch : sees every dataset that is read.
    """

    watch: Watch | None = None

    def __init__(
        self,
        file: h5py.File,
        path: str,
        budget: Budget,
        error: type[SnnrError],
        image: bytes | mmap.mmap | None = None,
        own: bool = False,
    ) -> None:
        self.file = file
        self.path = path
        self.budget = budget
        self.error = error
        self._image = image
        self._own = own
        self._longest: dict[str, int] = {}  # told lengths of attributes, by name
        self._heaps_seen = False

    def fail(self, where: str, what: str) -> NoReturn:
        raise self.error(f"{self.path}: {printable(f'{where} {what}')}")

    @contextmanager
    def touching(self, where: str) -> Iterator[None]:
        """Around calls into the library alone."""
        try:
            yield
        except _DAMAGED as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise self.error(
                f"{self.path}: damaged at {printable(where)} ({printable(text)}); go back to "
                "another copy"
            ) from error

    @property
    def root(self) -> h5py.Group:
        """The group that everything lies in; a damaged file may name something else as such."""
        with self.touching("/"):
            found = self.file["/"]
        if not isinstance(found, h5py.Group):
            self.fail("/", f"is a {type(found).__name__}, not a group; go back to another copy")
        return found

    def names(self, group: h5py.Group) -> list[str]:
        """Names of a group's members."""
        with self.touching(_place(group)):
            names = list(group)
        return self._readable(names, _place(group))

    def child(self, group: h5py.Group, name: str) -> Any:
        """A member that lies in this very file, or None; links that lead elsewhere are refused."""
        where = _place(group, name)
        with self.touching(where):
            link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            self.fail(where, f"is a {type(link).__name__}, links are not followed")
        with self.touching(where):
            return group[name]

    def member(self, group: h5py.Group, name: str) -> Any:
        """One of the members that `names` lists. Where a name is damaged it may be listed and yet
        not be found, for the library looks for it by the order of names."""
        found = self.child(group, name)
        if found is None:
            self.fail(_place(group, name), "is listed and is not there; go back to another copy")
        return found

    def group(self, group: h5py.Group, name: str) -> h5py.Group:
        """A group that must be there."""
        found = self.child(group, name)
        if not isinstance(found, h5py.Group):
            self.fail(_place(group, name), "is missing or is not a group")
        return found

    def dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """A dataset that must be there, stored inside of the file; nothing of it is read."""
        found = self.child(group, name)
        where = _place(group, name)
        if not isinstance(found, h5py.Dataset):
            self.fail(where, "is missing or is not a dataset")
        with self.touching(where):
            elsewhere = found.is_virtual or bool(found.external)
            shape, chunk = found.shape, found.chunks
            plan = found.id.get_create_plist()
            filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if elsewhere:
            self.fail(where, "refers to other files, which is not allowed")
        if shape is None:
            self.fail(where, "is empty")
        if any(code not in chunks.FILTERS for code in filters):
            self.fail(where, "is stored with filters other than gzip, shuffle and fletcher32")
        if chunk:
            if len(chunk) != len(shape):
                self.fail(where, f"has chunks of {chunk}, which do not cover {list(shape)}")
            if _product(chunk) > max(_product(shape), _MAX_CHUNK):
                self.fail(where, f"has chunks of {chunk}, larger than the whole")
            if chunks.count(shape, chunk) > _MAX_CHUNKS:
                self.fail(where, f"has chunks of {chunk}, too small for {list(shape)}")
        return found

    def shape(self, group: h5py.Group, name: str) -> tuple[int, ...]:
        """Shape of a dataset that must be there."""
        found: tuple[int, ...] = self.dataset(group, name).shape
        return found

    def array(
        self, group: h5py.Group, name: str, shape: tuple[int, ...], kinds: str, itemsize: int = 0
    ) -> NDArray[Any]:
        """A numeric dataset of exactly this shape, of finite values, in this machine's order.

        kinds : numpy kinds allowed ("f", "iu").
        itemsize : bytes of an element; 0 for any up to 8.
        """
        found = self.dataset(group, name)
        where = _place(group, name)
        if found.shape != shape:
            self.fail(where, f"has shape {list(found.shape)}, expected {list(shape)}")
        values = self._values(found, where, kinds, itemsize)
        if self.watch is not None:
            self.watch(where, values)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        finite = values.dtype.kind != "f" or np.isfinite(_ends(values)).all()
        if not finite:
            self.fail(where, "has values that are not finite")
        return values

    def numbers(self, group: h5py.Group, name: str) -> NDArray[Any]:
        """A dataset of numbers, whatever its shape and values are, in this machine's order."""
        found = self.dataset(group, name)
        where = _place(group, name)
        values = self._values(found, where, "iuf")
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _values(
        self, found: h5py.Dataset, where: str, kinds: str, itemsize: int = 0
    ) -> NDArray[Any]:
        with self.touching(where):
            dtype = found.dtype
        kind, size = dtype.kind, dtype.itemsize
        if kind not in kinds or size > 8 or (itemsize and size != itemsize):
            self.fail(where, f"is {dtype}, expected kind {kinds!r} of {itemsize or 8}")
        self.budget.take(_product(found.shape) * size, where)
        with self.touching(where):
            if found.chunks:
                return chunks.read(found)
            if found.id.get_storage_size() != _product(found.shape) * size:
                self.fail(where, "is not all stored")
            values: NDArray[Any] = np.asarray(found[()])
        return values

    def is_text(self, group: h5py.Group, name: str) -> bool:
        """Whether a dataset that must be there holds strings."""
        found = self.dataset(group, name)
        with self.touching(_place(group, name)):
            return isinstance(found.id.get_type(), h5py.h5t.TypeStringID)

    def text(self, group: h5py.Group, name: str) -> str:
        """A string."""
        value = self.texts(group, name, single=True).item()
        if self.watch is not None:
            self.watch(_place(group, name), value)
        return str(value)

    def texts(self, group: h5py.Group, name: str, single: bool = False) -> NDArray[np.object_]:
        """Strings, in the shape that they have in the file.

        single : only one that has no shape will do.
        """
        found = self.dataset(group, name)
        where = _place(group, name)
        with self.touching(where):
            kind = found.id.get_type()
            size = kind.get_size()
        if (single and found.shape != ()) or not isinstance(kind, h5py.h5t.TypeStringID):
            self.fail(where, "must be one string" if single else "must be text")
        count = _product(found.shape)
        if size > _MAX_TEXT or count > _MAX_TEXTS:
            self.fail(where, f"has room for {count} texts of {size} bytes, more than allowed")
        if not single and found.chunks:
            self.fail(where, "is text in chunks, which is not read here")
        if kind.is_variable_str():
            self._check_text(where, found)
        self.budget.take(count * size, where)
        with self.touching(where):
            raw = np.asarray(found[()], object)
            values = np.empty(raw.shape, object)
            for place in np.ndindex(raw.shape):
                one = raw[place]
                values[place] = (one if isinstance(one, bytes) else str(one).encode()).decode()
        return values

    def attribute_names(self, holder: h5py.HLObject) -> list[str]:
        """Names of the attributes of a group or dataset."""
        with self.touching(_place(holder)):
            names = list(holder.attrs)
        return self._readable(names, _place(holder))

    def _readable(self, names: list[Any], where: str) -> list[str]:
        for name in names:
            if not isinstance(name, str) or not _is_utf8(name):
                self.fail(where, f"has the name {name!r} in it, which is not text in UTF-8")
        return names

    def attribute(self, group: h5py.HLObject, name: str, kind: type, required: bool = True) -> Any:
        """A scalar attribute as int, float or str; None when it is not there and need not be."""
        where = f"attribute {name!r} of {_place(group)}"
        value = self.value(group, name)
        if value is None:
            if required:
                self.fail(where, "is missing")
            return None
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or isinstance(value, bool) or value != value:
            self.fail(where, f"is {str(value)[:80]!r}, expected {kind.__name__}")
        return kind(value)

    def attributes(self, group: h5py.HLObject) -> dict[str, Any]:
        """All attributes as plain values: numbers, strings and short tuples."""
        return {name: self.value(group, name) for name in self.attribute_names(group)}

    def value(self, holder: h5py.HLObject, name: str) -> Any:
        """An attribute as a number, a string or a tuple of numbers; None when it is not there.

        Its type is looked at before it is read.
        """
        where = f"attribute {name!r} of {_place(holder)}"
        with self.touching(where):
            if name not in holder.attrs:
                return None
            attribute = h5py.h5a.open(holder.id, name.encode())
            kind, space = attribute.get_type(), attribute.get_space()
            single = space.get_simple_extent_type() == h5py.h5s.SCALAR
            count = space.get_simple_extent_npoints()
            size = kind.get_size()
        text = isinstance(kind, h5py.h5t.TypeStringID)
        number = isinstance(
            kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID | h5py.h5t.TypeEnumID
        )
        if not (number and count >= 1) and not (text and single):
            self.fail(where, "is neither text nor numbers")
        if count * size > _MAX_ATTRIBUTE and not single:
            self.fail(where, f"is a list of {count} entries, more than allowed")
        if text and kind.is_variable_str():
            self._check_text(where, name)
        self.budget.take(count * size, where)
        with self.touching(where):
            value = holder.attrs[name]
        if isinstance(value, np.ndarray):
            return tuple(value.ravel().tolist())
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if isinstance(value, str):
            self.budget.take(len(value), where)
            if not _is_utf8(value):
                self.fail(where, "is not text in UTF-8")
        return value

    def _check_text(self, where: str, what: "h5py.Dataset | str") -> None:
        """Before a variable-length string is read, a dataset or an attribute of that name: the
        library can be made to walk its heap for ever, or to clear 4 GiB for it."""
        if self._own:
            return
        if self._image is None:
            self.fail(where, "is a string of variable length, which is not read here")
        image = self._image
        if not self._heaps_seen:
            with self.touching(where):
                plan = self.file.id.get_create_plist()
                sizes, before = plan.get_sizes(), plan.get_userblock()
            if sizes != (8, 8) or before:
                self.fail(where, f"lies in a file of another build: {sizes}, {before}")
            broken = broken_heap(image, len(image))
            if broken is not None:
                self.fail(where, f"is text, and the heap of texts at byte {broken} is damaged")
            self._heaps_seen = True
        if isinstance(what, str):
            if what not in self._longest:
                self._longest[what] = longest_text(image, what)
            longest = total = self._longest[what]
        else:
            longest, total = self._told(where, what, image)
        if longest > len(image):
            self.fail(where, f"is text of {longest} bytes, more than the file has")
        self.budget.take(total, where)  # many may be the same one

    def _told(self, where: str, texts: h5py.Dataset, image: bytes | mmap.mmap) -> tuple[int, int]:
        """The greatest and the whole length that a dataset of texts declares: for each it has
        length, heap and index, 16 bytes together."""
        with self.touching(where):
            place, count = texts.id.get_offset(), _product(texts.shape)
        if count == 0:
            return 0, 0
        if place is None or place + 16 * count > len(image):
            self.fail(where, "is text that is stored in an unusual way")
        lengths = np.frombuffer(image[place : place + 16 * count], "<u4")[::4]
        return int(lengths.max()), int(lengths.sum(dtype=np.int64))


def _ends(values: NDArray[Any]) -> tuple[Any, ...]:
    """The smallest and the largest value: not finite when any is not."""
    return (values.min(), values.max()) if values.size else ()


def _place(holder: h5py.HLObject, name: str = "") -> str:
    own = holder.name or "/"
    return f"{own.rstrip('/')}/{name}" if name else own


def _is_utf8(text: str) -> bool:
    """Whether h5py found no byte in it that it could not decode."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _product(shape: tuple[int, ...]) -> int:
    """In Python's integers, which do not wrap."""
    total = 1
    for n in shape:
        total *= int(n)
    return total


@contextmanager
def opened(
    path: str | os.PathLike[str],
    error: type[SnnrError],
    what: str,
    limit: int | None = None,
    texts: bool = True,
) -> Iterator[Source]:
    """Open a file.

    what : what it is, for messages ("checkpoint").
    limit : bytes that reading may ask for (`snnr.budget`).
    texts : strings of variable length may be read.

    Raises
    ------
    error : there is no such file, it cannot be read, or it is not HDF5.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise error(f"{name}: no such {what}; check the path")
    try:
        # the handle keeps the very file open that was looked at, should another take its place
        with open(name, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            image = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        file = h5py.File(name, "r")
    except (OSError, RuntimeError, ValueError) as problem:
        text = printable(" ".join(str(problem).split()))
        raise error(
            f"{name}: damaged or not a {what} ({text}); go back to another copy"
        ) from problem
    try:
        budget = Budget(name, size, error, limit)
        yield Source(file, name, budget, error, image if texts else None)
    finally:
        file.close()
        if image is not None:
            image.close()


@contextmanager
def opened_image(image: bytes, name: str, error: type[SnnrError]) -> Iterator[Source]:
    """Open the bytes of a file that this program itself made, to check them before they are kept.

    Its budget has no end: what was in memory once can be there again.
    """
    with h5py.File(h5py.h5f.open_file_image(image)) as file:
        yield Source(file, name, Budget(name, len(image), error, UNLIMITED), error, own=True)
