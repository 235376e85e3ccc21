"""What the methods share that hold the number of connections exactly."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from snnr.optim.base import Optimizer
from snnr.optim.budget import layer_budgets
from snnr.optim.settings import AdamSettings, setting
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class MaskedSettings(AdamSettings):
    """A method with a target."""

    target_connectivity: float = setting(
        0.05, "Share of connections to have.", above=0, most=1, option=True
    )


class Masked(Optimizer):
    """Adam for the connections, and for nothing else.

    A weight is a connection if and only if it is not 0: no mask is kept beside it. So that the
    number of connections is exact, a step never makes one 0: a weight that would become exactly 0
    becomes 1e-12 with the sign it had, and one that is grown starts at ±1e-12, too little to be
    seen in any sum. A weight that is 0 has no moments: with those of before, it would come back by
    itself.

    A weight that is set by hand between two steps is believed.
    """

    sparse: ClassVar[bool] = True
    keeps_pattern: ClassVar[bool] = True

    target_connectivity: float
    #: of the training, as `begin` told
    steps: int | None = None

    @classmethod
    def restored(cls, params: Iterable[Parameter], settings: Mapping[str, Any]) -> Self:
        return cls(params, **{**settings, "fresh": False})

    def begin(self, network: Any, steps: int) -> None:
        self.steps = steps

    def update(self, p: Parameter) -> None:
        kept = self.state[p].memory
        p.backend.masked_adam_step(
            p.memory, p.grad_memory, kept["exp_avg"], kept["exp_avg_sq"], self.rates(p),
            self.row[p], *self.betas, self.eps, self.counts[p], p.hints(),
        )  # fmt: skip

    def believe(self, p: Parameter) -> None:
        if p.exposed or self.seen.get(p) != p.version:
            self.forget(p)
            self.seen[p] = p.version

    def reconcile(self) -> None:
        for p in self.counts:
            self._follow(p)
            self.believe(p)

    def forget(self, p: Parameter) -> None:
        """No moments where there is no connection."""
        kept = self.state[p].memory
        p.backend.forget_absent(p.memory, kept["exp_avg"], kept["exp_avg_sq"])

    def connections(self, p: Parameter) -> int:
        """How many a weight has; waits for the device."""
        return int(p.backend.copy_out(self.counts[p])[0])

    def keep(self, p: Parameter, connections: int) -> None:
        """Drop all but so many of the largest magnitude, with their moments."""
        p.backend.keep_largest(p.memory, connections, self.counts[p])
        p.known_nonzero(connections)
        self.rewired(p)

    def rewired(self, p: Parameter) -> None:
        """After connections of a weight were dropped or grown between two steps."""
        self.forget(p)
        p.changed()
        self.seen[p] = p.version

    def connect_all(self, p: Parameter) -> None:
        """Make a connection of every weight, also of those that start at exactly 0."""
        everywhere = p.backend.empty(p.memory.shape, p.dtype)
        p.backend.fill(everywhere, 1)
        self._connect(p, everywhere)

    def connect_at_random(self, p: Parameter, connections: int, key: int) -> None:
        """Drop all but so many, which the key chooses, and make these larger by the root of how
        many times fewer they are."""
        chosen = p.backend.zeros(p.memory.shape, p.dtype)
        counts = p.backend.zeros(3, np.int64)
        first = p.backend.zeros((1, 4), np.float64)
        p.backend.grow_random(chosen, connections, key, first, 0, counts)
        self._connect(p, chosen)
        p.backend.scale(p.memory, math.sqrt(p.size / max(connections, 1)), p.memory)

    def _connect(self, p: Parameter, where: Any) -> None:
        """The weight stays where `where` is not 0."""
        p.backend.replace_connected(where, p.memory)
        p.backend.copy(where, p.memory)
        p.backend.count_nonzero(p.memory, self.counts[p])
        p.known_nonzero(self.connections(p))
        self.seen[p] = p.version

    def budgets(self, distribution: str) -> dict[Parameter, int]:
        """The connections of each weight at the target; they follow from shapes alone."""
        shapes = [p.shape for p in self.counts]
        shares = layer_budgets(shapes, self.target_connectivity, distribution)
        return dict(zip(self.counts, shares, strict=True))

    def disagreement(
        self, p: Parameter, weight: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
    ) -> str | None:
        absent = weight == 0
        for name in Optimizer.MOMENTS:
            if arrays[name][absent].any():
                return f"{name} must be 0 where there is no connection"
        return None
