"""Grad R (Chen et al., IJCAI 2021) in PyTorch, in the form with Adam's moments.

Two versions of the same update: ``GradRForeach`` in place, over all weights at once;
``GradRScript`` as an optimizer in a research script is usually written, tensor by tensor
and out of place. BatchNorm parameters go to plain Adam in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from networks import Work
from torch import Tensor, nn

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def location(work: Work) -> float:
    """Where the Laplace prior has its peak: mu = ln(2 - 2p) / prior."""
    return math.log(2 - 2 * work.sparsity) / work.prior if work.prior else 0.0


class GradRForeach:
    """Grad R for ``weights``, Adam for ``others``, with few passes over memory."""

    def __init__(self, weights: list[nn.Parameter], others: list[nn.Parameter], work: Work) -> None:
        self.work = work
        self.weights = weights
        with torch.no_grad():
            self.theta = [w.abs() for w in weights]
            self.sign = [torch.where(w < 0, -1.0, 1.0) for w in weights]
            self.scratch = [torch.empty_like(w) for w in weights]
            self.m = [torch.zeros_like(w) for w in weights]
            self.v = [torch.zeros_like(w) for w in weights]
        self.count = 0
        self.adam = torch.optim.Adam(others, lr=work.lr, fused=True) if others else None

    def start_from(self, weight: nn.Parameter, theta: Tensor) -> None:
        """Begin with a given theta, below zero where the weight is pruned."""
        for mine, kept in zip(self.weights, self.theta, strict=True):
            if mine is weight:
                kept.copy_(theta)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights:
            weight.grad = None
        if self.adam is not None:
            self.adam.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        self.count += 1
        size = self.work.lr / (1 - BETA1**self.count)
        root = math.sqrt(1 - BETA2**self.count)
        self.update([w.grad for w in self.weights], size, root)
        if self.adam is not None:
            self.adam.step()

    def update(self, grads: list[Tensor | None], size: float, root: float) -> None:
        """The update proper; ``size`` = lr / c1, ``root`` = sqrt(c2)."""
        theta, scratch, prior = self.theta, self.scratch, self.work.prior
        torch._foreach_lerp_(self.m, grads, 1 - BETA1)
        torch._foreach_mul_(self.v, BETA2)
        torch._foreach_addcmul_(self.v, grads, grads, 1 - BETA2)
        if prior:
            torch._foreach_copy_(scratch, theta)
            torch._foreach_sub_(scratch, location(self.work))
            torch._foreach_sign_(scratch)
            torch._foreach_add_(theta, scratch, alpha=-size * prior)
        # sign * m / (sqrt(v)/root + eps) = root * m / (sign * (sqrt(v) + root * eps))
        torch._foreach_copy_(scratch, self.v)
        torch._foreach_sqrt_(scratch)
        torch._foreach_add_(scratch, root * EPS)
        torch._foreach_mul_(scratch, self.sign)
        torch._foreach_addcdiv_(theta, self.m, scratch, -size * root)
        torch._foreach_copy_(self.weights, theta)
        torch._foreach_clamp_min_(self.weights, 0)
        torch._foreach_mul_(self.weights, self.sign)


class GradRScript(torch.optim.Optimizer):
    """Grad R as in a research script: one parameter after another, out of place."""

    def __init__(self, params: Iterable[nn.Parameter], work: Work) -> None:
        super().__init__(params, {"lr": work.lr})
        self.work = work
        self.mu = location(work)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update."""
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                    state["theta"] = p.abs()
                    state["sign"] = p.sign()
                state["step"] += 1
                c1 = 1 - BETA1 ** state["step"]
                c2 = 1 - BETA2 ** state["step"]
                m = state["exp_avg"].mul_(BETA1).add_(p.grad, alpha=1 - BETA1)
                v = state["exp_avg_sq"].mul_(BETA2).addcmul_(p.grad, p.grad, value=1 - BETA2)
                denom = v.sqrt() / math.sqrt(c2) + EPS
                size = group["lr"] / c1
                if p.ndim == 1:
                    p.copy_(p - size * m / denom)
                    continue
                theta, sign = state["theta"], state["sign"]
                theta = theta - sign * size * m / denom
                if self.work.prior:
                    theta = theta - size * self.work.prior * torch.sign(theta - self.mu)
                state["theta"] = theta
                p.copy_(sign * torch.relu(theta))
