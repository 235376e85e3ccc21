"""Losses by name, and sums of them and of right answers that stay in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import functional as F
from snnr import kernels
from snnr.errors import ConfigError, ShapeError, suggestion
from snnr.nn import Layer
from snnr.tensor import Tensor

#: labels [N] on the host, or in memory of a device
Marks = NDArray[np.int64] | F.Labels
Loss = Callable[[Tensor, Any], Tensor]


#: loss name -> function of (rates [N, classes], labels [N])
LOSSES: dict[str, Loss] = {
    "mse": F.label_mse_loss,
    "cross-entropy": F.cross_entropy,
}
#: losses that take `snnr.functional.Labels` and launch the same whatever those are
LAUNCH_ALIKE: frozenset[Loss] = frozenset({F.label_mse_loss, F.cross_entropy})


def loss_function(name: str) -> Loss:
    """A loss by its name.

    Raises
    ------
    ConfigError : there is no such loss.
    """
    if name not in LOSSES:
        meant = suggestion(str(name), LOSSES)
        raise ConfigError(f"unknown loss {name!r}{meant}: expected one of {', '.join(LOSSES)}")
    return LOSSES[name]


def rates(network: Layer, batch: Tensor) -> Tensor:
    """A batch -> rates ``[N, classes]``, the mean of the network's output over time."""
    return F.mean_time(network(batch))


def checked_rates(rate: Tensor, labels: Marks) -> Tensor:
    """The rates themselves, when there is one for each class.

    Raises
    ------
    ShapeError : there is not.
    """
    last = labels.largest if isinstance(labels, F.Labels) else int(labels.max(initial=0))
    if len(rate.shape) != 2 or rate.shape[1] <= last:
        raise ShapeError(
            f"the network answers with {list(rate.shape[1:])} per image, the labels go up to "
            f"{last}: its last layer needs one output per class"
        )
    return rate


class Tally:
    """Sums over batches, in memory of the device until somebody asks: asking waits for it."""

    def __init__(self, device: str) -> None:
        self._backend = kernels.backend(device)
        self._loss = self._backend.zeros(1, np.float64)
        self._part = self._backend.zeros(1, np.float64)
        self._correct = self._backend.zeros(1, np.int64)

    def add(self, loss: Tensor, rate: Tensor, labels: Marks, weight: float = 1.0) -> None:
        """Add ``weight * loss``, and how often the largest rate ``[N, classes]`` is at the label.

        Loss and rates of a batch are summed in float64.
        """
        backend = self._backend
        backend.copy(loss.memory.reshape((1,)), self._part)
        if weight != 1:
            backend.scale(self._part, weight, self._part)
        backend.accumulate(self._part, self._loss)
        if isinstance(labels, F.Labels):
            marks = labels.memory
        else:
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
