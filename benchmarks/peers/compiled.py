"""torch.compile of the eager contender: the loss (forward and backward) and the update."""

from __future__ import annotations

import torch
from networks import Work
from record import Record
from torch import Tensor, nn
from workload import Workload

from peers import eager
from peers.common import TorchPeer
from peers.grad_r import BETA1, BETA2, EPS, GradRForeach, location

Tensors = list[Tensor]


class GradRCompiled(GradRForeach):
    """The update of all weights as one compiled function, a fused kernel per weight. It counts in
    memory of the device, so that it can be part of a CUDA graph."""

    def __init__(self, weights: list[nn.Parameter], others: list[nn.Parameter], work: Work) -> None:
        super().__init__(weights, others, work)
        self.steps = torch.zeros((), dtype=torch.float64, device=weights[0].device)
        if others and weights[0].is_cuda:
            self.adam = torch.optim.Adam(others, lr=work.lr, fused=True, capturable=True)
        prior, mu, lr = work.prior, location(work), work.lr

        # apart from the update, which would work them out again for every weight
        def factors(steps: Tensor) -> tuple[Tensor, Tensor]:
            size = (lr / (1 - BETA1**steps)).to(torch.float32)
            return size, (1 - BETA2**steps).sqrt().to(torch.float32)

        def fused(
            size: Tensor, root: Tensor, ws: Tensors, thetas: Tensors, signs: Tensors,
            grads: Tensors, ms: Tensors, vs: Tensors,
        ) -> None:  # fmt: skip
            for w, theta, sign, grad, m, v in zip(ws, thetas, signs, grads, ms, vs, strict=True):
                m.lerp_(grad, 1 - BETA1)
                v.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
                move = sign * size * m / (v.sqrt() / root + EPS)
                if prior:
                    move = move + size * prior * torch.sign(theta - mu)
                theta.sub_(move)
                w.copy_(sign * torch.relu(theta))

        self.factors = torch.compile(factors, dynamic=False)
        self.fused = torch.compile(fused, dynamic=False)

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        self.steps.add_(1)
        size, root = self.factors(self.steps)
        grads = [w.grad for w in self.weights]
        self.fused(size, root, self.weights, self.theta, self.sign, grads, self.m, self.v)
        if self.adam is not None:
            self.adam.step()


class Compiled(TorchPeer):
    """Eager, compiled. The first steps compile and are never timed."""

    notes = "torch.compile (inductor) of eager's loss and of the update; fused=True Adam"
    update = GradRCompiled

    def __init__(self, load: Workload, device: str, mode: str | None = None) -> None:
        super().__init__(load, eager.lif, device)
        if mode:
            self.notes += f"; loss with mode={mode!r}"
        self.compiled = torch.compile(super().loss, dynamic=False, mode=mode)

    def loss(self, x: Tensor, onehot: Tensor, record: Record | None = None) -> Tensor:
        """The compiled loss; densities come from an uncompiled forward pass beside it."""
        if record is not None:
            with torch.no_grad():
                super().loss(x, onehot, record)
        # results of the step before are done with
        torch.compiler.cudagraph_mark_step_begin()
        return self.compiled(x, onehot)


def build(load: Workload, device: str) -> TorchPeer:
    """The contender; on a card the loss runs as CUDA graphs."""
    return Compiled(load, device, "reduce-overhead" if device == "cuda" else None)
