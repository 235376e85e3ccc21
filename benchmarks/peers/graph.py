"""A whole step of the compiled contender as one CUDA graph, captured by hand as PyTorch's manual
says: the least work for the host that PyTorch offers."""

from __future__ import annotations

import torch
from torch import Tensor
from workload import Workload

from peers.common import TorchPeer
from peers.compiled import Compiled


class Graphed(Compiled):
    """Captured at the second step; batches are copied to where the graph reads them."""

    notes = "forward, backward and update compiled, then captured as one torch.cuda.CUDAGraph"

    def __init__(self, load: Workload, device: str) -> None:
        super().__init__(load, device)
        self.batch = self.images[0].clone(), self.onehot[0].clone()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.warmed = False

    def whole(self) -> Tensor:
        """One step on what lies in ``batch``; the loss."""
        self.optimizer.zero_grad()
        loss = self.loss(*self.batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def step(self, index: int) -> None:
        """One training step."""
        index %= len(self.images)
        self.batch[0].copy_(self.images[index])
        self.batch[1].copy_(self.onehot[index])
        if not self.warmed:
            self.last = self.aside()
            self.warmed = True
            return
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            self.optimizer.zero_grad()
            with torch.cuda.graph(self.graph):
                self.last = self.whole()
        self.graph.replay()

    def aside(self) -> Tensor:
        """A step on another stream, which a capture asks for beforehand."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self.whole()
        torch.cuda.current_stream().wait_stream(stream)
        return loss


def build(load: Workload, device: str) -> TorchPeer:
    """The contender."""
    return Graphed(load, device)
