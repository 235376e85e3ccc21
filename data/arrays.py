"""Data sets of the user's own: an .npz or an HDF5 file with named arrays.

Arrays
------
x_train, x_test : images, uint8 (0..255) or floating point (kept as float32, in the file's own
    units). Shape [N, C, H, W] is taken as it is; [N, H, W] becomes [N, 1, H, W]; flat
    [N, features] becomes one row of one channel, [N, 1, 1, features].
y_train, y_test : integers [N], classes numbered from 0; labels without a 0 are refused, unless
    `classes` is given.
mean, std : optional, one number per channel (for flat data: one), by which images are normalised;
    of pixels scaled to 0..1 for uint8. Otherwise they are computed from all of x_train, and a
    channel that is constant gets std 1.
classes : optional number of classes; otherwise the largest label + 1.
"""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from snnr.budget import Budget
from snnr.errors import DataError, printable
from snnr.hdf5 import opened

from .dataset import Dataset, check, check_limit

NPZ = (".npz",)
HDF5 = (".h5", ".hdf5")
_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_KNOWN = (*_REQUIRED, "mean", "std", "classes")
#: what numpy and zipfile raise for files that are damaged
_UNREADABLE = (
    OSError, ValueError, KeyError, IndexError, EOFError, MemoryError, OverflowError, RuntimeError,
    NotImplementedError, TypeError, SyntaxError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_ROWS = 4096
#: every class is an output of the network
MAX_CLASSES = 1 << 16


def read_arrays(path: Path, limit_train: int | None = None) -> Dataset:
    """Data set from an .npz or .h5 file (see the module's text for the arrays).

    Raises
    ------
    DataError : missing or unreadable file, missing array, wrong dtype, shape or value, or the
        arrays are out of proportion to the file (`snnr.budget`).
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    content = _read_npz(path) if path.suffix.lower() in NPZ else _read_hdf5(path)
    return _build(path, content, limit_train)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Around what numpy and zipfile do with a file that may be damaged."""
    try:
        yield
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {printable(str(error))}); it must be "
            f"an .npz without pickled objects or an HDF5 file with {', '.join(_REQUIRED)}"
        ) from error


def _read_npz(path: Path) -> dict[str, Any]:
    found = {}
    budget = Budget(str(path), path.stat().st_size, DataError)
    with _reading(path), zipfile.ZipFile(path) as archive:
        present = {info.filename: info for info in archive.infolist()}
        for name in _KNOWN:
            if (info := present.get(f"{name}.npy")) is not None:
                found[name] = _read_npy(archive, info, name, budget)
    return found


def _read_npy(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, budget: Budget
) -> NDArray[Any]:
    """One array; what it takes is counted from its header, before it is unpacked."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is not packed as numpy.savez_compressed does")
    with archive.open(info) as file:
        header = _HEADERS.get(npy.read_magic(file))
        if header is None:
            raise ValueError(f"{name} has a header of a version that is not read here")
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{name} has pickled objects in it")
        size = math.prod(shape) * dtype.itemsize
        if size > info.file_size or min(shape, default=0) < 0:
            raise ValueError(f"{name} {shape} does not fit into its {info.file_size} bytes")
        budget.take(size + _converted(shape), name)
    with archive.open(info) as file:
        values: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return values


def _read_hdf5(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with opened(path, DataError, "readable HDF5 file", texts=False) as source:
        for name in _KNOWN:
            if source.child(source.root, name) is not None:
                shape = source.shape(source.root, name)
                source.budget.take(_converted(shape), name)
                found[name] = source.numbers(source.root, name)
    return found


def _converted(shape: tuple[int, ...]) -> int:
    """Bytes of what an array may be converted to: labels are int64, images at most float32."""
    return math.prod(shape) * (8 if len(shape) == 1 else 4)


def _build(path: Path, content: dict[str, Any], limit_train: int | None) -> Dataset:
    missing = [name for name in _REQUIRED if name not in content]
    if missing:
        raise DataError(
            f"{path}: no {', '.join(missing)}; it has {', '.join(content) or 'none of these'} "
            f"and needs {', '.join(_REQUIRED)}"
        )
    x_train = _images(content["x_train"], f"{path}: x_train")
    y_train = _labels(content["y_train"], f"{path}: y_train")
    x_test = _images(content["x_test"], f"{path}: x_test")
    y_test = _labels(content["y_test"], f"{path}: y_test")
    if not len(y_train) or not len(y_test):
        raise DataError(f"{path}: y_train and y_test must not be empty")
    labels = len(y_train) + len(y_test)
    low = int(min(y_train.min(), y_test.min()))
    high = int(max(y_train.max(), y_test.max()))
    if "classes" in content:
        classes = _count(content["classes"], f"{path}: classes")
    else:
        classes = high + 1
        if classes > labels:
            raise DataError(
                f"{path}: has label {high} among {labels} labels; number the classes from 0 "
                "without gaps, or say how many there are in `classes`"
            )
    if classes > MAX_CLASSES:
        raise DataError(f"{path}: classes (={classes}) must not be more than {MAX_CLASSES}")
    if low > 0 and "classes" not in content:
        raise DataError(
            f"{path}: labels run from {low} to {high} and none is 0, expected 0..{high - low}, "
            f"for each class is an output of the network; subtract {low}, or say how many classes "
            f"there are in `classes` (={high + 1}) if {_missing(low)} without an image"
        )
    given = {
        name: _numbers(content[name], f"{path}: {name}")
        for name in ("mean", "std")
        if name in content
    }
    if len(given) == 1:
        raise DataError(f"{path}: has {next(iter(given))} alone; give both mean and std, or none")
    mean, std = (given["mean"], given["std"]) if given else _statistics(x_train)
    whole = check(
        Dataset(
            name=path.stem,
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            mean=mean,
            std=std,
            classes=classes,
            augmentation=None,
            source=str(path),
        )
    )
    keep = check_limit(limit_train, len(x_train), str(path))
    if keep == len(x_train):
        return whole
    return Dataset(
        **{
            **vars(whole),
            "x_train": x_train[:keep].copy(),
            "y_train": y_train[:keep].copy(),
        }
    )


def _missing(low: int) -> str:
    return "class 0 is" if low == 1 else f"classes 0 to {low - 1} are"


def _images(value: Any, what: str) -> NDArray[Any]:
    x = np.asarray(value)
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise DataError(f"{what} is {x.dtype}, expected uint8 or float; convert it")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise DataError(
            f"{what} has shape {x.shape}, expected [N, C, H, W], [N, H, W] or [N, features], "
            "none of them 0"
        )
    if x.ndim == 4 and x.shape[3] in (1, 3) and min(x.shape[1:3]) > 4:
        raise DataError(
            f"{what} has shape {x.shape}, which looks like [N, H, W, C]; expected [N, C, H, W]: "
            "store x.transpose(0, 3, 1, 2)"
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 2:
        x = x[:, None, None]
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, dtype=np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{what} has values that are not finite in float32; replace them")
    return x


def _labels(value: Any, what: str) -> NDArray[np.int64]:
    y = np.asarray(value)
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise DataError(
            f"{what} is {y.dtype} of shape {y.shape}, expected whole numbers of shape [N]"
        )
    if y.size and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{what} has label {y.max()}; number the classes from 0")
    return y.astype(np.int64)


def _count(value: Any, what: str) -> int:
    n = np.asarray(value)
    if n.dtype.kind not in "iu" or n.size != 1 or int(n.ravel()[0]) < 1:
        told = " ".join(repr(value).split())[:80]  # an array's has lines
        raise DataError(f"{what} (={printable(told)}) must be one whole number, at least 1")
    return int(n.ravel()[0])


def _numbers(value: Any, what: str) -> tuple[float, ...]:
    n = np.atleast_1d(np.asarray(value))
    if n.dtype.kind not in "fiu" or n.ndim != 1:
        raise DataError(f"{what} must be one number per channel, found {n.dtype} of {n.shape}")
    return tuple(float(v) for v in n)


def _statistics(x: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in float64, a slice of rows at a time."""
    scale = 1 / 255 if x.dtype == np.uint8 else 1.0
    count = x.size // x.shape[1]
    mean = np.zeros(x.shape[1])
    for start in range(0, len(x), _ROWS):
        mean += x[start : start + _ROWS].sum(axis=(0, 2, 3), dtype=np.float64)
    mean /= count
    spread = np.zeros(x.shape[1])
    for start in range(0, len(x), _ROWS):
        part = x[start : start + _ROWS].astype(np.float64) - mean[:, None, None]
        spread += np.square(part, out=part).sum(axis=(0, 2, 3))
    std = np.sqrt(spread / count) * scale
    # relative: a constant channel is left with rounding errors only
    std[std <= 1e-6 * np.abs(mean * scale)] = 1.0
    # in float32, in which images are normalised, less than that is 0
    std[std < np.finfo(np.float32).tiny] = 1.0
    return tuple((mean * scale).tolist()), tuple(std.tolist())
