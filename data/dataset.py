"""The one record every loader returns, and the checks it must pass."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import DataError

from .registry import Augmentation


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels in memory.

    name : the data set's name, or the stem of the file it was read from.
    x_train, x_test : uint8 [N, C, H, W] (pixels 0..255), or float32 when the file holds floats.
    y_train, y_test : int64 [N], 0..classes-1.
    mean, std : per channel; of pixels scaled to 0..1 for uint8, of the values for float32.
    augmentation : the kind that suits the training images, or None.
    source : the folder or file it came from.
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    augmentation: Augmentation | None
    source: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.x_train.shape
        return channels, height, width

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return (
            f"Dataset({self.name!r}, {len(self.x_train)} training and {len(self.x_test)} test "
            f"images {shape} {self.x_train.dtype}, {self.classes} classes)"
        )


def check(dataset: Dataset) -> Dataset:
    """The data set itself, when everything in it fits together.

    Raises
    ------
    DataError : naming the source, the array, what was found and what is expected.
    """
    where = dataset.source
    for part in ("train", "test"):
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        if len(x) != len(y):
            raise DataError(
                f"{where}: x_{part} has {len(x)} images but y_{part} has {len(y)} labels; "
                "each image needs one label"
            )
        if len(x) == 0:
            raise DataError(f"{where}: x_{part} is empty; at least one image is needed")
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= dataset.classes:
            raise DataError(
                f"{where}: y_{part} has label {low if low < 0 else high}, "
                f"expected 0..{dataset.classes - 1} for {dataset.classes} classes; "
                "number the classes from 0"
            )
    if dataset.x_train.shape[1:] != dataset.x_test.shape[1:]:
        raise DataError(
            f"{where}: training images have shape {dataset.x_train.shape[1:]}, test images "
            f"{dataset.x_test.shape[1:]}; both need the same [C, H, W]"
        )
    if dataset.x_train.dtype != dataset.x_test.dtype:
        raise DataError(
            f"{where}: x_train is {dataset.x_train.dtype}, x_test is {dataset.x_test.dtype}; "
            "store both as uint8 or both as float32"
        )
    channels = dataset.image_shape[0]
    for label, values in (("mean", dataset.mean), ("std", dataset.std)):
        if len(values) != channels:
            raise DataError(
                f"{where}: {label} has {len(values)} entries, expected {channels}, "
                "one for each channel"
            )
    if not np.isfinite(dataset.mean).all() or not np.isfinite(dataset.std).all():
        raise DataError(f"{where}: mean {dataset.mean} and std {dataset.std} must be finite")
    if min(dataset.std) < np.finfo(np.float32).tiny:  # less is 0 in float32, which divides
        raise DataError(f"{where}: std {dataset.std} must be positive in every channel")
    return dataset


def check_limit(limit: int | None, available: int, source: str, part: str = "train") -> int:
    """The number of training (or test) images to keep.

    Raises
    ------
    DataError : `limit` is not between 1 and `available`.
    """
    if limit is None:
        return available
    if isinstance(limit, bool) or not isinstance(limit, int | np.integer):
        raise DataError(f"limit_{part} (={limit!r}) must be a whole number or None")
    if not 1 <= limit <= available:
        kind = "training" if part == "train" else part
        raise DataError(
            f"limit_{part} (={limit}) must lie between 1 and {available}, "
            f"the number of {kind} images in {source}"
        )
    return int(limit)


def fewer(dataset: Dataset, limit_test: int | None) -> Dataset:
    """The data set with its first test images only.

    Raises
    ------
    DataError : `limit_test` is not between 1 and their number.
    """
    keep = check_limit(limit_test, len(dataset.x_test), dataset.source, "test")
    if keep == len(dataset.x_test):
        return dataset
    # copies, so that the others are let go of
    images, labels = dataset.x_test[:keep].copy(), dataset.y_test[:keep].copy()
    return replace(dataset, x_test=images, y_test=labels)
