"""Weights from an npz: all of them fit, or none is taken."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import snnr
from snnr.errors import CheckpointError, ShapeError

from .networks import SPECS, dense_spikes, network, normalised


def arrays_of(net: snnr.nn.Sequential) -> dict[str, np.ndarray]:
    return {a.name: a.numpy() for layer in net.layers() for a in layer.arrays().values()}


def test_weights_from_elsewhere(tmp_path: Path, pixels: np.ndarray) -> None:
    net, other = network(SPECS["conv"]), network(SPECS["conv"], seed=5)
    np.savez(tmp_path / "w.npz", **arrays_of(net))
    snnr.load_weights(other, tmp_path / "w.npz")
    images = normalised(pixels)
    np.testing.assert_array_equal(dense_spikes(net, images)[1], dense_spikes(other, images)[1])


def huge() -> bytes:
    """The header of an array of a terabyte, and no array."""
    buffer = io.BytesIO()
    head = {"descr": "<f4", "fortran_order": False, "shape": (1 << 38,)}
    np.lib.format.write_array_header_1_0(buffer, head)
    return buffer.getvalue()


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    net = network(SPECS["fc"])
    before = arrays_of(net)
    good = {name: np.zeros_like(values) for name, values in before.items()}
    last = "3_linear.weight"
    for bad, kind, told in (
        ({**good, last: np.zeros((5, 31), np.float32)}, ShapeError, "31"),
        ({**good, last: np.zeros((5, 30), np.int64)}, ShapeError, "int64"),
        ({**good, last: np.full((5, 30), np.nan)}, CheckpointError, "not finite"),
        ({**good, last: np.full((5, 30), "x", object)}, CheckpointError, "is no"),
        ({**good, "extra": np.zeros(1)}, CheckpointError, "extra too many"),
        ({"1_linear.weight": good["1_linear.weight"]}, CheckpointError, "lacks 3_linear.weight"),
    ):
        np.savez(tmp_path / "w.npz", **bad)  # type: ignore[arg-type]
        with pytest.raises(kind, match=told):
            snnr.load_weights(net, tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="is no"):
        snnr.load_weights(net, tmp_path / "w.npz")
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1_linear.weight.npy", huge())
    with pytest.raises(CheckpointError, match="of that shape"):
        snnr.load_weights(net, tmp_path / "w.npz")
    with pytest.raises(CheckpointError, match="is no"):
        snnr.load_weights(net, tmp_path / "nowhere.npz")
    for name, values in arrays_of(net).items():
        np.testing.assert_array_equal(values, before[name])


def test_an_archive_of_a_stranger(tmp_path: Path) -> None:
    """Headers, names and values that no program writes are refused as what they are."""
    net = network(SPECS["conv"])
    before = arrays_of(net)
    path = tmp_path / "w.npz"

    def refused(told: str, change: dict[str, np.ndarray | bytes], method: int = 0) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, values in {**before, **change}.items():
                out = io.BytesIO()
                np.save(out, values) if not isinstance(values, bytes) else out.write(values)
                archive.writestr(f"{name}.npy", out.getvalue())
        with pytest.raises(CheckpointError, match=told) as error:
            snnr.load_weights(net, path)
        assert str(error.value).isprintable()

    name = next(name for name in before if "running_var" in name)
    head = b"\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': ("
    refused("TokenError|SyntaxError", {name: head.ljust(128)})
    refused(r"\\x1b\[2J too many", {"\x1b[2J": np.zeros(1)})
    refused(r"\\xa0 too many", {"\xa0": np.zeros(1)})
    refused("xxx[.][.][.] too many", {"x" * 5000: np.zeros(1)})
    refused("running_var has values below 0", {name: before[name] - 10})
    refused("not finite", {name: before[name].astype(np.float64) * 1e300})
    refused("not packed as", {}, zipfile.ZIP_LZMA)
    for name, values in arrays_of(net).items():
        np.testing.assert_array_equal(values, before[name])
