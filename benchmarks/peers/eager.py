"""Hand-written PyTorch: the LIF loop in plain operations with a custom ATan surrogate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from workload import Workload

from peers.common import TorchPeer, spans


class ATan(torch.autograd.Function):
    """h >= 1 forward, derivative of arctan(pi (h - 1))/pi + 1/2 backward (alpha = 2)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.save_for_backward(h)
        return (h >= 1).to(h.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        return grad / (1 + ((h - 1) * math.pi).square())


def lif(x: Tensor, steps: int, static: bool) -> Tensor:
    """LIF with tau 2, threshold 1, hard reset to 0, detached reset."""
    spikes = []
    half = x * 0.5
    v: Tensor | None = None
    for current in spans(half, steps, static):
        h = current if v is None else torch.add(current, v, alpha=0.5)
        s = ATan.apply(h)
        v = h * (1.0 - s.detach())
        spikes.append(s)
    # cat, not stack: it keeps channels-last
    return torch.cat(spikes)


def build(load: Workload, device: str) -> TorchPeer:
    """The contender."""
    return TorchPeer(load, lif, device)
