"""Heaps and lengths of texts, byte by byte: what the HDF5 library may be shown."""

import struct

import pytest

from snnr.hdf5.heaps import broken_heap, longest_text


def entry(index: int, size: int, content: int = 0) -> bytes:
    """One object of a heap, with `content` bytes behind its header."""
    return struct.pack("<HHIQ", index, 1, 0, size) + bytes(content)


def heap(*objects: bytes, whole: int = 4096) -> bytes:
    body = b"".join(objects)
    return (b"GCOL\x01\0\0\0" + struct.pack("<Q", whole) + body).ljust(4096, b"\xaa")


def free(*objects: bytes) -> bytes:
    """What is left behind some objects."""
    rest = 4096 - 16 - sum(map(len, objects))
    return entry(0, rest, rest - 16)


TEXT, PADDED = entry(1, 8, 8), entry(2, 3, 8)
SOUND = heap(TEXT, PADDED, free(TEXT, PADDED))


@pytest.mark.parametrize(
    "image",
    [
        SOUND,
        b"\x89HDF" + SOUND,
        SOUND + SOUND,
        heap(entry(1, 0), free(entry(1, 0))),  # an empty text has its header
        heap(entry(1, 4096 - 32, 4096 - 32)),  # one that fills the heap
        heap(entry(1, 4096 - 39, 4096 - 32)),
        heap(entry(1, 4096 - 40, 4096 - 40)),  # 8 bytes are too few for another
        heap(TEXT, free(TEXT), whole=4097),  # the library itself refuses what ends past the file
        b"GCOL\x01" + bytes(10),
        b"nothing",
        b"",
    ],
)
def test_sound_heaps_are_let_through(image: bytes) -> None:
    assert broken_heap(image, len(image)) is None


@pytest.mark.parametrize(
    "image",
    [
        heap(TEXT, free(TEXT), whole=4095),
        heap(TEXT, free(TEXT), whole=0),
        heap(entry(0, 0)),
        heap(TEXT, entry(0, 0)),
        heap(entry(1, 2**64 - 16)),
        heap(entry(1, 4096 - 31)),
        heap(entry(0, 4096 - 15)),
        heap(TEXT, entry(2, 4096 - 32)),
    ],
)
@pytest.mark.parametrize("before", [b"", b"\x89HDF", SOUND])
def test_a_heap_that_cannot_be_walked_is_found(image: bytes, before: bytes) -> None:
    assert broken_heap(before + image, len(before + image)) == len(before)


def attribute(
    version: int, length: int, flags: int = 0, kind: int = 0x19, name: bytes = b"method\0"
) -> bytes:
    """A text of variable length with its name, type (8 bytes), space (4) and length."""
    head = struct.pack("<BB3H", version, flags, len(name), 8, 4) + b"\0" * (version == 3)
    parts = [name, bytes([kind]) + bytes(7), bytes(4)]
    if version == 1:
        parts = [part + bytes(-len(part) % 8) for part in parts]
    return head + b"".join(parts) + struct.pack("<I", length)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_length_of_a_text_is_read(version: int) -> None:
    one = attribute(version, 77)
    assert longest_text(one, "method") == longest_text(b"\x07" * 20 + one, "method") == 77
    assert longest_text(one + attribute(version, 2**32 - 1), "method") == 2**32 - 1
    assert longest_text(one + attribute(version, 5), "method") == 77
    assert longest_text(one, "net") == longest_text(one, "metho") == 0
    # what is no text of variable length, or ends before its length
    assert longest_text(attribute(version, 77, kind=0x13), "method") == 0
    assert longest_text(one[:-1], "method") == 0
    # the type of a shared one lies elsewhere
    shared = attribute(version, 77, flags=1, kind=0x13)
    assert longest_text(shared, "method") == (77 if version > 1 else 0)


def test_a_name_of_another_size_is_no_attribute() -> None:
    one = bytearray(attribute(2, 77))
    one[2] += 1
    assert longest_text(bytes(one), "method") == 0
