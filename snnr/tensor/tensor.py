"""Tensor; no_grad."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnr import kernels
from snnr.errors import ArgumentError, DeviceError, ShapeError, TapeError, UnknownName
from snnr.kernels import Backend, Memory, Packed
from snnr.layout import Layout
from snnr.tensor.names import ELSEWHERE
from snnr.tensor.tape import propagate

if TYPE_CHECKING:
    from snnr.tensor.function import Function

#: belongs to the calling thread or task: a no_grad block elsewhere changes nothing here
_recording: ContextVar[bool] = ContextVar("recording", default=True)

FLOATS = (np.float32, np.float64)


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this block, in this thread or task, nothing is recorded for the backward pass."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def is_recording() -> bool:
    """Whether operations are recorded here."""
    return _recording.get()


class Tensor:
    """Memory of a backend on the tape.

    Parameters
    ----------
    data : array of the public shape: a sequence ``[T, N, ...]`` or, static, ``[N, ...]``; float32,
        float64, or uint8 spikes (0 or 1). On a host backend memory is the very array where it
        lies contiguous in kernel layout (images channels-last), else a copy.
    requires_grad : collect the gradient in `.grad` (leaves of floats) or pass it on.
    timesteps : T for a sequence (then ``data.shape[0] == T``), None for a static tensor.
    device : backend whose kernels work on it.

    Attributes: `memory`, in kernel layout; `layout`; `float_dtype`, in which its gradient and what
    is computed from it is told (its own dtype unless it holds spikes).

    Raises
    ------
    ShapeError : the data is neither float32, float64 nor spikes, or its first axis is not T.
    DeviceError : there is no such device.
    """

    __slots__ = (
        "__weakref__", "device", "float_dtype", "grad_memory", "layout", "memory", "node",
        "requires_grad", "timesteps",
    )  # fmt: skip

    memory: Memory
    grad_memory: Memory | None
    node: "Function | None"

    def __init__(
        self,
        data: ArrayLike,
        requires_grad: bool = False,
        timesteps: int | None = None,
        device: str = "cpu",
    ) -> None:
        array = _checked(data)
        whole = isinstance(timesteps, int | np.integer) and not isinstance(timesteps, bool)
        if timesteps is not None and not whole:
            raise ArgumentError(f"timesteps (={timesteps!r}) must be a whole number or None")
        if timesteps is not None and (array.ndim < 2 or array.shape[0] != timesteps):
            raise ShapeError(
                f"a sequence of {timesteps} time steps needs shape [T, N, ...] with T={timesteps}, "
                f"not {list(array.shape)}"
            )
        layout = Layout.of(array.ndim, timesteps)
        memory = kernels.backend(device).copy_in(layout.to_memory(array))
        self._set(memory, device, timesteps, layout)
        self.requires_grad = requires_grad

    def _set(self, memory: Memory, device: str, timesteps: int | None, layout: Layout) -> None:
        self.memory = memory
        self.device = device
        self.timesteps = timesteps
        self.layout = layout
        self.float_dtype = np.dtype(np.float32) if memory.dtype == np.uint8 else memory.dtype
        self.requires_grad = False
        self.grad_memory = None
        self.node = None

    @classmethod
    def from_memory(
        cls,
        memory: Memory,
        device: str,
        timesteps: int | None = None,
        layout: Layout | None = None,
        float_dtype: Any = None,
    ) -> "Tensor":
        """A tensor of memory that lies in kernel layout already."""
        tensor = Tensor.__new__(Tensor)
        chosen = Layout.of(len(memory.shape), timesteps) if layout is None else layout
        tensor._set(memory, device, timesteps, chosen)
        if float_dtype is not None and memory.dtype == np.uint8:
            tensor.float_dtype = np.dtype(float_dtype)
        return tensor

    @property
    def backend(self) -> Backend:
        """The backend of its device."""
        return kernels.backend(self.device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Public shape."""
        return self.layout.public_shape(self.memory.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements; uint8 are spikes."""
        return np.dtype(self.memory.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.memory.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.memory.size)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Public shape without the time axis: ``[N, ...]``."""
        return self.shape if self.timesteps is None else self.shape[1:]

    def numpy(self) -> NDArray[Any]:
        """Host array of the public shape: a view on a host backend, else a copy."""
        return self.layout.to_public(self.backend.copy_out(self.memory))

    def assign(self, values: ArrayLike) -> None:
        """Put new values in, converted to the tensor's dtype.

        Raises
        ------
        ShapeError : they have another shape, or spikes are not 0 or 1.
        """
        array = np.asarray(values)
        if array.shape != self.shape:
            raise ShapeError(
                f"values of shape {list(array.shape)} do not fit a tensor of {list(self.shape)}"
            )
        if self.dtype == np.uint8:
            array = _checked(array)
        self.backend.write(self.layout.to_memory(array), self.memory)

    def _host(self, what: str) -> None:
        if not self.backend.host:
            raise DeviceError(
                f".{what} of a tensor on {self.device} would copy it in silence; use .numpy() to "
                "copy it to the host and .assign(array) to write it"
            )

    @property
    def data(self) -> NDArray[Any]:
        """NumPy view of the public shape, on host backends; elsewhere use `numpy` and `assign`.

        Raises
        ------
        DeviceError : the memory is not host memory.
        """
        self._host("data")
        return self.layout.to_public(self.memory)

    @data.setter
    def data(self, values: ArrayLike) -> None:
        self._host("data")
        self.assign(values)

    @property
    def grad(self) -> NDArray[Any] | None:
        """The gradient, as `data`: a NumPy view of the public shape; None when there is none."""
        gradient = self.whole_gradient()
        if gradient is None:
            return None
        self._host("grad")
        return self.layout.to_public(gradient)

    @grad.setter
    def grad(self, values: ArrayLike | None) -> None:
        self.grad_memory = None if values is None else self._as_gradient(values)

    def grad_numpy(self) -> NDArray[Any] | None:
        """The gradient as `numpy` gives the data."""
        gradient = self.whole_gradient()
        if gradient is None:
            return None
        return self.layout.to_public(self.backend.copy_out(gradient))

    def whole_gradient(self) -> Memory | None:
        """Memory of the gradient; one that is packed is a whole from now on, so that what is
        written to it counts."""
        gradient = self.grad_memory
        if isinstance(gradient, Packed):
            self.grad_memory = self.backend.empty(gradient.shape, gradient.dtype)
            self.backend.copy(gradient, self.grad_memory)
        return self.grad_memory

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.data, dtype=dtype, copy=copy)

    def item(self) -> float:
        """The value of a one-element tensor.

        Raises
        ------
        ShapeError : it has more elements, or none.
        """
        if self.size != 1:
            raise ShapeError(f"item() needs one element, this tensor has shape {list(self.shape)}")
        return float(self.backend.copy_out(self.memory).item())

    def __float__(self) -> float:
        return self.item()

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if form else repr(self)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ArgumentError(
                f"{self!r} has more than one element and is neither true nor false; ask its "
                "values, e.g. x.numpy().any(), or compare with None: `x is None`"
            )
        return self.item() != 0

    def __len__(self) -> int:
        if self.ndim == 0:
            raise ArgumentError(f"{self!r} has no axis and so no length; its value is x.item()")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        return iter([self[i] for i in range(len(self))])

    def __getattr__(self, name: str) -> Any:
        raise UnknownName(type(self).__name__, name, lambda: dir(type(self)), ELSEWHERE)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **others: Any) -> Any:
        """A NumPy number on the left of an operator is a number like any other."""
        apply = _OPERATORS.get(ufunc.__name__)
        if apply is None or method != "__call__" or len(inputs) != 2 or others:
            raise ArgumentError(
                f"np.{ufunc.__name__} of {self!r}: NumPy computes on arrays, off the tape; give it "
                "x.numpy(), or stay on the tape with + - * / **, sum, mean and snnr.functional"
            )
        left, right = (one.item() if isinstance(one, np.generic) else one for one in inputs)
        if isinstance(left, Tensor):
            return apply(left, right)
        return getattr(right, f"__r{apply.__name__.strip('_')}__")(left)

    # On the tape; see `snnr.tensor.operators` for what they mean

    def __add__(self, other: "Tensor | float") -> "Tensor":
        return _on_tape().add(self, other)

    __radd__ = __add__

    def __sub__(self, other: "Tensor | float") -> "Tensor":
        return _on_tape().subtract(self, other)

    def __rsub__(self, other: float) -> "Tensor":
        return _on_tape().subtract_from(self, other)

    def __mul__(self, other: "Tensor | float") -> "Tensor":
        return _on_tape().multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: "Tensor | float") -> "Tensor":
        return _on_tape().divide(self, other)

    def __rtruediv__(self, other: float) -> "Tensor":
        return _on_tape().divide_into(self, other)

    def __pow__(self, exponent: float) -> "Tensor":
        return _on_tape().power(self, exponent)

    def __neg__(self) -> "Tensor":
        return _on_tape().multiply(self, -1.0)

    def __matmul__(self, other: Any) -> "Tensor":
        raise ArgumentError(
            f"@ of {self!r}: there is no product of matrices by operator; "
            "snnr.functional.linear(x, weight) is x @ weight.T"
        )

    def __getitem__(self, key: Any) -> "Tensor":
        """A part, by whole numbers, slices, ``...`` and None, as NumPy indexes the public shape.

        A whole number on the time axis gives one time step, a static tensor; a slice of it stays a
        sequence.

        Raises
        ------
        ShapeError : an index is out of range (an IndexError too).
        ArgumentError : the index is an array or something else.
        """
        return _on_tape().taken(self, key)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        """Sum over axes of the public shape (None: all), of spikes a float.

        Over the time axis, axis 0 of a sequence, the result is static; with `keepdims` it is a
        sequence of one step.

        Raises
        ------
        ShapeError : there is no such axis.
        """
        return _on_tape().sum_of(self, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        """Mean over axes, as `sum`; of spikes over axis 0 of a sequence, the firing rate.

        Raises
        ------
        ShapeError : there is no such axis, or nothing along it.
        """
        return _on_tape().mean_of(self, axis, keepdims)

    def detach(self) -> "Tensor":
        """The same memory, cut off the tape."""
        return Tensor.from_memory(
            self.memory, self.device, self.timesteps, self.layout, self.float_dtype
        )

    def __repr__(self) -> str:
        time = f", T={self.timesteps}" if self.timesteps else ""
        return f"Tensor({list(self.shape)}, {self.dtype}{time}, {self.device})"

    def _as_gradient(self, values: "ArrayLike | Tensor") -> Memory:
        """Fresh memory with the values of a gradient of this tensor, in its float dtype."""
        array = values.numpy() if isinstance(values, Tensor) else np.asarray(values)
        if array.shape != self.shape:
            raise ShapeError(
                f"the gradient has shape {list(array.shape)}, the tensor {list(self.shape)}"
            )
        memory = self.backend.empty(self.memory.shape, self.float_dtype)
        self.backend.write(self.layout.to_memory(array), memory)
        return memory

    def backward(self, grad: "ArrayLike | Tensor | None" = None) -> None:
        """Propagate `grad` (default 1 for a single element) to every leaf that requires it.

        Gradients are added to `.grad`; every node is freed as soon as it has been used. `grad` is
        converted to the tensor's float dtype and never changed.

        Raises
        ------
        ShapeError : `grad` is missing for more than one element, or has another shape.
        TapeError : the tensor is off the tape, or the graph was freed by an earlier backward pass.
        """
        if not self.requires_grad:
            raise TapeError(
                "backward() from a tensor that is off the tape: nothing it was computed from "
                "requires a gradient, or it was computed within no_grad()"
            )
        if grad is None:
            if self.size != 1:
                raise ShapeError(
                    f"backward() from a tensor of shape {list(self.shape)} needs the gradient of "
                    "that shape; only a single element has the default 1"
                )
            start = self.backend.empty(self.memory.shape, self.float_dtype)
            self.backend.fill(start, 1)
        else:
            start = self._as_gradient(grad)
        propagate(self, start)


#: NumPy's operators by the name of their ufunc
_OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "power": operator.pow,
}  # fmt: skip


def _on_tape() -> Any:
    """The operators, which are made of tensors."""
    from snnr.tensor import operators

    return operators


def _checked(data: ArrayLike) -> NDArray[Any]:
    """The array, refused unless it is float32, float64 or spikes."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ArgumentError(
            f"a tensor is made of an array or of lists of equal lengths: {error}"
        ) from None
    if array.dtype == np.uint8:
        largest = int(array.max(initial=0))
        if largest > 1:
            raise ShapeError(
                f"a uint8 tensor holds spikes, 0 or 1, not {largest}; convert counts and images "
                "with .astype(np.float32)"
            )
    elif array.dtype not in FLOATS:
        raise ShapeError(
            f"a tensor holds float32, float64 or uint8 (spikes), not {array.dtype}; "
            "convert with .astype(np.float32)"
        )
    return array
