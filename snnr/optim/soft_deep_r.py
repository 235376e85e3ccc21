"""Soft Deep Rewiring (Bellec, Kappel, Maass & Legenstein, ICLR 2018, arXiv 1711.05136, algorithm
2)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr.optim.base import Optimizer
from snnr.optim.keys import Keys
from snnr.optim.settings import AdamSettings, setting
from snnr.optim.state import Kept
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class SoftDeepRSettings(AdamSettings):
    """Soft Deep R (Bellec et al., ICLR 2018)."""

    l1: float = setting(
        0.05, "Pull towards zero, by lr*l1 at every step.", least=0, most=1e15, option=True
    )
    temperature: float = setting(
        0.01, "Strength of the noise, temperature*sqrt(lr) at every step.", least=0, most=1e15,
        option=True,
    )  # fmt: skip
    sparsity: float = setting(
        0.95, "Share of connections that the prior expects to go.", least=0, below=1, option=True
    )


class SoftDeepR(Optimizer, launches_alike=True):
    """``w = sign * max(theta, 0)``; gradient and L1 move theta where the connection is there, and
    where it is dormant it walks at random, until it is above 0 again.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are rewired, the others get Adam.
    lr, betas, eps : as Adam.
    l1 : pull towards zero, lr*l1 at every step.
    temperature : the noise of a step has deviation temperature*sqrt(lr); the paper's T is
        temperature^2/2.
    sparsity : the share p of connections that is dormant where no gradient acts, in [0, 1): theta
        stays above `floor` = -(temperature^2/2)*p / (l1*(1 - p)), which has the stationary
        distribution so; without L1 there is no floor.
    rng : generator or seed of the noise and of the sign of weights that start at exactly 0.

    The gradient step is Adam's. Moments of dormant connections are 0, as if they had never been
    there: else they would be moved by gradients of before. `state[param]` has theta, sign (int8),
    exp_avg and exp_avg_sq, of the parameter's shape. The noise depends on seed, parameter, element
    and count of steps alone. A weight that is set by hand between two steps is believed.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = "soft-deep-r"
    SETTINGS: ClassVar[type[AdamSettings]] = SoftDeepRSettings
    WEIGHT_STATE: ClassVar[Mapping[str, Kept]] = {
        "theta": Kept(),
        "sign": Kept(np.int8, values=(-1, 1)),
    }

    l1: float
    temperature: float
    sparsity: float

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        l1: float = 0.05,
        temperature: float = 0.01,
        sparsity: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        rng: np.random.Generator | int | None = 0,
    ) -> None:
        settings = SoftDeepRSettings(
            lr=lr, betas=betas, eps=eps, l1=l1, temperature=temperature, sparsity=sparsity
        )
        super().__init__(params, settings)
        self._keys = Keys(rng, len(self.params))
        self.rng = self._keys.rng
        for p in self.counts:
            self.adopt(p)

    @property
    def floor(self) -> float:
        """The least theta; minus infinity without L1."""
        if self.l1 == 0:
            return -math.inf
        return -(self.temperature**2) / 2 * self.sparsity / (self.l1 * (1 - self.sparsity))

    def adopt(self, p: Parameter) -> None:
        kept = self.state[p].memory
        p.backend.grad_r_start(p.memory, kept["theta"], kept["sign"], self._keys.of(self.row[p]))
        self.seen[p] = p.version

    def rates_of(self, p: Parameter) -> tuple[float, float, float, float]:
        if p.role != "weight":
            return super().rates_of(p)
        return *self.correction(p), float(self.state[p].steps), self.lr

    def reconcile(self) -> None:
        for p in self.counts:
            self._follow(p)
            self.believe(p)

    def believe(self, p: Parameter) -> None:
        if p.exposed or self.seen.get(p) != p.version:
            kept = self.state[p].memory
            p.backend.grad_r_believe(p.memory, kept["theta"], kept["sign"])
            self.seen[p] = p.version

    def disagreement(
        self, p: Parameter, weight: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
    ) -> str | None:
        theta, sign = arrays["theta"], arrays["sign"]
        if not np.array_equal(weight, sign * np.maximum(theta, 0)):
            return "theta and sign do not make the weight: it must be sign * max(theta, 0)"
        dormant = theta <= 0
        if arrays["exp_avg"][dormant].any() or arrays["exp_avg_sq"][dormant].any():
            return "a dormant connection has moments: they must be 0 where theta is not above 0"
        return None

    def update(self, p: Parameter) -> None:
        kept = self.state[p].memory
        p.backend.soft_deep_r_step(
            p.memory, kept["theta"], kept["sign"], p.grad_memory, kept["exp_avg"],
            kept["exp_avg_sq"], self.rates(p), self.row[p], *self.betas, self.eps, self.l1,
            self.temperature, self.floor, self._keys.of(self.row[p]), self.counts[p],
        )  # fmt: skip
