"""Pruning a network that starts dense: what magnitude pruning and IMP share."""

from collections.abc import Iterable
from dataclasses import dataclass

from snnr.errors import ConfigError
from snnr.optim.budget import DISTRIBUTIONS, budgets_by_magnitude
from snnr.optim.masked import Masked, MaskedSettings
from snnr.optim.settings import AdamSettings, setting
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class DenseStartSettings(MaskedSettings):
    """Magnitude pruning and IMP."""

    distribution: str = setting(
        "global", "How layers share the connections.", choices=("global", *DISTRIBUTIONS),
        option=True,
    )  # fmt: skip


class DenseStart(Masked):
    """Base of the two: every weight is a connection first, and what is pruned stays pruned."""

    distribution: str

    def __init__(self, params: Iterable[Parameter], settings: AdamSettings, fresh: bool) -> None:
        super().__init__(params, settings)
        kinds = {str(p.dtype) for p in self.counts}
        if len(kinds) > 1:
            raise ConfigError(
                f"the weights are {' and '.join(sorted(kinds))}: magnitudes are compared bit by "
                "bit, which takes one dtype; convert the network to one"
            )
        if fresh:
            for p in self.counts:
                self.connect_all(p)

    def prune(self, connectivity: float) -> bool:
        """Drop the smallest weights of all but this share; False where no more than that are there.

        "global" ranks all weights together. Otherwise every layer has gone as far on its way from
        all its weights to the connections that the distribution gives it.
        """
        for p in self.counts:
            self._follow(p)
        there = {p: self.connections(p) for p in self.counts}
        if self.distribution == "global":
            total = round(connectivity * sum(p.size for p in there))
            if total >= sum(there.values()):
                return False
            shares = dict(zip(there, budgets_by_magnitude(list(there), total), strict=True))
        else:
            whole = 1 - self.target_connectivity
            left = (connectivity - self.target_connectivity) / whole if whole else 0.0
            goals = self.budgets(self.distribution)
            shares = {p: goal + round(left * (p.size - goal)) for p, goal in goals.items()}
        dropping = [p for p in there if shares[p] < there[p]]
        for p in dropping:
            self.keep(p, shares[p])
        return bool(dropping)
