"""snnr's LIF kernels for `lif.py`, called as a layer calls them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lif import CHECKED, Array

from snnr import functional as F
from snnr import kernels

COPIED = {"cpu": 1 << 27, "cuda": 1 << 30}


class Kernels:
    """Spikes lie as bytes; potentials are computed again in the backward pass."""

    notes = "backend operations lif and lif_grad"
    spike = 1

    def __init__(self, x: Array, dout: Array, device: str) -> None:
        self.device = device
        self.backend = kernels.backend(device)
        self.neuron = F.lif_neuron(
            tau=2.0, decay_input=True, v_threshold=1.0, v_reset=0.0, detach_reset=True
        )
        self.x, self.dout = self.backend.copy_in(x), self.backend.copy_in(dout)
        self.out = self.backend.empty(x.shape, np.uint8)
        self.dx = self.backend.empty(x.shape)
        self.mark = self.backend.zeros(1)

    def forward(self) -> Any:
        self.backend.lif(self.x, None, None, self.neuron, None, self.out)

    def both(self) -> Any:
        self.forward()
        self.backend.lif_grad(self.x, None, None, self.neuron, None, self.dout, self.dx)

    def results(self) -> tuple[Array, Array]:
        self.both()
        spikes, gradient = map(self.backend.copy_out, (self.out, self.dx))
        part = np.s_[:, 0, :CHECKED]
        return spikes[part].astype(np.float64), gradient[part].astype(np.float64)

    def wait(self) -> None:
        self.backend.copy_out(self.mark)

    def bandwidth(self) -> float:
        size = COPIED[self.device] if self.device == "cpu" or not _simulated() else 1 << 12
        a, b = self.backend.zeros(size, np.uint8), self.backend.zeros(size, np.uint8)
        best = float("inf")
        for _ in range(10):
            self.wait()
            start = time.perf_counter()
            if self.backend.host:
                np.copyto(b, a)
            else:
                b.array.copy_to_device(a.array)  # the driver's own copy, not a kernel of ours
            self.wait()
            best = min(best, time.perf_counter() - start)
        return 2 * size / best

    def peak(self) -> int:
        if self.backend.host:
            return 0
        from snnr.kernels.cuda.memory import pool

        return pool().held


def _simulated() -> bool:
    from snnr.kernels.cuda.device import simulated

    return simulated()


def make(name: str, x: Array, dout: Array, device: str) -> Kernels:
    """The contender."""
    return Kernels(x, dout, device)
