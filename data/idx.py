"""The IDX format of MNIST and its relatives.

A file is: two zero bytes, a type code (0x08: unsigned byte), the number of dimensions, then each
dimension as a big-endian uint32, then the values in row-major order.
"""

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DataError

from .unpack import Progress, unpack

_UINT8 = 0x08


def read_idx(
    content: bytes,
    shape: tuple[int, ...],
    source: str,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """Values of an IDX file, packed with gzip or not.

    Parameters
    ----------
    content : the file.
    shape : the dimensions it must have.
    source : the file, for messages.
    limit : read only the first `limit` entries of the first dimension; the rest is not unpacked.

    Returns
    -------
    uint8 array of `shape`, or of (limit, *shape[1:]).

    Raises
    ------
    DataError : wrong magic number, type, dimensions or length, or a damaged stream.
    """
    start = 4 + 4 * len(shape)
    magic = unpack(content, 4, source, partial=True)
    if magic[0] or magic[1]:
        raise DataError(
            f"{source}: starts with 0x{magic.tobytes().hex()}, an IDX file starts with 0x0000; "
            "check that this is the right file"
        )
    if magic[2] != _UINT8:
        raise DataError(
            f"{source}: type code 0x{magic[2]:02x}, expected 0x08 (unsigned byte); "
            "check that this is the right file"
        )
    if magic[3] != len(shape):
        raise DataError(
            f"{source}: {magic[3]} dimensions, expected {len(shape)} {shape}; "
            "images and labels may have changed places"
        )
    header = unpack(content, start, source, partial=True)
    found = tuple(int(n) for n in header[4:].view(">u4"))
    if found != shape:
        raise DataError(
            f"{source}: dimensions {found}, expected {shape}; "
            "check that this is the right file of the right data set"
        )
    rows = shape[0] if limit is None else min(limit, shape[0])
    size = start + rows * int(np.prod(shape[1:], dtype=np.int64))
    values = unpack(content, size, source, partial=rows < shape[0], progress=progress)
    return values[start:].reshape(rows, *shape[1:])
