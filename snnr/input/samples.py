"""A data set as a training sees it: samples to learn from and samples to test with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.data import Dataset
from snnr.errors import ConfigError
from snnr.input.events import Events
from snnr.input.images import Images
from snnr.input.moves import KINDS, Moves, moves
from snnr.input.source import Source


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Training and test samples with their labels.

    y_train, y_test : int64 ``[count]``, 0..classes-1.

    Raises
    ------
    ConfigError : samples and labels do not fit together.
    """

    name: str
    train: Source
    y_train: NDArray[np.int64]
    test: Source
    y_test: NDArray[np.int64]
    classes: int

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            source, labels = getattr(self, part), np.asarray(getattr(self, f"y_{part}"))
            if labels.shape != (source.count,) or labels.dtype.kind not in "iu":
                raise ConfigError(
                    f"{self.name}: y_{part} is {labels.dtype} {list(labels.shape)}, expected whole "
                    f"numbers [{source.count}], one label per sample"
                )
            if not source.count:
                raise ConfigError(f"{self.name}: {part} has no samples; at least one is needed")
            if not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
                raise ConfigError(
                    f"{self.name}: y_{part} runs from {labels.min()} to {labels.max()}, expected "
                    f"0..{self.classes - 1}"
                )
        if self.train.sample_shape != self.test.sample_shape:
            raise ConfigError(
                f"{self.name}: training samples are {list(self.train.sample_shape)}, test samples "
                f"{list(self.test.sample_shape)}; both need one shape"
            )

    def __repr__(self) -> str:
        return f"Samples({self.name!r}, {self.train!r}, {self.test!r}, {self.classes} classes)"

    @classmethod
    def of(
        cls, dataset: Dataset, augment: bool | str | Moves | None = False, device: str = "cpu"
    ) -> "Samples":
        """Of a data set of images, moved as `augment` says: True is the data set's own way, a text
        or a record one of `snnr.input.moves`.

        Raises
        ------
        ConfigError : the images cannot be moved so.
        """
        moving = _moves(augment, dataset)
        sources = [
            Images(images, dataset.mean, dataset.std, how, device)
            for images, how in ((dataset.x_train, moving), (dataset.x_test, None))
        ]
        return cls(
            dataset.name, sources[0], dataset.y_train, sources[1], dataset.y_test, dataset.classes
        )

    @classmethod
    def of_events(
        cls,
        name: str,
        x_train: NDArray[Any],
        y_train: NDArray[Any],
        x_test: NDArray[Any],
        y_test: NDArray[Any],
        classes: int | None = None,
        device: str = "cpu",
    ) -> "Samples":
        """Of sequences of spikes ``[M, T, ...]`` (see `Events`) and their labels.

        classes : by default as many as the labels tell, which then count from 0.
        """
        labels = np.concatenate([np.ravel(y_train), np.ravel(y_test)])
        low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, -1)
        if classes is None and low > 0:
            raise ConfigError(
                f"{name}: labels run from {low} to {high} and none is 0, expected 0..{high - low}; "
                f"subtract {low}, or give classes (={high + 1})"
            )
        known = 1 + high
        return cls(
            name, Events(x_train, device), y_train, Events(x_test, device), y_test,
            known if classes is None else classes,
        )  # fmt: skip

    def about(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, as JSON values."""
        return {
            "name": self.name,
            "images": self.train.count,
            "classes": self.classes,
            **self.train.about(),
        }


def _moves(augment: bool | str | Moves | None, dataset: Dataset) -> Moves | None:
    """How images move, or None."""
    if not augment:
        return None
    kind = dataset.augmentation if augment is True else augment
    if kind is None:
        raise ConfigError(
            f"{dataset.name} has no augmentation of its own: leave it out, or name one of "
            f"{', '.join(KINDS)} (augment, or --moves)"
        )
    found = moves(kind, "augment")
    if dataset.x_train.dtype != np.uint8:
        raise ConfigError(f"augmentation moves uint8 images, those of {dataset.name} are float32")
    return found
