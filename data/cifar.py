"""CIFAR-10, binary version: records of one label byte and 3 x 32 x 32 pixel bytes, in a tar.gz.

The archive is read as a stream: nothing is written to disk, only the members that are expected
are looked at, and no more is unpacked than the record allows.
"""

import gzip
import io
import tarfile
import zlib

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DataError

from .registry import Record
from .unpack import Progress


class _Bounded(io.RawIOBase):
    """A gzip stream that refuses to give more than `limit` bytes."""

    def __init__(self, packed: bytes, limit: int, source: str, progress: Progress | None) -> None:
        self._packed = io.BytesIO(packed)
        self._total = len(packed)
        self._stream = gzip.GzipFile(fileobj=self._packed)
        self._left = limit
        self._source = source
        self._progress = progress

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        want = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        piece = self._stream.read(want)
        self._left -= len(piece)
        if self._left < 0:
            raise DataError(f"{self._source}: unpacks to more than it can hold; fetch it again")
        if self._progress is not None:
            self._progress(self._source, self._packed.tell(), self._total)
        return piece


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
    parts: dict[str, NDArray[np.uint8]] = {}
    stream = _Bounded(content, record.files[0].size, source, progress)
    remedy = f"delete it and run `snnr data fetch {record.name}`"
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.name not in rows:
                    continue
                expected = rows[member.name] * width
                if not member.isreg() or member.size != expected or member.name in parts:
                    raise DataError(
                        f"{source}: {member.name} has {member.size} bytes, expected one plain "
                        f"file of {expected}; {remedy}"
                    )
                file = archive.extractfile(member)
                body = file.read(expected) if file is not None else b""
                if len(body) != expected:
                    raise DataError(f"{source}: {member.name} is truncated; {remedy}")
                parts[member.name] = np.frombuffer(body, np.uint8).reshape(-1, width)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source}: not a readable tar.gz ({error}); {remedy}") from error
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
