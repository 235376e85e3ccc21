"""SpikingJelly, multi-step mode: LIFNode over the whole sequence, torch backend."""

from __future__ import annotations

from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor
from workload import Workload

from peers.common import TorchPeer


def build(load: Workload) -> TorchPeer:
    """The contender."""
    node = neuron.LIFNode(
        tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True, step_mode="m"
    )

    def lif(x: Tensor, steps: int, static: bool) -> Tensor:
        # one node serves every layer: its state is put back each time
        functional.reset_net(node)
        sequence = x.expand(steps, *x.shape) if static else x.unflatten(0, (steps, -1))
        return node(sequence).flatten(0, 1)

    return TorchPeer(load, lif)
