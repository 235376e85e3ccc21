"""Linear map, dense or driven by spikes."""

from typing import Any

from numpy.typing import NDArray

from snnr.errors import DeviceError, ShapeError
from snnr.kernels import Hints, Memory, Packed
from snnr.layout import Layout
from snnr.tensor import Function, Parameter, Tensor
from snnr.tensor.checks import expect_tensors
from snnr.tensor.shapes import converted, laid_out, rows_of


class Linear(Function):
    """y = factor * (x * mask) @ weight.T + bias over the last axis."""

    owned = True

    def __init__(self, mask: Tensor | None, factor: float, hints: Hints) -> None:
        self.mask = None if mask is None else mask.memory
        self.factor = factor
        self.hints = hints
        hints.needed = self.mask

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Memory:
        self.x_shape = x.memory.shape
        self.rows = rows_of(x.memory)
        if self.mask is not None:
            masked = self.backend.empty(self.rows.shape, self.rows.dtype)
            steps = x.timesteps or 1, self.mask.size
            self.backend.mask_time(
                self.rows.reshape(steps), self.mask.reshape((self.mask.size,)), 1.0,
                masked.reshape(steps),
            )  # fmt: skip
            self.rows = masked
        self.weight = weight.memory
        self.parameter = weight
        outputs = self.weight.shape[1]
        out = self.backend.empty((self.rows.shape[0], outputs), weight.dtype)
        self.backend.linear(
            self.rows, self.weight, None if bias is None else bias.memory, out, self.factor,
            self.hints,
        )  # fmt: skip
        return out.reshape((*self.x_shape[:-1], outputs))

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        backend = self.backend
        dy = rows_of(grad)
        dx = dw = db = None
        if self.needs[1]:
            dw = room_for_gradient(self.parameter, self.hints)
            backend.linear_weight_grad(self.rows, dy, dw, self.factor, self.hints)
            keep_wanted(self.parameter, dw)
        if self.needs[2]:
            db = backend.empty(dy.shape[1], dy.dtype)
            backend.bias_grad(dy, db)
        if self.needs[0]:
            flat = backend.empty(self.rows.shape, dy.dtype)
            backend.linear_input_grad(dy, self.weight, flat, self.factor, self.hints)
            dx = flat.reshape(self.x_shape)
        return dx, dw, db


def hints_of(weight: Tensor) -> Hints:
    """What a parameter knows of itself; nothing of any other tensor."""
    return weight.hints() if isinstance(weight, Parameter) else Hints()


def room_for_gradient(weight: Tensor, hints: Hints) -> Memory:
    """Memory for the gradient of a weight, packed where no more is wanted."""
    packed = None
    if isinstance(weight, Parameter) and weight.gradient == "survivors":
        packed = weight.backend.packed_gradient(weight.memory, hints)
    return weight.backend.empty(weight.memory.shape, weight.dtype) if packed is None else packed


def keep_wanted(weight: Tensor, gradient: Memory) -> None:
    """What is not wanted is 0, also where a host made all of the gradient. A device leaves it to
    who looks (`Optimizer.narrow`): its recorded steps would gain nothing."""
    if isinstance(gradient, Packed) or not isinstance(weight, Parameter):
        return
    if weight.gradient == "survivors" and weight.backend.host and weight.connectivity < 1:
        weight.backend.keep_survivors(weight.memory, gradient)


def fitting_bias(name: str, bias: Tensor | None, weight: Tensor) -> Tensor | None:
    """The bias in the weight's dtype.

    Raises
    ------
    ShapeError : it has another shape than ``[out]``, or the weight is not of floats.
    """
    if weight.dtype == "uint8":
        raise ShapeError(
            f"{name}: the weight {weight!r} holds spikes; make it of floats: .astype(np.float32)"
        )
    if bias is None:
        return None
    expect_tensors(name, bias=bias)
    if bias.shape != weight.shape[:1]:
        raise ShapeError(f"{name}: bias {list(bias.shape)} must be [{weight.shape[0]}]")
    return converted(bias, weight.dtype)


def mask_tensor(mask: "Tensor | NDArray[Any]", x: Tensor, name: str) -> Tensor:
    """A mask of zeros and ones, uint8, of the shape of one time step of x.

    Raises
    ------
    ShapeError : it is of another shape or dtype.
    DeviceError : it lies on another device.
    """
    if tuple(mask.shape) != x.sample_shape or mask.dtype != "uint8":
        raise ShapeError(
            f"{name}: mask {list(mask.shape)} {mask.dtype} must be uint8 with the shape of one "
            f"time step, {list(x.sample_shape)}"
        )
    if not isinstance(mask, Tensor):
        return Tensor(mask, device=x.device)
    if mask.device != x.device:
        raise DeviceError(f"{name}: the mask lies on {mask.device}, the input on {x.device}")
    return mask


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: "Tensor | NDArray[Any] | None" = None,
    factor: float = 1.0,
) -> Tensor:
    """``factor * (x * mask) @ weight.T + bias``.

    Parameters
    ----------
    x : ``[T, N, in]`` or static ``[N, in]``; float (converted to the weight's dtype), or spikes.
    weight : ``[out, in]``.
    bias : ``[out]`` or None.
    mask : ``[N, in]`` uint8, the same at every time step (a dropout mask fused into the map), with
        `factor` = 1/(1 - p).

    Returns
    -------
    ``[.., out]`` of the weight's dtype.

    Raises
    ------
    ShapeError : the last axis of x is not ``in``, or bias or mask do not fit.
    """
    expect_tensors("linear", x=x, weight=weight)
    if len(weight.shape) != 2 or len(x.sample_shape) != 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: input {list(x.shape)} does not fit weight {list(weight.shape)} "
            f"([out, in]): it must be [T, N, in] or static [N, in] with in={weight.shape[-1]}; "
            "flatten images first"
        )
    bias = fitting_bias("linear", bias, weight)
    kept = None if mask is None else mask_tensor(mask, x, "linear")
    x = converted(x, weight.dtype)
    return Linear(kept, factor, hints_of(weight))(x, laid_out(weight, Layout.LINEAR), bias)
