"""Norse: LIFBoxCell (a LIF without synaptic current) in a loop over time.

Norse has no ATan surrogate and does not detach the reset of this cell; both are put in
through its own hooks (the threshold function and ``reset_method``), so that results agree.
"""

from __future__ import annotations

import math
from typing import Any

import norse.torch as norse
import torch
from norse.torch.functional import lif_box
from torch import Tensor
from workload import Workload

from peers.common import TorchPeer, spans


class _ATan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad / (1 + (math.pi * x).square())


def _threshold(x: Tensor, method: str, alpha: Tensor) -> Tensor:
    return _ATan.apply(x)


def _detached(z: Tensor, v: Tensor, reset: Tensor, threshold: Tensor) -> Tensor:
    return (1 - z.detach()) * v


def build(load: Workload, device: str) -> TorchPeer:
    """The contender."""
    lif_box.threshold = _threshold
    rate = torch.as_tensor(0.5, device=device)
    parameters = norse.LIFBoxParameters(tau_mem_inv=rate, reset_method=_detached)
    cell = norse.LIFBoxCell(parameters, dt=1.0)

    def lif(x: Tensor, steps: int, static: bool) -> Tensor:
        state = None
        spikes = []
        for current in spans(x, steps, static):
            spike, state = cell(current, state)
            spikes.append(spike)
        return torch.cat(spikes)

    return TorchPeer(load, lif, device)
