"""Small data sets in the real formats, with records that describe them."""

import gzip
import hashlib
import io
import struct
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snnr.data import File, Record


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def tar_bytes(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


@dataclass(frozen=True)
class Tiny:
    """A record, the files it describes (packed), and the arrays in them."""

    record: Record
    files: dict[str, bytes]
    arrays: dict[str, np.ndarray]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder

    def unchecked(self, **changes: bytes) -> "Tiny":
        """The same without checksums, so that the parser itself meets the changed files."""
        files = tuple(replace(file, packed_md5=(), md5=None) for file in self.record.files)
        return Tiny(replace(self.record, files=files), {**self.files, **changes}, self.arrays)


@pytest.fixture(autouse=True)
def _no_real_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests neither see nor fill the data folders of whoever runs them."""
    monkeypatch.delenv("SNNR_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tiny() -> Tiny:
    """Six training and three test images of 3 x 4 pixels in two classes, as four IDX files."""
    rng = np.random.default_rng(0)
    arrays: dict[Any, np.ndarray] = {
        "x_train": rng.integers(0, 256, (6, 3, 4), np.uint8),
        "y_train": np.array([0, 1, 1, 0, 1, 0], np.uint8),
        "x_test": rng.integers(0, 256, (3, 3, 4), np.uint8),
        "y_test": np.array([1, 0, 1], np.uint8),
    }
    files, described = {}, []
    for role, values in arrays.items():
        plain = idx_bytes(values)
        name = f"{role}.idx.gz"
        files[name] = gzip.compress(plain, mtime=0)
        described.append(
            File(
                name=name,
                role=role,
                packed_limit=10_000,
                size=len(plain),
                packed_md5=(hashlib.md5(files[name]).hexdigest(),),
                md5=hashlib.md5(plain).hexdigest(),
            )
        )
    record = Record(
        name="tiny",
        title="tiny",
        classes=2,
        image=(1, 3, 4),
        n_train=6,
        n_test=3,
        mean=(0.5,),
        std=(0.25,),
        augmentation="affine",
        layout="idx",
        files=tuple(described),
    )
    return Tiny(record, files, arrays)


@pytest.fixture
def tiny_tar() -> Tiny:
    """A tar in CIFAR's binary layout: two training members of two 3 x 2 x 2 images, one of test."""
    rng = np.random.default_rng(1)
    arrays = {
        "x_train": rng.integers(0, 256, (4, 3, 2, 2), np.uint8),
        "y_train": np.array([3, 1, 0, 2], np.uint8),
        "x_test": rng.integers(0, 256, (3, 3, 2, 2), np.uint8),
        "y_test": np.array([2, 3, 0], np.uint8),
    }

    def body(part: str, rows: slice) -> bytes:
        x, y = arrays[f"x_{part}"][rows], arrays[f"y_{part}"][rows]
        return np.concatenate([y[:, None], x.reshape(len(x), -1)], axis=1).tobytes()

    # out of order and with something else among them, as in the real archive
    packed = tar_bytes(
        {
            "set/batch_2.bin": body("train", slice(2, 4)),
            "set/readme.html": b"<html>",
            "set/test.bin": body("test", slice(0, 3)),
            "set/batch_1.bin": body("train", slice(0, 2)),
        }
    )
    record = Record(
        name="tinytar",
        title="tiny tar",
        classes=4,
        image=(3, 2, 2),
        n_train=4,
        n_test=3,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.2),
        augmentation="crop-flip",
        layout="cifar-binary",
        files=(
            File(
                name="tiny.tar.gz",
                role="archive",
                packed_limit=10_000,
                size=100_000,
                packed_md5=(hashlib.md5(packed).hexdigest(),),
            ),
        ),
        train_members=("set/batch_1.bin", "set/batch_2.bin"),
        test_members=("set/test.bin",),
    )
    return Tiny(record, {"tiny.tar.gz": packed}, arrays)
