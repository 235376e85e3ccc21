"""Chunks packed and unpacked here are those of the HDF5 library, and none of them is a bomb."""

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnr.errors import DataError
from snnr.hdf5 import chunks, opened

RNG = np.random.default_rng(0)


def values(shape: tuple[int, ...], kind: str) -> np.ndarray:
    return (RNG.normal(size=shape) * 100).astype(kind)


@pytest.mark.parametrize("kind", ["f4", ">f4", "f8", "i1", "u2", "<i8"])
@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((1000,), (1000,)),
        ((1000,), (300,)),
        ((37, 5, 3), (8, 2, 3)),
        ((9,), (9,)),
        ((1, 1), (1, 1)),
    ],
)
def test_the_library_and_this_read_what_either_wrote(
    tmp_path: Path, kind: str, shape: tuple[int, ...], chunk: tuple[int, ...]
) -> None:
    array = values(shape, kind)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunks.write(file, "ours", array, chunk)
        for index, options in enumerate(
            (
                {},
                {"compression": 9},
                {"shuffle": True},
                {"fletcher32": True, "compression": 1},
                {"shuffle": True, "fletcher32": True, "compression": 4},
            )
        ):
            file.create_dataset(f"theirs{index}", data=array, chunks=chunk, **options)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["ours"][()], array)
        for name in file:
            found = chunks.read(file[name])
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


def test_checksums_are_hdf5s_at_the_corners() -> None:
    """65535 and 0 are the same number modulo 65535; which one is stored is HDF5's habit."""
    for content in (b"\0" * 8, b"\xff" * 8, b"\xff\xff", b"\0\1\xff\xfe", b"\1\2\3", b"\xff"):
        with h5py.File("x", "w", driver="core", backing_store=False) as file:
            data = np.frombuffer(content, np.uint8)
            found = file.create_dataset("a", data=data, chunks=data.shape, fletcher32=True)
            _, stored = found.id.read_direct_chunk((0,))
            assert stored[:-4] == content
            assert chunks.fletcher32(content) == int.from_bytes(stored[-4:], "little")


def test_the_checksum_of_a_chunk_of_40_megabytes_is_the_one_of_whole_numbers() -> None:
    word, count = 0xFFFE, 20_000_001
    total, nested = word * count % 65535, word * (count * (count + 1) // 2) % 65535
    content = word.to_bytes(2, "big") * count
    assert chunks.fletcher32(content) == nested << 16 | total


def raw(path: Path, packed: bytes, mask: int = 0, shape: int = 1000) -> Path:
    with h5py.File(path, "w") as file:
        options: dict[str, Any] = {"shuffle": True, "compression": 1, "fletcher32": True}
        found = file.create_dataset("a", (shape,), "f4", chunks=(1000,), **options)
        if packed:
            found.id.write_direct_chunk((0,), packed, mask)
    return path


def summed(packed: bytes) -> bytes:
    return packed + chunks.fletcher32(packed).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (summed(zlib.compress(bytes(5000))), "inflates to more than it may hold"),
        (summed(zlib.compress(bytes(100_000_000), 9)), "takes 97"),
        (summed(zlib.compress(bytes(400_000), 9)), "inflates to more than it may hold"),
        (summed(zlib.compress(bytes(3996))), "holds 3996 bytes, expected 4000"),
        (summed(zlib.compress(bytes(4000))[:-6]), "its end is missing"),
        (summed(b"not deflated at all"), "cannot be inflated"),
        (zlib.compress(bytes(4000)) + b"abcd", "checksum is wrong"),
        (b"", "not all of it is stored"),
    ],
)
def test_a_chunk_that_is_not_what_it_should_be(tmp_path: Path, packed: bytes, told: str) -> None:
    path = raw(tmp_path / "a.h5", packed)
    with opened(path, DataError, "file") as source, pytest.raises(DataError, match=told):
        source.numbers(source.root, "a")


def test_filters_that_a_chunk_went_without_are_left_out(tmp_path: Path) -> None:
    """The library stores a chunk as it is when deflating would make it longer."""
    array = values((1000,), "f4")
    path = raw(tmp_path / "a.h5", array.tobytes(), mask=0b111)
    with opened(path, DataError, "file") as source:
        np.testing.assert_array_equal(source.numbers(source.root, "a"), array)


def test_a_dataset_of_which_nothing_is_stored_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (1000,), "f4")
    with (
        opened(tmp_path / "a.h5", DataError, "file") as source,
        pytest.raises(DataError, match="/a is not all stored"),
    ):
        source.numbers(source.root, "a")
