"""Dropout, with random numbers that a seed and a count fix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr import functional as F
from snnr import kernels
from snnr.errors import ConfigError
from snnr.functional.dropout import next_mask
from snnr.nn.arrays import Seed, Shape, _Empty, generator
from snnr.nn.base import Layer
from snnr.nn.checks import number
from snnr.tensor import Tensor


class Draws:
    """Where a layer is in its sequence of random numbers: Philox 4x32-10 of `key`, from block
    `counter` on; both are below 2**64.

    The counter lies in `memory` of a device, uint64 ``[1]``, where the kernel that draws moves it
    on: reading it waits for the device.
    """

    def __init__(self, key: int, counter: int = 0, device: str = "cpu") -> None:
        self.key = key
        self._lie(device, counter)

    def _lie(self, device: str, counter: int) -> None:
        self.device = device
        self.memory = kernels.backend(device).empty(1, "uint64")
        self.counter = counter

    @property
    def counter(self) -> int:
        return int(kernels.backend(self.device).copy_out(self.memory)[0])

    @counter.setter
    def counter(self, value: int) -> None:
        kernels.backend(self.device).write(np.full(1, value, "uint64"), self.memory)

    def to(self, device: str) -> None:
        """Move the counter to another device."""
        if device != self.device:
            self._lie(device, self.counter)

    def __repr__(self) -> str:
        return f"Draws(key={self.key}, counter={self.counter})"


class Dropout(Layer, launches_alike=True):
    """Zero each unit with probability p, the same units at every time step, scale by 1/(1-p).

    The masks depend on the layer's key, drawn from `rng`, and on how many numbers were used before,
    not on the device; a checkpoint saves both (`draws`).
    """

    def __init__(self, p: float = 0.5, rng: Seed | _Empty = None) -> None:
        p = number("Dropout", "p", p)
        if not 0 <= p < 1:
            raise ConfigError(f"Dropout: p (={p}) must lie in [0, 1)")
        self.p = p
        key = 0 if isinstance(rng, _Empty) else int(generator(rng).integers(1 << 63))
        self.draws = Draws(key)
        #: in place of random masks, e.g. for gradient checks: uint8 of the shape of one time step
        self.fixed_mask: Tensor | NDArray[Any] | None = None

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def active(self) -> bool:
        """Whether the layer does anything now."""
        return self.training and self.p > 0

    def mask(self, x: Tensor) -> "Tensor | NDArray[Any]":
        """A fresh mask for one time step of x (or `fixed_mask` when that is set)."""
        if self.fixed_mask is not None:
            return self.fixed_mask
        draws = self.draws
        draws.to(x.device)  # of a layer that was never moved itself
        return next_mask(x.sample_shape, self.p, draws.key, draws.memory, x.device)

    def move(self, device: str) -> None:
        super().move(device)
        self.draws.to(device)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.mask(x)) if self.active() else x
