"""The heaps that variable-length strings lie in, looked at before the HDF5 library follows them.

HDF5 (2.0 as well as 1.14) walks from object to object of a global heap by the sizes it finds, and
walks for ever when one of them is 0, or so large that the sum wraps around to 0.
"""

import mmap
import struct

_MAGIC = b"GCOL\x01"
_HEADER = 16  # magic, version, 3 reserved, size of the whole heap
_OBJECT = 16  # index, references, 4 reserved, size
_SMALLEST = 4096


def broken_heap(image: bytes | mmap.mmap, size: int) -> int | None:
    """Where the first global heap lies that the library must not be shown; None when all are fine.

    Parameters
    ----------
    image : the whole file; its sizes must be stored in 8 bytes, as they usually are.
    size : its length in bytes.

    Every place that looks like the beginning of a heap is walked, whether or not something refers
    to it: what the library can be led to is among them, for it checks the same five bytes.
    """
    at = image.find(_MAGIC)
    while at >= 0:
        # one that does not fit into the file is refused by the library itself
        if at + _HEADER <= size:
            (whole,) = struct.unpack_from("<Q", image, at + 8)
            if whole <= size - at and not _can_be_walked(image, at, whole):
                return at
        at = image.find(_MAGIC, at + 1)
    return None


def _can_be_walked(image: bytes | mmap.mmap, start: int, whole: int) -> bool:
    if whole < _SMALLEST:
        return False
    at, end = start + _HEADER, start + whole
    while end - at >= _OBJECT:
        (index,) = struct.unpack_from("<H", image, at)
        (size,) = struct.unpack_from("<Q", image, at + 8)
        # object 0 is what is free, its own header included; the others are padded to 8 bytes
        step = size if index == 0 else _OBJECT + (size + 7) // 8 * 8
        if step <= 0 or step > end - at:
            return False
        at += step
    return True
