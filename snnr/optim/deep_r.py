"""Deep Rewiring (Bellec, Kappel, Maass & Legenstein, ICLR 2018, arXiv 1711.05136, algorithm 1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr.kernels.rules import TINY
from snnr.optim.budget import DISTRIBUTIONS
from snnr.optim.keys import Keys
from snnr.optim.masked import Masked, MaskedSettings
from snnr.optim.settings import AdamSettings, setting
from snnr.optim.state import Kept
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class DeepRSettings(MaskedSettings):
    """Deep R (Bellec et al., ICLR 2018)."""

    distribution: str = setting(
        "erk", "How layers share the connections.", choices=DISTRIBUTIONS, option=True
    )
    l1: float = setting(
        0.01, "Pull towards zero, by lr*l1 at every step.", least=0, most=1e15, option=True
    )
    temperature: float = setting(
        0.05, "Strength of the noise, temperature*sqrt(lr) at every step.", least=0, most=1e15,
        option=True,
    )  # fmt: skip


class DeepR(Masked, launches_alike=True):
    """Connections take Adam's step, a pull towards zero and noise; one that would change its sign
    becomes dormant, and as many dormant ones, chosen at random, become connections.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are rewired, the others get Adam.
    lr, betas, eps : as Adam.
    target_connectivity : share c of the weights that are connections, in (0, 1]: of all weights
        together exactly ``round(c * weights)``, after every step.
    distribution : "erk" or "uniform", see `snnr.optim.budget.layer_budgets`; a layer's number of
        connections stays the same.
    l1 : pull towards zero, lr*l1 at every step.
    temperature : the noise of a step has deviation temperature*sqrt(lr); the paper's T is
        temperature^2/2.
    rng : generator or seed of the first connections, of the noise and of those that are chosen.
    fresh : False takes the weights as they are, until the next step.

    A weight is a connection if and only if it is not 0. Its sign is fixed for ever, as it was at
    the start. A dormant weight is 0 and has no moments: with those of before, it would come back by
    itself. The first connections are divided by the root of their share, as those of SET. One that
    is chosen later starts at 1e-12 with its sign; a layer of which every weight is a connection has
    no dormant ones to choose from, and a weight that would become dormant starts so at once.
    Gradients are read where there is a connection and nowhere else.

    `state[param]` has sign (int8), exp_avg and exp_avg_sq, of the parameter's shape. What is drawn
    depends on seed, parameter, and count of steps alone. A weight that is set by hand between two
    steps is believed; of too many, the largest remain.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = "deep-r"
    SETTINGS: ClassVar[type[AdamSettings]] = DeepRSettings
    WEIGHT_STATE: ClassVar[Mapping[str, Kept]] = {"sign": Kept(np.int8, values=(-1, 1))}

    # connections come and go in every step: lists of them would be made anew each time
    sparse: ClassVar[bool] = False
    keeps_pattern: ClassVar[bool] = False

    distribution: str
    l1: float
    temperature: float

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        target_connectivity: float = 0.05,
        distribution: str = "erk",
        l1: float = 0.01,
        temperature: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        rng: np.random.Generator | int | None = 0,
        fresh: bool = True,
    ) -> None:
        settings = DeepRSettings(
            lr=lr, betas=betas, eps=eps, target_connectivity=target_connectivity,
            distribution=distribution, l1=l1, temperature=temperature,
        )  # fmt: skip
        super().__init__(params, settings)
        self._keys = Keys(rng, 2 * len(self.params))
        self.rng = self._keys.rng
        self._shared_for: tuple[Any, ...] = ()
        self._shares: dict[Parameter, int] = {}
        #: the share that each weight keeps to
        self._had: dict[Parameter, int] = {}
        for p in self.counts:
            self.adopt(p)
            if fresh:
                self._had[p] = self.share(p)
                self.connect_at_random(p, self._had[p], self._growth_key(p))
                # a weight of exactly 0 was given a sign
                p.backend.deep_r_believe(p.memory, self.state[p].memory["sign"])

    def share(self, p: Parameter) -> int:
        """Connections that a weight has."""
        now = self.target_connectivity, self.distribution
        if now != self._shared_for:
            self._shares = self.budgets(self.distribution)
            self._shared_for = now
        return self._shares[p]

    def _noise_key(self, p: Parameter) -> int:
        return self._keys.of(self.row[p])

    def _growth_key(self, p: Parameter) -> int:
        return self._keys.of(len(self.params) + self.row[p])

    def adopt(self, p: Parameter) -> None:
        absolute = p.backend.empty(p.memory.shape, p.dtype)
        sign = self.state[p].memory["sign"]
        p.backend.grad_r_start(p.memory, absolute, sign, self._noise_key(p))
        self.seen[p] = p.version

    def rates_of(self, p: Parameter) -> tuple[float, float, float, float]:
        if p.role != "weight":
            return super().rates_of(p)
        return *self.correction(p), float(self.state[p].steps), self.lr

    def believe(self, p: Parameter) -> None:
        by_hand = p.exposed or self.seen.get(p) != p.version
        share = self.share(p)
        if by_hand or self._had.get(p) != share:
            p.backend.deep_r_believe(p.memory, self.state[p].memory["sign"])
            self.keep(p, share)
            self._had[p] = share

    def disagreement(
        self, p: Parameter, weight: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
    ) -> str | None:
        there = weight != 0
        if ((arrays["sign"] > 0) != (weight > 0))[there].any():
            return "sign is not that of the weight"
        if there.sum() > self.share(p):
            return f"it has {there.sum()} connections, its share is {self.share(p)}"
        return super().disagreement(p, weight, arrays)

    def update(self, p: Parameter) -> None:
        kept, share = self.state[p].memory, self.share(p)
        rates, row, counts = self.rates(p), self.row[p], self.counts[p]
        p.backend.deep_r_step(
            p.memory, kept["sign"], p.grad_memory, kept["exp_avg"], kept["exp_avg_sq"], rates, row,
            *self.betas, self.eps, self.l1, self.temperature, TINY if share == p.size else 0.0,
            self._noise_key(p), counts,
        )  # fmt: skip
        p.backend.grow_random(
            p.memory, share, self._growth_key(p), rates, row, counts, kept["sign"]
        )
