"""Dropping and growing at a fixed number of connections: what SET and RigL share."""

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snnr.optim.budget import DISTRIBUTIONS
from snnr.optim.masked import Masked, MaskedSettings
from snnr.optim.settings import AdamSettings, setting
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class DropAndGrowSettings(MaskedSettings):
    """SET and RigL."""

    distribution: str = setting(
        "erk", "How layers share the connections.", choices=DISTRIBUTIONS, option=True
    )
    every: int = setting(100, "Steps between two rewirings.", least=1)
    stop: float = setting(0.75, "Share of the steps after which none is made.", least=0, most=1)
    drop: float = setting(0.3, "Share of the connections that the first drops.", least=0, most=1)


class DropAndGrow(Masked):
    """Base of the two: sparse from the start, and as sparse in every step.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are sparse, the others get Adam.
    lr, betas, eps : as Adam.
    target_connectivity : share c of the weights that are connections, in (0, 1]: of all weights
        together exactly ``round(c * weights)``.
    distribution : "erk" or "uniform", see `snnr.optim.budget.layer_budgets`.
    every : steps between two rewirings.
    stop : share of the training's steps after which there is none any more.
    drop : share alpha of a layer's connections that the first rewirings drop. It falls along a
        cosine: after t steps ``alpha/2 (1 + cos(pi t / t_end))``, t_end = stop * steps (Evci et
        al., ICML 2020, equation 1). As many are grown; so it is never more than are missing.
    rng : generator or seed; it chooses the first connections.
    fresh : False takes the weights as they are, until a rewiring.

    The first connections are chosen at random. Their values are divided by the root of their share,
    so that what a neuron sums up varies as much as with all its weights: without that, few
    connections drive none to its threshold (Evci, Ioannou, Keskin & Dauphin, AAAI 2022, show what
    it does to gradients). `begin` says how many
    steps there are, as `Trainer` does; without it the share stays alpha.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    SETTINGS: ClassVar[type[AdamSettings]] = DropAndGrowSettings

    distribution: str
    every: int
    stop: float
    drop: float
    rng: np.random.Generator

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        target_connectivity: float = 0.05,
        distribution: str = "erk",
        every: int = 100,
        stop: float = 0.75,
        drop: float = 0.3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        rng: np.random.Generator | int | None = 0,
        fresh: bool = True,
    ) -> None:
        settings = DropAndGrowSettings(
            lr=lr, betas=betas, eps=eps, target_connectivity=target_connectivity,
            distribution=distribution, every=every, stop=stop, drop=drop,
        )  # fmt: skip
        super().__init__(params, settings)
        self.rng = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
        if fresh:
            for p, connections in self.budgets(distribution).items():
                self.connect_at_random(p, connections, self.key())

    def key(self) -> int:
        """For what is drawn next."""
        return int(self.rng.integers(1 << 63))

    def share(self, step: int) -> float:
        """Share of the connections that are dropped after a step."""
        end = math.inf if self.steps is None else self.stop * self.steps
        if step % self.every or step >= end:
            return 0.0
        return self.drop / 2 * (1 + math.cos(math.pi * step / end))

    def rewire(self) -> None:
        share = self.share(self.step_count)
        if share == 0:
            return
        for p, connections in self.budgets(self.distribution).items():
            if p.grad_memory is not None:
                dropped = min(round(share * connections), p.size - connections)
                self.keep(p, connections - dropped)
                self.grow(p, connections)

    @abstractmethod
    def grow(self, p: Parameter, connections: int) -> None:
        """Grow connections of a weight until there are so many."""
