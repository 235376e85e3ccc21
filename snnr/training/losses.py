"""Losses by name, and sums of them and of right answers that stay in memory."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snnr import functional as F
from snnr import kernels
from snnr.errors import ConfigError, ShapeError
from snnr.nn import Layer
from snnr.tensor import Tensor

Loss = Callable[[Tensor, NDArray[np.int64]], Tensor]


#: loss name -> function of (rates [N, classes], labels [N])
LOSSES: dict[str, Loss] = {
    "mse": F.label_mse_loss,
    "cross-entropy": F.cross_entropy,
}


def loss_function(name: str) -> Loss:
    """A loss by its name.

    Raises
    ------
    ConfigError : there is no such loss.
    """
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}: expected one of {', '.join(LOSSES)}")
    return LOSSES[name]


def rates(network: Layer, batch: Tensor) -> Tensor:
    """A batch -> rates ``[N, classes]``, the mean of the network's output over time."""
    return F.mean_time(network(batch))


def checked_rates(rate: Tensor, labels: NDArray[np.int64]) -> Tensor:
    """The rates themselves, when there is one for each class.

    Raises
    ------
    ShapeError : there is not.
    """
    if len(rate.shape) != 2 or rate.shape[1] <= int(labels.max(initial=0)):
        raise ShapeError(
            f"the network answers with {list(rate.shape[1:])} per image, the labels go up to "
            f"{int(labels.max(initial=0))}: its last layer needs one output per class"
        )
    return rate


class Tally:
    """Sums over batches, in memory of the device until somebody asks: asking waits for it."""

    def __init__(self, device: str) -> None:
        self._backend = kernels.backend(device)
        self._loss = self._backend.zeros(1, np.float64)
        self._part = self._backend.zeros(1, np.float64)
        self._correct = self._backend.zeros(1, np.int64)

    def add(
        self, loss: Tensor, rate: Tensor, labels: NDArray[np.int64], weight: float = 1.0
    ) -> None:
        """Add ``weight * loss``, and how often the largest rate ``[N, classes]`` is at the label.

        Loss and rates of a batch are summed in float64.
        """
        backend = self._backend
        backend.copy(loss.memory.reshape((1,)), self._part)
        if weight != 1:
            backend.scale(self._part, weight, self._part)
        backend.accumulate(self._part, self._loss)
        marks = backend.copy_in(np.ascontiguousarray(labels, np.int64))
        backend.count_correct(rate.memory, marks, self._correct)

    @property
    def loss(self) -> float:
        """Sum of the losses."""
        return float(self._backend.copy_out(self._loss)[0])

    @property
    def correct(self) -> int:
        """Right answers."""
        return int(self._backend.copy_out(self._correct)[0])

    def set(self, loss: float = 0.0, correct: int = 0) -> None:
        """Start from these sums."""
        self._backend.write(np.array([loss], np.float64), self._loss)
        self._backend.write(np.array([correct], np.int64), self._correct)
