"""Tensor, Function and the tape: reverse-mode differentiation, one node per layer and sequence."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import DeviceError, ShapeError

_recording = True


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this block no operation is recorded for the backward pass."""
    global _recording
    before, _recording = _recording, False
    try:
        yield
    finally:
        _recording = before


class Tensor:
    """An array on the tape.

    Parameters
    ----------
    data : array of the public shape: a sequence ``[T, N, ...]`` or, static, ``[N, ...]``.
    requires_grad : collect the gradient in `.grad` (leaves) or pass it on.
    timesteps : T for a sequence (then ``data.shape[0] == T``), None for a static tensor.
    device : backend whose kernels work on it.

    Raises
    ------
    ShapeError : the data is neither float32, float64 nor uint8, or its first axis is not T.
    """

    __slots__ = ("__weakref__", "data", "device", "grad", "node", "requires_grad", "timesteps")

    def __init__(
        self,
        data: ArrayLike,
        requires_grad: bool = False,
        timesteps: int | None = None,
        device: str = "cpu",
    ) -> None:
        array = np.asarray(data)
        if array.dtype not in (np.float32, np.float64, np.uint8):
            raise ShapeError(
                f"a tensor holds float32, float64 or uint8 (spikes), not {array.dtype}; "
                "convert with .astype(np.float32)"
            )
        if timesteps is not None and (array.ndim < 2 or array.shape[0] != timesteps):
            raise ShapeError(
                f"a sequence of {timesteps} time steps needs shape [T, N, ...] with T={timesteps}, "
                f"not {list(array.shape)}"
            )
        self.data: NDArray[Any] = array
        self.grad: NDArray[Any] | None = None
        self.requires_grad = requires_grad
        self.timesteps = timesteps
        self.device = device
        self.node: Function | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def numpy(self) -> NDArray[Any]:
        """The data, not a copy."""
        return self.data

    def item(self) -> float:
        """The value of a one-element tensor."""
        return float(self.data.item())

    def detach(self) -> "Tensor":
        """The same data, cut off the tape."""
        return Tensor(self.data, timesteps=self.timesteps, device=self.device)

    def __repr__(self) -> str:
        time = f", T={self.timesteps}" if self.timesteps else ""
        return f"Tensor({list(self.shape)}, {self.dtype}{time}, {self.device})"

    def backward(self, grad: NDArray[Any] | None = None) -> None:
        """Propagate `grad` (default 1 for a single element) to every leaf that requires it.

        Gradients are added to `.grad`; every node is freed as soon as it has been used.

        Raises
        ------
        ShapeError : `grad` is missing for more than one element, or has another shape.
        RuntimeError : the graph was freed by an earlier backward pass.
        """
        if grad is None:
            if self.data.size != 1:
                raise ShapeError(
                    f"backward() from a tensor of shape {list(self.shape)} needs the gradient of "
                    "that shape; only a single element has the default 1"
                )
            grad = np.ones(self.shape, self.data.dtype)
        grad = np.asarray(grad)
        if grad.shape != self.shape:
            raise ShapeError(
                f"the gradient has shape {list(grad.shape)}, the tensor {list(self.shape)}"
            )
        if self.node is None:
            if self.requires_grad:
                self.grad = grad.copy() if self.grad is None else self.grad + grad
            return
        pending: dict[Function, NDArray[Any]] = {self.node: grad}
        for node in _reversed_order(self.node):
            received = pending.pop(node, None)
            inputs = node.release()
            if received is None:
                continue
            for tensor, part in zip(inputs, node.backward(received), strict=True):
                if tensor is None or part is None or not tensor.requires_grad:
                    continue
                # never in place: a gradient may be a view of another one
                if tensor.node is None:
                    tensor.grad = part if tensor.grad is None else tensor.grad + part
                elif tensor.node in pending:
                    pending[tensor.node] = pending[tensor.node] + part
                else:
                    pending[tensor.node] = part
            node.clear()


def _reversed_order(root: "Function") -> Iterator["Function"]:
    """Nodes from the root towards the leaves, each after all nodes that use it; no recursion."""
    order: list[Function] = []
    seen: set[Function] = set()
    stack: list[tuple[Function, bool]] = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            continue
        if node in seen:
            continue
        seen.add(node)
        stack.append((node, True))
        for tensor in node.tensors():
            if tensor is not None and tensor.node is not None and tensor.node not in seen:
                stack.append((tensor.node, False))
    while order:
        yield order.pop()


class Function(ABC):
    """A differentiable operation; the instance is the context between forward and backward.

    A subclass stores its settings in `__init__`, computes an array from the arrays of its inputs in
    `forward` and returns one gradient per input (None where there is none) from `backward`. What
    it saves on `self` in between is dropped after use.
    """

    _inputs: tuple[Tensor | None, ...] | None = None
    kernels: Mapping[str, Callable[..., Any]]

    @abstractmethod
    def forward(self, *inputs: Any) -> NDArray[Any]:
        """The result's data, from the input tensors; may save what backward needs on `self`."""

    @abstractmethod
    def backward(self, grad: NDArray[Any]) -> tuple[NDArray[Any] | None, ...]:
        """One gradient per input, None where there is none, from that of the result."""

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        """Time steps of the result: those of the first input unless a subclass says otherwise."""
        first = inputs[0]
        return first.timesteps if first is not None else None

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Run forward and, where a gradient is wanted, record the node."""
        present = [t for t in inputs if t is not None]
        device = present[0].device
        for tensor in present:
            if tensor.device != device:
                raise DeviceError(
                    f"{type(self).__name__} got tensors on {device} and {tensor.device}; "
                    "move the whole network to one device"
                )
        self.kernels = kernels.table(device)
        self.needs = tuple(t is not None and t.requires_grad for t in inputs)
        data = self.forward(*inputs)
        result = Tensor(data, timesteps=self.timesteps(*inputs), device=device)
        if _recording and any(self.needs):
            result.requires_grad = True
            result.node = self
            self._inputs = inputs
        else:
            self.clear()
        return result

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Inputs of a recorded node."""
        if self._inputs is None:
            raise RuntimeError(
                "this part of the graph was freed by an earlier backward(); run forward again"
            )
        return self._inputs

    def release(self) -> tuple[Tensor | None, ...]:
        """Hand the inputs over to the backward pass: a node serves once."""
        inputs = self.tensors()
        self._inputs = None
        return inputs

    def clear(self) -> None:
        """Drop what was saved for the backward pass."""
        self.__dict__.clear()


class Parameter(Tensor):
    """A leaf that an optimizer moves.

    Parameters
    ----------
    data : initial values, public shape; the memory order is kept (kernels like theirs better).
    name : unique within a network, e.g. ``"0_linear.weight"``.
    role : "weight" (prunable), "bias", "scale" or "shift".
    """

    __slots__ = ("connectivity", "name", "role")

    def __init__(self, data: ArrayLike, name: str = "", role: str = "weight") -> None:
        super().__init__(data, requires_grad=True)
        self.name = name
        self.role = role
        #: share of entries that are not zero, kept up to date by the optimizer: a hint for speed
        self.connectivity = 1.0

    def to(self, device: str) -> Self:
        """Choose the backend; returns self."""
        self.device = device
        return self

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {list(self.shape)}, {self.role})"
