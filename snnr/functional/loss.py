"""Rates and losses."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import ArgumentError, DeviceError, ShapeError
from snnr.kernels import Memory
from snnr.tensor import Function, Tensor
from snnr.tensor.checks import described, expect_tensors
from snnr.tensor.shapes import as_float, laid_out


class MeanTime(Function):
    """Mean over the time axis: the firing rate."""

    owned = True

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return None

    def forward(self, x: Tensor) -> Memory:
        self.shape = x.memory.shape
        out = self.backend.empty(self.shape[1:], x.float_dtype)
        self.backend.mean_time(self._by_step(x.memory), out.reshape((out.size,)))
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.shape, grad.dtype)
        self.backend.mean_time_grad(grad.reshape((grad.size,)), self._by_step(dx))
        return (dx,)

    def _by_step(self, memory: Memory) -> Memory:
        return memory.reshape((self.shape[0], prod(self.shape[1:])))


def mean_time(x: Tensor) -> Tensor:
    """``[T, N, ...]`` -> ``[N, ...]``, the mean over T; of spikes, the firing rate.

    Raises
    ------
    ShapeError : x is static.
    """
    expect_tensors("mean_time", x=x)
    if x.timesteps is None:
        raise ShapeError(f"mean_time: {list(x.shape)} is static; it has no time axis")
    return MeanTime()(x)


class MeanSquaredError(Function):
    """mean((x - target)^2) over all elements."""

    owned = True

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return None

    def forward(self, x: Tensor, target: Tensor) -> Memory:
        self.difference = self.backend.empty(x.memory.shape, x.dtype)
        out = self.backend.empty((), x.dtype)
        self.backend.mse(x.memory, target.memory, self.difference, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.difference.shape, self.difference.dtype)
        self.backend.mse_grad(self.difference, grad, dx)
        if not self.needs[1]:
            return dx, None
        dtarget = self.backend.empty(dx.shape, dx.dtype)
        self.backend.scale(dx, -1.0, dtarget)
        return dx, dtarget


def mse_loss(x: Tensor, target: Tensor | NDArray[Any]) -> Tensor:
    """Mean squared error over all elements, a tensor of one element.

    Parameters
    ----------
    x : ``[N, classes]``, e.g. rates.
    target : the same shape, e.g. from `one_hot`; converted to the dtype of x.

    Raises
    ------
    ShapeError : the shapes differ, or a target that wants a gradient has another dtype.
    """
    expect_tensors("mse_loss", x=x)
    x = as_float(x)
    if not isinstance(target, Tensor):
        array = np.asarray(target)
        if array.dtype.kind not in "fiub":
            raise ArgumentError(
                f"mse_loss: target is {described(target)}, expected a snnr.Tensor or an array of "
                "numbers; of labels make one by snnr.functional.one_hot(labels, classes)"
            )
        target = Tensor(array.astype(x.dtype, copy=False), device=x.device)
    if target.shape != x.shape:
        raise ShapeError(f"mse_loss: input {list(x.shape)} and target {list(target.shape)} differ")
    if target.dtype != x.dtype:
        if target.requires_grad:
            raise ShapeError(f"mse_loss: {x!r} and {target!r} must have one dtype; convert one")
        memory = x.backend.empty(target.memory.shape, x.dtype)
        x.backend.copy(target.memory, memory)
        target = Tensor.from_memory(memory, x.device, target.timesteps, target.layout)
    return MeanSquaredError()(x, laid_out(target, x.layout))


class Labels:
    """Labels ``[N]`` in memory of a device: for several uses, and for others' values in the same
    place.

    Attributes: `memory`, int64 ``[N]``; `device`; the `largest` label, -1 of none.

    Raises
    ------
    ShapeError : they are not whole numbers ``[N]``, or one is negative.
    """

    def __init__(self, labels: ArrayLike, device: str = "cpu") -> None:
        self.device = device
        marks = _whole("Labels", labels)
        self.memory = kernels.backend(device).empty(marks.shape, np.int64)
        self.assign(marks)

    def assign(self, labels: ArrayLike) -> None:
        """Put other labels in.

        Raises
        ------
        ShapeError : as above, or they are not as many.
        """
        marks = _whole("Labels", labels)
        if marks.shape != self.memory.shape:
            raise ShapeError(
                f"{list(marks.shape)} labels do not fit memory of {list(self.memory.shape)}"
            )
        self.largest = int(marks.max(initial=-1))
        _within("Labels", int(marks.min(initial=0)), self.largest, self.largest + 1)
        kernels.backend(self.device).write(marks, self.memory)


def label_mse_loss(x: Tensor, labels: ArrayLike | Labels) -> Tensor:
    """`mse_loss` of ``x[N, classes]`` against one-hot ``labels[N]``, made on the device of x: the
    paper's loss.

    Raises
    ------
    ShapeError : the batch sizes differ or a label is outside 0..classes-1.
    """
    marks = _labels("label_mse_loss", x, labels)
    x = as_float(x)
    target = x.backend.empty(x.memory.shape, x.dtype)
    x.backend.one_hot(marks, target)
    return MeanSquaredError()(x, Tensor.from_memory(target, x.device))


class CrossEntropy(Function):
    """-log softmax(x)[label], averaged over the batch."""

    owned = True

    def __init__(self, labels: Memory) -> None:
        self.labels = labels

    def forward(self, x: Tensor) -> Memory:
        self.probability = self.backend.empty(x.memory.shape, x.dtype)
        out = self.backend.empty((), x.dtype)
        self.backend.cross_entropy(x.memory, self.labels, self.probability, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.probability.shape, self.probability.dtype)
        self.backend.cross_entropy_grad(self.probability, self.labels, grad, dx)
        return (dx,)


def cross_entropy(x: Tensor, labels: ArrayLike | Labels) -> Tensor:
    """Mean cross-entropy of the softmax of ``x[N, classes]`` against integer ``labels[N]``.

    Raises
    ------
    ShapeError : the batch sizes differ or a label is outside 0..classes-1.
    """
    return CrossEntropy(_labels("cross_entropy", x, labels))(as_float(x))


def _labels(name: str, x: Tensor, labels: ArrayLike | Labels) -> Memory:
    """Labels in memory of the device of x, one for each row and each the index of a column."""
    expect_tensors(name, x=x)
    if isinstance(labels, Tensor):
        raise ArgumentError(
            f"{name}: labels is {labels!r}, expected whole numbers [N]: a list, an array, or "
            "snnr.functional.Labels; a target of rates goes to mse_loss"
        )
    shape = tuple(labels.memory.shape) if isinstance(labels, Labels) else np.shape(labels)
    if len(x.shape) != 2 or shape != x.shape[:1]:
        raise ShapeError(
            f"{name}: input {list(x.shape)} must be [N, classes], labels {list(shape)} [N], the "
            "number of a class each; of one-hot ones take labels.argmax(axis=1)"
        )
    if not isinstance(labels, Labels):
        return x.backend.copy_in(checked_labels(name, labels, x.shape[1]))
    if labels.device != x.device:
        raise DeviceError(f"{name}: the labels lie on {labels.device}, the input on {x.device}")
    _within(name, 0, labels.largest, x.shape[1])
    return labels.memory


def checked_labels(name: str, labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Labels as a host array, int64 ``[N]``.

    Raises
    ------
    ShapeError : they are not whole numbers, or outside 0..classes-1.
    """
    marks = _whole(name, labels)
    if marks.size:
        _within(name, int(marks.min()), int(marks.max()), classes)
    return marks


def _whole(name: str, labels: ArrayLike) -> NDArray[np.int64]:
    marks = np.asarray(labels)
    if marks.dtype.kind not in "iu" or marks.ndim != 1:
        raise ShapeError(
            f"{name}: labels {list(marks.shape)} {marks.dtype} must be integers [N]; "
            "convert with .astype(np.int64)"
        )
    return np.ascontiguousarray(marks, np.int64)


def _within(name: str, least: int, largest: int, classes: int) -> None:
    if least < 0 or largest >= classes:
        raise ShapeError(f"{name}: labels run from {least} to {largest}, expected 0..{classes - 1}")


def one_hot(labels: ArrayLike, classes: int, dtype: Any = np.float32) -> NDArray[Any]:
    """``labels[N]`` -> host array ``[N, classes]`` with a one at each label.

    Raises
    ------
    ShapeError : a label is not a whole number in 0..classes-1.
    """
    marks = checked_labels("one_hot", labels, classes)
    target = np.zeros((marks.size, classes), dtype)
    target[np.arange(marks.size), marks] = 1
    return target
