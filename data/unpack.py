"""Bounded gzip decompression and checksums: no input, however made, unpacks to more than asked."""

import hashlib
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DataError

#: called as progress(what, bytes done, bytes in all or None when unknown)
Progress = Callable[[str, int, int | None], None]

_CHUNK = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"


def md5(content: bytes | memoryview) -> str:
    """MD5 in hexadecimal; it guards against damage, not against an attacker."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def is_gzip(content: bytes) -> bool:
    return content[:2] == _GZIP_MAGIC


def _damaged(source: str, why: str) -> DataError:
    return DataError(f"{source}: damaged, {why}; delete it and fetch it again (`snnr data fetch`)")


def unpack(
    content: bytes,
    size: int,
    source: str,
    *,
    partial: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """The first `size` bytes of `content`, unpacked where it is gzip.

    Parameters
    ----------
    content : a gzip file with one member, or plain bytes.
    size : number of bytes wanted.
    source : the file, for messages.
    partial : more may follow, and is not unpacked; otherwise the content must end exactly there
        with a correct CRC.

    Returns
    -------
    uint8 [size], writable.

    Raises
    ------
    DataError : corrupt, too short, or (unless `partial`) too long.
    """
    if not is_gzip(content):
        if len(content) < size or (len(content) > size and not partial):
            raise _damaged(source, f"{len(content)} bytes where {size} are expected")
        return np.frombuffer(content, np.uint8, size).copy()

    out = np.empty(size, np.uint8)
    target = out.data
    packed = memoryview(content)
    stream = zlib.decompressobj(wbits=31)
    done = fed = 0
    tail: bytes | memoryview = b""
    try:
        while done < size and not stream.eof:
            if not tail:
                if fed >= len(packed):
                    break
                tail = packed[fed : fed + _CHUNK]
                fed += len(tail)
            piece = stream.decompress(tail, size - done)
            target[done : done + len(piece)] = piece
            done += len(piece)
            tail = stream.unconsumed_tail
            if progress is not None:
                progress(source, done, size)
        if done < size:
            raise _damaged(source, f"it unpacks to {done} bytes where {size} are expected")
        if partial:
            return out
        # one byte of room: anything that comes out now is too much, and the CRC gets checked
        while not stream.eof:
            if not tail:
                if fed >= len(packed):
                    raise _damaged(source, "its end is missing")
                tail = packed[fed : fed + _CHUNK]
                fed += len(tail)
            if stream.decompress(tail, 1):
                raise _damaged(source, f"it unpacks to more than the {size} bytes expected")
            tail = stream.unconsumed_tail
    except zlib.error as error:
        raise _damaged(source, f"not a readable gzip stream ({error})") from error
    if stream.unused_data or fed < len(packed):
        raise _damaged(source, "something follows the end of the gzip stream")
    return out
