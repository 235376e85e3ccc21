"""Rates and losses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.functional.pool import kind_of
from snnr.tensor import Function, Tensor

Array = NDArray[Any]


class MeanTime(Function):
    """Mean over the time axis: the firing rate."""

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return None

    def forward(self, x: Tensor) -> Array:
        self.steps = x.shape[0]
        kind = np.float32 if x.dtype == np.uint8 else x.dtype
        return x.data.sum(axis=0, dtype=kind) / kind_of(kind, self.steps)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        share = grad / kind_of(grad.dtype, self.steps)
        return (np.broadcast_to(share, (self.steps, *share.shape)),)


def mean_time(x: Tensor) -> Tensor:
    """``[T, N, ...]`` -> ``[N, ...]``, the mean over T.

    Raises
    ------
    ShapeError : x is static.
    """
    if x.timesteps is None:
        raise ShapeError(f"mean_time: {list(x.shape)} is static; it has no time axis")
    return MeanTime()(x)


class MeanSquaredError(Function):
    """mean((x - target)^2) over all elements."""

    def forward(self, x: Tensor, target: Tensor) -> Array:
        self.difference = x.data - target.data
        return np.asarray(np.mean(np.square(self.difference)))

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        factor = kind_of(self.difference.dtype, 2.0 / self.difference.size)
        dx = grad * factor * self.difference
        return dx, -dx


def mse_loss(x: Tensor, target: Tensor | NDArray[Any]) -> Tensor:
    """Mean squared error over all elements, a tensor of one element.

    Parameters
    ----------
    x : ``[N, classes]`` float, e.g. rates.
    target : the same shape, e.g. from `one_hot`.

    Raises
    ------
    ShapeError : the shapes differ.
    """
    goal = target if isinstance(target, Tensor) else Tensor(target, device=x.device)
    if goal.shape != x.shape:
        raise ShapeError(f"mse_loss: input {list(x.shape)} and target {list(goal.shape)} differ")
    return MeanSquaredError()(x, goal)


class CrossEntropy(Function):
    """-log softmax(x)[label], averaged over the batch."""

    def __init__(self, labels: NDArray[np.integer[Any]]) -> None:
        self.labels = labels

    def forward(self, x: Tensor) -> Array:
        shifted = x.data - x.data.max(axis=1, keepdims=True)
        exponents = np.exp(shifted)
        total = exponents.sum(axis=1, keepdims=True)
        self.probability = exponents / total
        picked = shifted[np.arange(len(self.labels)), self.labels] - np.log(total[:, 0])
        return np.asarray(-picked.mean())

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dx = self.probability.copy()
        dx[np.arange(len(self.labels)), self.labels] -= 1
        return (dx * (grad / kind_of(dx.dtype, len(self.labels))),)


def cross_entropy(x: Tensor, labels: NDArray[np.integer[Any]]) -> Tensor:
    """Mean cross-entropy of the softmax of ``x[N, classes]`` against integer ``labels[N]``.

    Raises
    ------
    ShapeError : the batch sizes differ or a label is outside 0..classes-1.
    """
    marks = np.asarray(labels)
    if x.data.ndim != 2 or marks.shape != x.shape[:1]:
        raise ShapeError(
            f"cross_entropy: input {list(x.shape)} must be [N, classes], labels "
            f"{list(marks.shape)} [N]"
        )
    if marks.size and not 0 <= marks.min() <= marks.max() < x.shape[1]:
        raise ShapeError(
            f"cross_entropy: labels run from {marks.min()} to {marks.max()}, expected "
            f"0..{x.shape[1] - 1}"
        )
    return CrossEntropy(marks)(x)


def one_hot(
    labels: NDArray[np.integer[Any]], classes: int, dtype: Any = np.float32
) -> NDArray[Any]:
    """``labels[N]`` -> ``[N, classes]`` with a one at each label.

    Raises
    ------
    ShapeError : a label is outside 0..classes-1.
    """
    marks = np.asarray(labels)
    if marks.size and not 0 <= marks.min() <= marks.max() < classes:
        raise ShapeError(
            f"one_hot: labels run from {marks.min()} to {marks.max()}, expected 0..{classes - 1}"
        )
    target = np.zeros((marks.size, classes), dtype)
    target[np.arange(marks.size), marks] = 1
    return target
