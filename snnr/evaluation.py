"""Loss and accuracy of a network on a set of images."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import functional as F
from snnr.activity import Activity, ActivityCounter
from snnr.augment import Augmenter
from snnr.errors import ConfigError, ShapeError
from snnr.nn import Sequential
from snnr.tensor import Tensor, no_grad

#: called with (images done, images in all) after each batch
Report = Callable[[int, int], None]

_MAX_BATCH = 500
_BUDGET = 256 << 20  # bytes for the activations of the largest layer


def mse(rate: Tensor, labels: NDArray[np.int64]) -> Tensor:
    """Mean squared error between rates ``[N, classes]`` and one-hot labels: the paper's loss."""
    return F.mse_loss(rate, F.one_hot(labels, rate.shape[1]))


#: loss name -> function of (rates [N, classes], labels [N])
LOSSES: dict[str, Callable[[Tensor, NDArray[np.int64]], Tensor]] = {
    "mse": mse,
    "cross-entropy": F.cross_entropy,
}


def loss_function(name: str) -> Callable[[Tensor, NDArray[np.int64]], Tensor]:
    """A loss by its name.

    Raises
    ------
    ConfigError : there is no such loss.
    """
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}: expected one of {', '.join(LOSSES)}")
    return LOSSES[name]


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`: mean loss and share of right answers over `images` images."""

    loss: float
    accuracy: float
    images: int
    seconds: float
    activity: Activity | None


def evaluate(
    network: Sequential,
    images: NDArray[Any],
    labels: NDArray[np.int64],
    augmenter: Augmenter,
    loss: str = "mse",
    batch_size: int | None = None,
    activity: bool = True,
    report: Report | None = None,
) -> Evaluation:
    """Run a network over images in evaluation mode; the mode is put back afterwards.

    Parameters
    ----------
    images, labels : ``[M, C, H, W]`` as in a data set, and ``[M]``.
    augmenter : normalises the images; nothing is moved at random.
    batch_size : images at a time; by default as many as keep the largest layer within 256 MiB.
    activity : count spikes and operations too (`snnr.metrics`).

    Raises
    ------
    ShapeError : the network's output is not one rate per class.
    """
    started = time.perf_counter()
    criterion = loss_function(loss)
    counter = ActivityCounter(network) if activity else None
    size = batch_size or fitting_batch(network, augmenter.batch(images, np.zeros(1, np.int64)))
    mode = network.training
    network.eval()
    total, correct = 0.0, 0
    buffer: NDArray[np.float32] | None = None
    try:
        for start in range(0, len(images), size):
            index = np.arange(start, min(start + size, len(images)))
            batch = augmenter.batch(images, index, out=buffer)
            buffer = batch if buffer is None else buffer
            with no_grad():
                rate = rates(network, batch, counter)
            marks = labels[start : start + size]
            if rate.data.ndim != 2 or rate.shape[1] <= int(marks.max()):
                raise ShapeError(
                    f"the network answers with {list(rate.shape[1:])} per image, the labels go up "
                    f"to {int(marks.max())}: its last layer needs one output per class"
                )
            total += criterion(rate, marks).item() * len(index)
            correct += int(np.count_nonzero(rate.data.argmax(axis=1) == marks))
            if report is not None:
                report(start + len(index), len(images))
    finally:
        network.train(mode)
    return Evaluation(
        loss=total / len(images),
        accuracy=correct / len(images),
        images=len(images),
        seconds=time.perf_counter() - started,
        activity=counter.result() if counter else None,
    )


def rates(
    network: Sequential, batch: NDArray[np.float32], counter: ActivityCounter | None = None
) -> Tensor:
    """Normalised images ``[N, C, H, W]`` -> rates ``[N, classes]``, the mean over time."""
    if counter is None:
        return F.mean_time(network(batch))
    with counter.watching():
        return F.mean_time(network(batch))


def fitting_batch(network: Sequential, image: NDArray[np.float32]) -> int:
    """Images at a time that keep the largest layer's activations within the memory budget."""
    largest = image.nbytes

    def observe(_: str, x: Tensor) -> None:
        nonlocal largest
        # spikes are one byte, the current that made them four
        largest = max(largest, x.data.nbytes if x.dtype != np.uint8 else 5 * x.data.nbytes)

    mode, before = network.training, network.observer
    network.eval()
    network.observer = observe
    try:
        with no_grad():
            network(image)
    finally:
        network.observer = before
        network.train(mode)
    return max(1, min(_MAX_BATCH, _BUDGET // largest))
