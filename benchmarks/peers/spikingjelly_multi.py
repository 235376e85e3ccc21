"""SpikingJelly, multi-step mode: LIFNode over the whole sequence, with the fastest kernels that
are installed."""

from __future__ import annotations

import importlib.util
import inspect

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn
from workload import Workload

from peers.common import TorchPeer


def lif_node(device: str) -> tuple[nn.Module, str]:
    """A multi-step LIFNode, and which of SpikingJelly's kernels run it.

    Up to 0.0.0.0.14 the kernels are chosen by name, and CuPy's are the fast ones; since 2.0
    SpikingJelly takes the first of its own CUDA extension, Triton and plain PyTorch that works.
    """
    settings = {
        "tau": 2.0,
        "surrogate_function": surrogate.ATan(),
        "detach_reset": True,
        "step_mode": "m",
    }
    if "backend" in inspect.signature(neuron.LIFNode.__init__).parameters:
        cupy = device == "cuda" and importlib.util.find_spec("cupy") is not None
        kernels = "cupy" if cupy else "torch"
        return neuron.LIFNode(**settings, backend=kernels), kernels
    node = neuron.LIFNode(**settings).to(device)
    if device != "cuda":
        return node, "torch"
    told = functional.neuron_implementation("lif", torch.device("cuda"))
    return node, str(told["implementation"])


def build(load: Workload, device: str) -> TorchPeer:
    """The contender."""
    node, kernels = lif_node(device)

    def lif(x: Tensor, steps: int, static: bool) -> Tensor:
        # one node serves every layer: its state is put back each time
        functional.reset_net(node)
        sequence = x.expand(steps, *x.shape) if static else x.unflatten(0, (steps, -1))
        return node(sequence).flatten(0, 1)

    peer = TorchPeer(load, lif, device)
    peer.notes += f"; SpikingJelly's {kernels} kernels"
    return peer
