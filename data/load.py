"""Loading, listing and verifying data sets."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnr.errors import as_path

from .arrays import HDF5, NPZ, read_arrays
from .cifar import read_cifar
from .dataset import Dataset, check, check_limit, fewer
from .idx import read_idx
from .places import Found, find, folders, home, locate
from .registry import RECORDS, Record, lookup
from .unpack import Progress


def load(
    name: str | os.PathLike[str] | Record,
    data_dir: str | os.PathLike[str] | None = None,
    limit_train: int | None = None,
    progress: Progress | None = None,
    limit_test: int | None = None,
) -> Dataset:
    """Read a data set into memory. Nothing is downloaded: `fetch` does that.

    Parameters
    ----------
    name : "mnist" (bundled), "fashion-mnist", "cifar10", or the path of an .npz or .h5/.hdf5 file
        with x_train, y_train, x_test, y_test. In such a file images are uint8 (0..255) or floats
        (kept as float32, in their own units); [N, C, H, W] is taken as it is, [N, H, W] becomes
        [N, 1, H, W], flat [N, features] becomes [N, 1, 1, features]; mean, std (per channel) and
        classes may be given, and are computed from all of x_train and the labels otherwise.
    data_dir : where to look first; then `$SNNR_DATA_DIR`, the system's data set folder, the cache.
    limit_train, limit_test : keep only the first so many training and test images.
    progress : called as progress(file, bytes done, bytes in all) while unpacking.

    Raises
    ------
    DataError : unknown name, files missing, damaged, or not what they should be.
    """
    if not isinstance(name, Record):
        text = str(as_path("name of a data set", name))
        if text not in RECORDS and Path(text).suffix.lower() in NPZ + HDF5:
            return fewer(read_arrays(Path(text).expanduser(), limit_train), limit_test)
        name = text
    record = lookup(name)
    limit = check_limit(limit_train, record.n_train, record.name)
    check_limit(limit_test, record.n_test, record.name, "test")
    return fewer(_read(record, locate(record, data_dir), limit, progress), limit_test)


def _read(
    record: Record,
    found: Found,
    limit: int,
    progress: Progress | None,
    thorough: bool = False,
) -> Dataset:
    parts: dict[str, NDArray[np.uint8]] = {}
    for file in record.files:
        content, source = found.read(file, thorough=thorough, progress=progress)
        if file.role == "archive":
            arrays = read_cifar(content, record, limit, source, progress)
            parts = dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True))
            break
        train = file.role in ("x_train", "y_train")
        count = record.n_train if train else record.n_test
        images = file.role in ("x_train", "x_test")
        parts[file.role] = read_idx(
            content,
            (count, *(n for n in record.image[1:])) if images else (count,),
            source,
            limit=limit if train else None,
            progress=progress,
        )
    return check(
        Dataset(
            name=record.name,
            x_train=parts["x_train"].reshape(-1, *record.image),
            y_train=parts["y_train"].astype(np.int64),
            x_test=parts["x_test"].reshape(-1, *record.image),
            y_test=parts["y_test"].astype(np.int64),
            mean=record.mean,
            std=record.std,
            classes=record.classes,
            augmentation=record.augmentation,
            source=found.folder,
        )
    )


@dataclass(frozen=True)
class Status:
    """One data set as `snnr data list` shows it.

    state : "bundled", "present", "incomplete" (some files are missing) or "missing".
    folder : where it is; where `fetch` would put it when it is missing.
    size : bytes on disk of the files that are there.
    """

    name: str
    title: str
    state: Literal["bundled", "present", "incomplete", "missing"]
    folder: str
    size: int


def status_of(record: Record, data_dir: str | os.PathLike[str] | None) -> Status:
    found = find(record, data_dir)
    if found is None:
        for folder in folders(record, data_dir):
            there = [folder / f.name for f in record.files if (folder / f.name).is_file()]
            if there:
                size = sum(path.stat().st_size for path in there)
                return Status(record.name, record.title, "incomplete", str(folder), size)
        return Status(record.name, record.title, "missing", str(home(record, data_dir)), 0)
    if record.bundled:
        return Status(record.name, record.title, "bundled", found.folder, found.bundled_size())
    size = sum(path.stat().st_size for path in found.paths.values())
    return Status(record.name, record.title, "present", found.folder, size)


def status(data_dir: str | os.PathLike[str] | None = None) -> list[Status]:
    """Every named data set and where it is; looks at names and sizes only."""
    return [status_of(record, data_dir) for record in RECORDS.values()]


def verify(
    name: str | Record,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Status:
    """Check every byte of a named data set: checksums, then format, shapes and labels.

    Raises
    ------
    DataError : missing or damaged.
    """
    record = lookup(name)
    _read(record, locate(record, data_dir), record.n_train, progress, thorough=True)
    return status_of(record, data_dir)
