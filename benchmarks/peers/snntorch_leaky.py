"""snnTorch: Leaky in a loop over time, layer by layer (its usual loop over whole steps of
the network would run every weight layer T times)."""

from __future__ import annotations

import snntorch
import torch
from snntorch import surrogate
from torch import Tensor
from workload import Workload

from peers.common import TorchPeer, spans


def build(load: Workload, device: str) -> TorchPeer:
    """The contender."""
    # beta * mem + x is the paper's charge when x is halved; the reset of snnTorch acts one
    # step later on the same spike, and is detached: the same equations
    leaky = snntorch.Leaky(beta=0.5, spike_grad=surrogate.atan(alpha=2.0), reset_mechanism="zero")
    leaky.to(device)

    def lif(x: Tensor, steps: int, static: bool) -> Tensor:
        half = x * 0.5
        memory = leaky.reset_mem() if hasattr(leaky, "reset_mem") else leaky.init_leaky()
        spikes = []
        for current in spans(half, steps, static):
            spike, memory = leaky(current, memory)
            spikes.append(spike)
        return torch.cat(spikes)

    return TorchPeer(load, lif, device)
