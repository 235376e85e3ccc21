"""NIR files that no program writes: refused with a reason, and never shown to a package that would
follow them."""

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr.errors import CheckpointError, ConfigError
from snnr.export import write_nir
from snnr.hdf5 import copied

from .networks import SPECS, network

nir = pytest.importorskip("nir")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_nir(network(SPECS["conv"]), tmp_path / "n.nir", input_shape=(2, 9, 8))


def refused(path: Path, told: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=told) as error:
        snnr.load_nir(path, **options)
    assert str(error.value).isprintable()


def test_a_copy_says_what_the_file_says(sound: Path, tmp_path: Path) -> None:
    image, _ = copied(sound, CheckpointError, "NIR file")
    (tmp_path / "copy.nir").write_bytes(image)
    first, second = {}, {}
    for path, found in ((sound, first), (tmp_path / "copy.nir", second)):
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item, found=found: (
                    found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


@pytest.mark.parametrize("offset", [24, 8])
def test_a_broken_heap_of_texts_is_never_walked(sound: Path, offset: int) -> None:
    """The library would walk it for ever: an object's size wraps around, a heap ends in itself."""
    image = bytearray(sound.read_bytes())
    at = image.find(b"GCOL\x01") + offset
    image[at : at + 8] = (2**64 - 16 if offset == 24 else 64).to_bytes(8, "little")
    sound.write_bytes(image)
    refused(sound, "heap of texts at byte .* is damaged")


def test_texts_that_are_told_to_be_huge(sound: Path) -> None:
    with h5py.File(sound) as file:
        place = file["node/edges"].id.get_offset()
    image = bytearray(sound.read_bytes())
    image[place + 32 : place + 36] = b"\xff\xff\xff\xf0"
    sound.write_bytes(image)
    refused(sound, "edges is text of 4043309055 bytes, more than the file has")


def test_one_long_text_that_many_refer_to(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry alone is no longer than the file; together they are."""
    with h5py.File(sound, "r+") as file:
        del file["node/edges"]
        texts = np.full((1000, 2), "x" * 2000, object)
        file["node"].create_dataset("edges", data=texts, dtype=h5py.string_dtype())
    monkeypatch.setenv("SNNR_READ_LIMIT", "3M")
    refused(sound, "node/edges brings what it asks for to 3.8 MiB")


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("nodes/linear_9/weight", np.ones((2, 19, 28), "f4"), "NIR graph|expected .out, in"),
        ("nodes/linear_9/weight", np.full((19, 28), math.nan, "f4"), "not finite"),
        ("nodes/linear_9/weight", np.full((19, 28), 1e300), "that float32 does not hold"),
        ("nodes/linear_9/weight", "\x1b[2J", "NIR graph"),
        ("nodes/linear_9/weight", np.zeros((19, 28), "c8"), "is complex64"),
        ("nodes/conv2d_0/bias", np.zeros(5, "f4"), r"bias \[5\], expected \[6\]"),
        ("nodes/conv2d_0/stride", np.array([1 << 40] * 2), "NIR graph|expected 0 to"),
        ("nodes/conv2d_0/stride", np.array([0.5, 0.5]), "NIR graph|expected 0 to"),
        ("nodes/conv2d_0/groups", -2, "groups"),
        ("nodes/conv2d_0/groups", 5, "groups"),
        ("nodes/lif_1/tau", np.full((6, 9, 8), -1.0, "f4"), "tau = "),
        ("nodes/lif_1/type", "NIRNode", "NIR graph"),
        ("nodes/sumpool_2/kernel_size", "same", "NIR graph|is no number"),
        ("edges", np.zeros(3), "NIR graph"),
        ("edges", 3.0, "NIR graph"),
        ("metadata/dt", "soon", "dt in its metadata is no number; give dt"),
        ("metadata/T", np.array([1, 2]), "T in its metadata is no number; give T"),
    ],
)
def test_values_that_make_no_sense(sound: Path, place: str, value: Any, told: str) -> None:
    with h5py.File(sound, "r+") as file:
        del file["node"][place]
        file["node"][place] = value
    refused(sound, told)


def test_time_that_makes_no_sense(sound: Path) -> None:
    for options in ({"dt": 0.0}, {"dt": math.inf}, {"T": 0}, {"T": 1.5}):
        with pytest.raises(ConfigError, match=r"give (dt|T) if"):
            snnr.load_nir(sound, **options)
    with h5py.File(sound, "r+") as file:
        file["node/metadata/dt"][()] = 0.0
    with pytest.raises(ConfigError, match="must be above 0"):
        snnr.load_nir(sound)


def test_groups_in_each_other(sound: Path) -> None:
    with h5py.File(sound, "r+") as file:
        file["node/" + "/".join("a" * 60)] = 1
    refused(sound, "inside of itself")
