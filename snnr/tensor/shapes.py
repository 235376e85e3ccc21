"""Functions that leave values alone: another dtype, another layout, other axes, a part."""

from math import prod
from typing import Any

from snnr.kernels import Memory
from snnr.layout import Layout, Shape
from snnr.tensor.function import Function
from snnr.tensor.tensor import Tensor


class Convert(Function):
    """The same values in another floating dtype."""

    owned = True

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        return inputs[0].layout if inputs[0] is not None else None

    def forward(self, x: Tensor) -> Memory:
        out = self.backend.empty(x.memory.shape, self.dtype)
        self.backend.copy(x.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        return (grad,)  # the tape converts it


class Reorder(Function):
    """The same values in another layout."""

    owned = True

    def __init__(self, target: Layout) -> None:
        self.target = target

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        return self.target

    def forward(self, x: Tensor) -> Memory:
        self.source = x.layout
        return self._moved(x.memory, x.layout, self.target)

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        return (self._moved(grad, self.target, self.source),)

    def _moved(self, memory: Memory, source: Layout, target: Layout) -> Memory:
        axes = source.axes_to(target, len(memory.shape))
        out = self.backend.empty([memory.shape[axis] for axis in axes], memory.dtype)
        self.backend.reorder(memory, axes, out)
        return out


class Reshaped(Function):
    """What gives the result a public shape, a time axis and a layout of its own.

    shape, steps, lying : those of the result.
    """

    owned = True

    def __init__(self, shape: Shape, steps: int | None, lying: Layout) -> None:
        self.shape = shape
        self.steps = steps
        self.lying = lying

    def timesteps(self, *inputs: Tensor | None) -> int | None:
        return self.steps

    def layout(self, *inputs: Tensor | None) -> Layout | None:
        return self.lying

    def wanted(self) -> Shape:
        """Shape of the result's memory."""
        return self.lying.memory_shape(self.shape)


class View(Reshaped):
    """The same memory in another shape."""

    def forward(self, x: Tensor) -> Memory:
        self.source = x.memory.shape
        return x.memory.reshape(self.wanted())

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        return (grad.reshape(self.source),)


class Stretch(Reshaped):
    """Repeated along axes of length one."""

    def forward(self, x: Tensor) -> Memory:
        self.source = x.memory.shape
        out = self.backend.empty(self.wanted(), x.dtype)
        self.backend.stretch(x.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.source, grad.dtype)
        self.backend.sum_axes(grad, dx)
        return (dx,)


class SumAxes(Reshaped):
    """Summed over the axes that have length one in the result."""

    def forward(self, x: Tensor) -> Memory:
        self.source = x.memory.shape
        out = self.backend.empty(self.wanted(), x.float_dtype)
        if prod(self.shape) == 1:
            self.backend.total(x.memory, out.reshape(()))
        else:
            self.backend.sum_axes(x.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.source, grad.dtype)
        self.backend.stretch(grad, dx)
        return (dx,)


class Window(Reshaped):
    """A part: from `first` on in steps, along each axis in memory."""

    def __init__(
        self, shape: Shape, steps: int | None, lying: Layout, first: Shape, step: Shape
    ) -> None:
        super().__init__(shape, steps, lying)
        self.places = lying.memory_shape(first), lying.memory_shape(step)

    def forward(self, x: Tensor) -> Memory:
        self.source = x.memory.shape
        out = self.backend.empty(self.wanted(), x.dtype)
        self.backend.window(x.memory, *self.places, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        dx = self.backend.empty(self.source, grad.dtype)
        self.backend.window_grad(grad, *self.places, dx)
        return (dx,)


def laid_out(x: Tensor, layout: Layout) -> Tensor:
    """x itself where it lies so, else a reordered copy on the tape."""
    return x if x.layout is layout else Reorder(layout)(x)


def converted(x: Tensor, dtype: Any) -> Tensor:
    """x itself if it is of that dtype or holds spikes, else converted on the tape."""
    return x if x.dtype in (dtype, "uint8") else Convert(dtype)(x)


def as_float(x: Tensor, dtype: Any = None) -> Tensor:
    """Spikes as floats, of this dtype or of their own; floats as they are."""
    if x.dtype != "uint8":
        return x
    return Convert(x.float_dtype if dtype is None else dtype)(x)


def rows_of(memory: Memory) -> Memory:
    """``[.., C]`` as ``[R, C]``."""
    return memory.reshape((prod(memory.shape[:-1]), memory.shape[-1]))


def fitted(x: Tensor, shape: Shape, steps: int | None) -> Tensor:
    """x with axes of length one put in or taken out, in the layout of activations."""
    if (x.shape, x.timesteps) == (shape, steps):
        return x
    target = Layout.of(len(shape), steps)
    exchanged = len(x.layout.value)
    if target is x.layout and shape[len(shape) - exchanged :] == x.shape[x.ndim - exchanged :]:
        return View(shape, steps, target)(x)
    return laid_out(View(shape, steps, Layout.PLAIN)(laid_out(x, Layout.PLAIN)), target)
