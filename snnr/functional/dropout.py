"""Dropout: one mask for all time steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.errors import ShapeError
from snnr.functional.linear import mask_tensor
from snnr.kernels import Memory
from snnr.layout import Layout
from snnr.tensor import Function, Tensor
from snnr.tensor.checks import expect_tensors


class Dropout(Function):
    """x * mask / (1 - p), the mask the same at every time step."""

    owned = True

    def __init__(self, mask: Tensor, factor: float) -> None:
        self.mask = mask.memory
        self.factor = factor

    def forward(self, x: Tensor) -> Memory:
        self.lead = x.timesteps or 1
        out = self.backend.empty(x.memory.shape, x.float_dtype)
        self._apply(x.memory, out)
        return out

    def backward(self, grad: Memory) -> tuple[Memory | None, ...]:
        self._apply(grad, grad)
        return (grad,)

    def _apply(self, source: Memory, out: Memory) -> None:
        by_step = self.lead, self.mask.size
        self.backend.mask_time(
            source.reshape(by_step), self.mask.reshape((self.mask.size,)), self.factor,
            out.reshape(by_step),
        )  # fmt: skip


def dropout_mask(
    shape: tuple[int, ...], p: float, key: int, counter: int = 0, device: str = "cpu"
) -> Tensor:
    """Mask of ones with probability 1 - p, uint8, of the public shape of one time step.

    The numbers are those of Philox 4x32-10 for `key` and `counter` (Salmon et al., SC 2011), the
    same on every device; `snnr.kernels.philox_blocks` of the size says by how much the counter
    moves on.

    Raises
    ------
    ShapeError : p is outside [0, 1).
    """
    _check_p("dropout_mask", p)
    start = kernels.backend(device).copy_in(np.asarray([counter], "uint64"))
    return next_mask(shape, p, key, start, device)


def _check_p(name: str, p: Any) -> None:
    real = isinstance(p, int | float | np.floating | np.integer) and not isinstance(p, bool)
    if not real or not 0 <= p < 1:
        raise ShapeError(f"{name}: p (={p!r}) must lie in [0, 1)")


def next_mask(shape: tuple[int, ...], p: float, key: int, counter: Memory, device: str) -> Tensor:
    """`dropout_mask` with a counter in memory of the device, uint64 ``[1]``, which moves on."""
    backend = kernels.backend(device)
    layout = Layout.of(len(shape), None)
    memory = backend.empty(layout.memory_shape(shape), "uint8")
    backend.dropout_mask(key, counter, p, memory)
    return Tensor.from_memory(memory, device, layout=layout)


def dropout(x: Tensor, p: float, mask: "Tensor | NDArray[Any]") -> Tensor:
    """Multiply by ``mask / (1 - p)``; `mask` has the shape of one time step (`dropout_mask`).

    Raises
    ------
    ShapeError : p is outside [0, 1), or the mask has another shape or dtype.
    """
    expect_tensors("dropout", x=x)
    _check_p("dropout", p)
    return Dropout(mask_tensor(mask, x, "dropout"), 1.0 / (1.0 - p))(x)
