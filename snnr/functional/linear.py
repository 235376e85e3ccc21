"""Linear map, dense or driven by spikes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ShapeError
from snnr.kernels.buffers import empty
from snnr.tensor import Function, Tensor

Array = NDArray[Any]


class Linear(Function):
    """y = factor * (x * mask) @ weight.T + bias over the last axis."""

    def __init__(self, mask: Array | None, factor: float) -> None:
        self.mask = mask
        self.factor = factor

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Array:
        lead, features = x.shape[:-1], x.shape[-1]
        self.x_shape = x.shape
        rows = np.ascontiguousarray(x.data).reshape(-1, features)
        if self.mask is not None:
            masked = empty(rows.shape, rows.dtype)
            size = self.mask.size
            self.kernels["mask_time"](
                rows.reshape(-1, size), self.mask.reshape(-1), 1.0, masked.reshape(-1, size)
            )
            rows = masked
        self.rows = rows
        self.memo: dict[str, Any] = {}
        self.weight = np.ascontiguousarray(weight.data.T)
        self.connectivity = getattr(weight, "connectivity", 1.0)
        out = empty((rows.shape[0], weight.shape[0]), weight.dtype)
        self.kernels["linear"](
            rows, self.weight, None if bias is None else bias.data, out, self.factor,
            self.connectivity, self.memo,
        )  # fmt: skip
        return out.reshape(*lead, weight.shape[0])

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        dy = np.ascontiguousarray(grad).reshape(-1, self.weight.shape[1])
        dx = dw = db = None
        if self.needs[1]:
            buffer = empty(self.weight.shape, self.weight.dtype)
            self.kernels["linear_weight_grad"](self.rows, dy, buffer, self.factor, self.memo)
            dw = buffer.T
        if self.needs[2]:
            db = np.empty(dy.shape[1], dy.dtype)
            self.kernels["bias_grad"](dy, db)
        if self.needs[0]:
            dx = empty(self.rows.shape, dy.dtype)
            self.kernels["linear_input_grad"](
                dy, self.weight, dx, self.factor, self.connectivity
            )
            if self.mask is not None:
                size = self.mask.size
                flat = dx.reshape(-1, size)
                self.kernels["mask_time"](flat, self.mask.reshape(-1), 1.0, flat)
            dx = dx.reshape(self.x_shape)
        return dx, dw, db


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: NDArray[np.uint8] | None = None,
    factor: float = 1.0,
) -> Tensor:
    """``factor * (x * mask) @ weight.T + bias``.

    Parameters
    ----------
    x : ``[T, N, in]`` or static ``[N, in]``; float, or uint8 spikes.
    weight : ``[out, in]``.
    bias : ``[out]`` or None.
    mask : ``[N, in]`` uint8, the same at every time step (a dropout mask fused into the map), with
        `factor` = 1/(1 - p).

    Raises
    ------
    ShapeError : the last axis of x is not ``in``, or bias or mask do not fit.
    """
    if weight.data.ndim != 2 or x.data.ndim < 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: input {list(x.shape)} does not fit weight {list(weight.shape)} "
            f"([out, in]); the last axis of the input must be in={weight.shape[-1]}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias {list(bias.shape)} must be [{weight.shape[0]}]")
    if mask is not None and (mask.shape != x.shape[-2:] or mask.dtype != np.uint8):
        raise ShapeError(
            f"linear: mask {list(mask.shape)} {mask.dtype} must be uint8 {list(x.shape[-2:])}"
        )
    return Linear(mask, factor)(x, weight, bias)
