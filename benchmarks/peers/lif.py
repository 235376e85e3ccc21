"""LIF neurons of SpikingJelly, and written by hand in PyTorch, for `lif.py`."""

from __future__ import annotations

import time
from typing import Any

import torch
from lif import CHECKED, Array
from torch import Tensor

from peers import card, eager

COPIED = {"cpu": 1 << 25, "cuda": 1 << 28}


class Peer:
    """Spikes are float32, as in every PyTorch framework."""

    spike = 4

    def __init__(self, name: str, x: Array, dout: Array, device: str) -> None:
        self.device = device
        self.x = torch.from_numpy(x).to(device).requires_grad_()
        self.dout = torch.from_numpy(dout).to(device)
        self.notes = "LIF loop in plain operations, custom surrogate"
        self.node = None
        if name == "spikingjelly":
            from peers.spikingjelly_multi import lif_node

            self.node, kernels = lif_node(device)
            self.notes = f"SpikingJelly's multi-step LIFNode, {kernels} kernels"
        card.forget_peak(device)

    def spikes(self) -> Tensor:
        if self.node is None:
            return eager.lif(self.x.flatten(0, 1), len(self.x), False).view_as(self.x)
        from spikingjelly.activation_based import functional

        functional.reset_net(self.node)
        out: Tensor = self.node(self.x)
        return out

    def forward(self) -> Any:
        with torch.no_grad():
            return self.spikes()

    def both(self) -> tuple[Tensor, Tensor]:
        out = self.spikes()
        (dx,) = torch.autograd.grad(out, self.x, self.dout)
        return out, dx

    def results(self) -> tuple[Array, Array]:
        out, dx = (part[:, 0, :CHECKED].detach().cpu().double().numpy() for part in self.both())
        return out, dx

    def wait(self) -> None:
        card.synchronise(self.device)

    def bandwidth(self) -> float:
        a = torch.zeros(COPIED[self.device], device=self.device)
        b = torch.zeros_like(a)
        best = float("inf")
        for _ in range(10):
            self.wait()
            start = time.perf_counter()
            b.copy_(a)
            self.wait()
            best = min(best, time.perf_counter() - start)
        return 2 * a.nbytes / best

    def peak(self) -> int:
        return card.memory()["peak"] if self.device == "cuda" else 0


def make(name: str, x: Array, dout: Array, device: str) -> Peer:
    """The contender."""
    card.settle(torch.get_num_threads(), tf32=False)
    return Peer(name, x, dout, device)
