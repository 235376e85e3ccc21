"""torch.compile of the eager contender: the loss (forward and backward) and the update."""

from __future__ import annotations

import math

import torch
from networks import Work
from record import Record
from torch import Tensor, nn
from workload import Workload

from peers import eager
from peers.common import TorchPeer, roles
from peers.grad_r import BETA1, BETA2, EPS, GradRForeach, location


class GradRCompiled(GradRForeach):
    """The update as one fused kernel per weight."""

    def __init__(self, weights: list[nn.Parameter], others: list[nn.Parameter], work: Work) -> None:
        super().__init__(weights, others, work)
        prior, mu = work.prior, location(work)

        def fused(
            w: Tensor,
            theta: Tensor,
            sign: Tensor,
            grad: Tensor,
            m: Tensor,
            v: Tensor,
            size: Tensor,
            root: Tensor,
        ) -> None:
            m.lerp_(grad, 1 - BETA1)
            v.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
            move = sign * size * m / (v.sqrt() / root + EPS)
            if prior:
                move = move + size * prior * torch.sign(theta - mu)
            theta.sub_(move)
            w.copy_(sign * torch.relu(theta))

        self.fused = torch.compile(fused, dynamic=False)

    @torch.no_grad()
    def step(self) -> None:
        """One update; the scalars travel as tensors, which spares a new compilation."""
        self.count += 1
        size = torch.tensor(self.work.lr / (1 - BETA1**self.count))
        root = torch.tensor(math.sqrt(1 - BETA2**self.count))
        state = zip(self.weights, self.theta, self.sign, self.m, self.v, strict=True)
        for w, theta, sign, m, v in state:
            self.fused(w, theta, sign, w.grad, m, v, size, root)
        if self.adam is not None:
            self.adam.step()


class Compiled(TorchPeer):
    """Eager, compiled. The first steps compile and are never timed."""

    notes = "torch.compile (inductor) of eager's loss and of the update; fused=True Adam"

    def __init__(self, load: Workload) -> None:
        super().__init__(load, eager.lif)
        self.optimizer = GradRCompiled(*roles(self.net), load.work)
        self.compiled = torch.compile(super().loss, dynamic=False)

    def loss(self, x: Tensor, onehot: Tensor, record: Record | None = None) -> Tensor:
        """The compiled loss; densities come from an uncompiled forward pass beside it."""
        if record is not None:
            with torch.no_grad():
                super().loss(x, onehot, record)
        return self.compiled(x, onehot)


def build(load: Workload) -> TorchPeer:
    """The contender."""
    return Compiled(load)
