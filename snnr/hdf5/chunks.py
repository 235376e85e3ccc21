"""Chunks of HDF5 datasets, packed and unpacked here instead of inside of the library.

The library inflates a chunk to whatever comes out of it, a thousand times its size if somebody
wants that; here no more comes out than the dataset declares. And chunks are packed on all cores.
The filters are the usual ones: shuffle (bytes of equal rank together), deflate, Fletcher-32.
"""

import itertools
import math
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

SHUFFLE, DEFLATE, FLETCHER = (
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_FLETCHER32,
)
FILTERS = (SHUFFLE, DEFLATE, FLETCHER)
_LEVEL = 1  # higher ones cost time and gain under 1 % on weights
_SUM = 4  # bytes of a checksum
_ROW = 256  # words summed up at a time
_WORKERS = min(4, os.cpu_count() or 1)

Offset = tuple[int, ...]


def count(shape: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    """Chunks that cover the shape."""
    return math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))


def read(found: h5py.Dataset) -> NDArray[Any]:
    """All values of a chunked dataset whose filters are among `FILTERS`.

    Raises
    ------
    ValueError : a chunk is missing, is larger than what it holds, or is damaged.
    """
    shape, chunk, dtype = found.shape, found.chunks, found.dtype
    plan = found.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if found.id.get_num_chunks() != count(shape, chunk):
        raise ValueError("not all of it is stored")
    room = math.prod(chunk) * dtype.itemsize
    values = np.empty(shape, dtype)

    def fetch() -> Iterator[tuple[Offset, int, bytes]]:
        for offset in _offsets(shape, chunk):
            size = found.id.get_chunk_info_by_coord(offset).size
            if size > room + room // 64 + 256:
                raise ValueError(f"the chunk at {offset} takes {size} bytes for {room}")
            # the library asks for room for the size that filters leave or, without any, that the
            # shape says, and writes as much as the index says: h5py's own buffer could overflow
            packed = np.empty(max(size, room), np.uint8)
            mask, _ = found.id.read_direct_chunk(offset, out=packed)
            yield offset, mask, packed[:size].tobytes()

    def place(item: tuple[Offset, int, bytes]) -> None:
        offset, mask, packed = item
        used = [code for i, code in enumerate(filters) if not mask >> i & 1]
        block = np.frombuffer(unpack(packed, used, room, dtype.itemsize), dtype).reshape(chunk)
        there = tuple(slice(at, at + c) for at, c in zip(offset, chunk, strict=True))
        target = values[there]
        target[...] = block[tuple(slice(n) for n in target.shape)]

    _each(place, fetch())
    return values


def write(group: h5py.Group, name: str, array: NDArray[Any], chunk: tuple[int, ...]) -> None:
    """A dataset in chunks, shuffled, deflated and with checksums, as any HDF5 reader reads it."""
    found = group.create_dataset(
        name, array.shape, array.dtype, chunks=chunk, shuffle=True, compression="gzip",
        compression_opts=_LEVEL, fletcher32=True,
    )  # fmt: skip

    def cut(offset: Offset) -> tuple[Offset, bytes]:
        there = tuple(slice(at, at + c) for at, c in zip(offset, chunk, strict=True))
        block = array[there]
        if block.shape != chunk:
            whole = np.zeros(chunk, array.dtype)
            whole[tuple(slice(n) for n in block.shape)] = block
            block = whole
        return offset, pack(np.ascontiguousarray(block))

    def keep(done: tuple[Offset, bytes]) -> None:
        found.id.write_direct_chunk(*done)

    offsets = list(_offsets(array.shape, chunk))
    if len(offsets) == 1:
        keep(cut(offsets[0]))
        return
    with ThreadPoolExecutor(_WORKERS) as pool:
        for start in range(0, len(offsets), 2 * _WORKERS):
            for done in pool.map(cut, offsets[start : start + 2 * _WORKERS]):
                keep(done)


def pack(block: NDArray[Any]) -> bytes:
    """Bytes of a chunk: shuffled, deflated, with a checksum."""
    planes = block.reshape(-1, 1).view(np.uint8).T
    # in weights and moments nothing comes again but runs of zeros; in indices much does
    repeats = block.dtype.kind in "iu" and block.itemsize > 1
    strategy = zlib.Z_DEFAULT_STRATEGY if repeats else zlib.Z_RLE
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, strategy=strategy)
    packed = stream.compress(planes.tobytes()) + stream.flush()
    return packed + fletcher32(packed).to_bytes(_SUM, "little")


def unpack(packed: bytes, filters: list[int], room: int, itemsize: int) -> bytes:
    """Undo the filters of a chunk, the last one first; `room` bytes must come out.

    Raises
    ------
    ValueError : anything else comes out, or a checksum is wrong.
    """
    for code in reversed(filters):
        if code == FLETCHER:
            body = packed[:-_SUM]
            if fletcher32(body) != int.from_bytes(packed[-_SUM:], "little"):
                raise ValueError("a chunk's checksum is wrong")
            packed = body
        elif code == DEFLATE:
            packed = _inflate(packed, room + _SUM)
        elif code == SHUFFLE and itemsize > 1 and len(packed) == room:
            planes = np.frombuffer(packed, np.uint8).reshape(itemsize, -1)
            packed = planes.T.tobytes()
    if len(packed) != room:
        raise ValueError(f"a chunk holds {len(packed)} bytes, expected {room}")
    return packed


def _inflate(packed: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, most)
    except zlib.error as error:
        raise ValueError(f"a chunk cannot be inflated ({error})") from None
    if not stream.eof:
        raise ValueError("a chunk inflates to more than it may hold, or its end is missing")
    return plain


def fletcher32(content: bytes) -> int:
    """HDF5's checksum: sums, and sums of sums, of big-endian 16-bit words, modulo 65535."""
    short = -len(content) % (2 * _ROW)
    words = np.frombuffer(content + bytes(short), ">u2").astype(np.uint32).reshape(-1, _ROW)
    # a word counts for all that come after it: those of its row, and the rows below
    rows = words.sum(axis=1, dtype=np.int64)
    columns = words.sum(axis=0, dtype=np.int64)
    below = np.arange(len(rows) - 1, -1, -1) * _ROW % 65535
    nested = int(np.dot(rows, below)) + int(np.dot(columns, np.arange(_ROW, 0, -1)))
    # the zeros that were added at the end: each counts every word before it once more
    total = int(rows.sum())
    nested -= total * (short // 2)
    return _folded(nested) << 16 | _folded(total)


def _folded(value: int) -> int:
    """Modulo 65535 as end-around carries give it: 65535 itself, where that is not from zeros."""
    return value % 65535 or (65535 if value else 0)


def _offsets(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[Offset]:
    return itertools.product(*(range(0, n, c) for n, c in zip(shape, chunk, strict=True)))


def _each(
    work: Callable[[tuple[Offset, int, bytes]], None],
    items: Iterator[tuple[Offset, int, bytes]],
) -> None:
    """Work on all items, on several threads, with few of them in memory at a time."""
    first = list(itertools.islice(items, 2 * _WORKERS))
    if len(first) < 2:
        for item in first:
            work(item)
        return
    with ThreadPoolExecutor(_WORKERS) as pool:
        while first:
            for _ in pool.map(work, first):
                """Whatever it raised is raised here."""
            first = list(itertools.islice(items, 2 * _WORKERS))
