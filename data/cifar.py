"""CIFAR-10, binary version: records of one label byte and 3 x 32 x 32 pixel bytes, in a tar.gz.

The archive is read as a stream: nothing is written to disk, only the members that are expected
are looked at, and no more is unpacked than the record allows.
"""

import gzip
import io
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DataError

from .registry import Record
from .unpack import Progress

_BLOCK = 512
_PIECE = 1 << 18
_PLAIN = (b"0", b"\0")


class _Tar:
    """The members of a tar.gz, one after the other, of which no more than `limit` bytes come.

    Its own reader of 512-byte headers, for all that is needed is a name, a size and a type: the
    extensions that a library follows have been made to loop, and CIFAR's archive uses none.
    """

    def __init__(self, packed: bytes, limit: int, source: str, progress: Progress | None) -> None:
        self._packed = io.BytesIO(packed)
        self._total = len(packed)
        self._stream = gzip.GzipFile(fileobj=self._packed)
        self._left = limit
        self._source = source
        self._progress = progress

    def read(self, size: int) -> bytes:
        """The next `size` bytes, or fewer at the end."""
        piece = self._stream.read(min(size, self._left + 1))
        self._left -= len(piece)
        if self._left < 0:
            raise DataError(f"{self._source}: unpacks to more than it can hold; fetch it again")
        if self._progress is not None:
            self._progress(self._source, self._packed.tell(), self._total)
        return piece

    def members(self, wanted: dict[str, int]) -> Iterator[tuple[str, int, bytes | None]]:
        """Name, size and content of the members that are wanted.

        wanted : size by name; a member of another size, or one that is no plain file, has None
            for its content.
        """
        while any(header := self.read(_BLOCK)):
            name, size, kind = _header(header)
            rest = size + -size % _BLOCK
            if name in wanted:
                body = None
                if kind in _PLAIN and size == wanted[name]:
                    body = self.read(size)
                    rest -= size
                yield name, size, body
            while rest:
                piece = self.read(min(rest, _PIECE))
                if not piece:
                    raise EOFError("its end is missing")
                rest -= len(piece)
        while self.read(_PIECE):
            """To the end, where gzip has its checksum."""


def _header(block: bytes) -> tuple[str, int, bytes]:
    """Name, size and type of a member."""
    if len(block) < _BLOCK:
        raise EOFError("its end is missing")
    told = _octal(block[148:156])
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != told:
        raise ValueError("a header's checksum is wrong")
    name = block[:100].partition(b"\0")[0].decode("ascii", "replace")
    return name, _octal(block[124:136]), block[156:157]


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not text or text.strip(b"01234567"):
        raise ValueError(f"{field!r} is not an octal number")
    return int(text, 8)


def read_cifar(
    content: bytes,
    record: Record,
    limit: int,
    source: str,
    progress: Progress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """x_train [limit, C, H, W], y_train [limit], x_test, y_test, all uint8.

    Parameters
    ----------
    content : the tar.gz.
    record : names the members and how many records they hold.
    limit : number of training images to keep, the first ones in the order of the members.

    Raises
    ------
    DataError : a member is missing, repeated, not a plain file or of the wrong size, or the
        archive is damaged.
    """
    width = 1 + int(np.prod(record.image))
    rows = {name: record.n_train // len(record.train_members) for name in record.train_members}
    rows |= {name: record.n_test // len(record.test_members) for name in record.test_members}
    sizes = {name: count * width for name, count in rows.items()}
    parts: dict[str, NDArray[np.uint8]] = {}
    remedy = f"delete it and run `snnr data fetch {record.name}`"
    archive = _Tar(content, record.files[0].size, source, progress).members(sizes)
    while True:
        try:
            member = next(archive, None)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{source}: not a readable tar.gz ({error}); {remedy}") from error
        if member is None:
            break
        name, size, body = member
        if body is None or name in parts:
            raise DataError(
                f"{source}: {name} has {size} bytes, expected one plain file of {sizes[name]}; "
                f"{remedy}"
            )
        if len(body) != sizes[name]:
            raise DataError(f"{source}: {name} is truncated; {remedy}")
        parts[name] = np.frombuffer(body, np.uint8).reshape(-1, width)
    missing = [name for name in rows if name not in parts]
    if missing:
        raise DataError(f"{source}: {', '.join(missing)} missing; {remedy}")

    def join(members: tuple[str, ...], keep: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        x = np.empty((keep, *record.image), np.uint8)
        y = np.empty(keep, np.uint8)
        start = 0
        for name in members:
            part = parts.pop(name)[: keep - start]
            x[start : start + len(part)] = part[:, 1:].reshape(-1, *record.image)
            y[start : start + len(part)] = part[:, 0]
            start += len(part)
        return x, y

    return *join(record.train_members, limit), *join(record.test_members, record.n_test)
