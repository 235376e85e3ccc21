"""The IDX parser and bounded decompression."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from snnr.data.idx import read_idx
from snnr.data.unpack import unpack

from snnr.errors import DataError

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
PLAIN = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + VALUES.tobytes()


@pytest.mark.parametrize("content", [PLAIN, gzip.compress(PLAIN)], ids=["plain", "gzip"])
def test_reads_values_writable_and_in_order(content: bytes) -> None:
    read = read_idx(content, (2, 3, 4), "f")
    np.testing.assert_array_equal(read, VALUES)
    assert read.flags.writeable


@pytest.mark.parametrize("content", [PLAIN, gzip.compress(PLAIN)], ids=["plain", "gzip"])
def test_limit_reads_the_first_rows(content: bytes) -> None:
    np.testing.assert_array_equal(read_idx(content, (2, 3, 4), "f", limit=1), VALUES[:1])


def test_limit_does_not_unpack_the_rest() -> None:
    """A stream that is broken after the first row is never read that far."""
    big = bytes([0, 0, 8, 2]) + struct.pack(">2I", 50, 100_000)
    rows = np.random.default_rng(0).integers(0, 256, (50, 100_000), np.uint8).tobytes()
    packed = gzip.compress(big + rows, 1)
    assert read_idx(packed[: len(packed) // 2], (50, 100_000), "f", limit=1).shape == (1, 100_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes where 4"),
        (b"\x00\x01" + PLAIN[2:], "0x0001"),
        (b"\x00\x00\x0d" + PLAIN[3:], "type code 0x0d"),
        (b"\x00\x00\x08\x01" + PLAIN[4:], "1 dimensions, expected 3"),
        (PLAIN[:4] + struct.pack(">3I", 2, 4, 3) + PLAIN[16:], r"\(2, 4, 3\), expected"),
        (PLAIN[:4] + struct.pack(">3I", 2**32 - 1, 3, 4) + PLAIN[16:], "4294967295"),
        (PLAIN[:10], "10 bytes where 16"),
        (PLAIN[:-1], "39 bytes where 40"),
        (PLAIN + b"x", "41 bytes where 40"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_rejects_what_is_not_this_file(content: bytes, message: str, packed: bool) -> None:
    if packed:
        content = gzip.compress(content)
        message = message.split(" bytes where")[0] if "41" not in message else "more than the 40"
    with pytest.raises(DataError, match=message) as caught:
        read_idx(content, (2, 3, 4), "some-file.gz")
    assert "some-file.gz" in str(caught.value)


@pytest.mark.parametrize("cut", [1, 4, 8, 12, 20])
def test_truncated_gzip(cut: int) -> None:
    with pytest.raises(DataError, match="damaged"):
        read_idx(gzip.compress(PLAIN)[:-cut], (2, 3, 4), "f")


def test_a_flipped_bit_never_changes_what_is_read() -> None:
    packed = gzip.compress(PLAIN, mtime=0)
    for position in range(10, len(packed)):  # the ten bytes of gzip's header carry no data
        broken = bytearray(packed)
        broken[position] ^= 0x10
        try:
            read = read_idx(bytes(broken), (2, 3, 4), "f")
        except DataError:
            continue
        np.testing.assert_array_equal(read, VALUES)  # a padding bit


def test_trailing_bytes_after_the_gzip_stream() -> None:
    with pytest.raises(DataError, match="something follows"):
        read_idx(gzip.compress(PLAIN) + b"x", (2, 3, 4), "f")


def test_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than the 1000 bytes"):
            unpack(bomb, 1000, "bomb.gz")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_progress_ends_at_the_size() -> None:
    calls: list[tuple[str, int, int | None]] = []
    unpack(gzip.compress(PLAIN), 40, "f", progress=lambda *call: calls.append(call))
    assert calls[-1] == ("f", 40, 40)
