"""Gradual magnitude pruning (Zhu & Gupta 2017, arXiv 1710.01878)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from snnr.errors import ConfigError
from snnr.optim.dense_start import DenseStart, DenseStartSettings
from snnr.optim.settings import AdamSettings, setting
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class MagnitudeSettings(DenseStartSettings):
    """Gradual magnitude pruning."""

    every: int = setting(100, "Steps between two prunings.", least=1)
    begin_share: float = setting(0.0, "Share of the steps before the first.", least=0, most=1)
    end_share: float = setting(0.75, "Share of the steps until the last.", least=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.begin_share > self.end_share:
            raise ConfigError(
                f"begin_share (={self.begin_share!r}) must be at most end_share "
                f"(={self.end_share!r}): pruning cannot end before it begins"
            )


class Magnitude(DenseStart, launches_alike=True):
    """Prunes the smallest weights, many at first and fewer and fewer; none comes back.

    After t steps of t_0 = begin_share * steps to t_1 = end_share * steps the connectivity is
    ``c + (1 - c) (1 - (t - t_0)/(t_1 - t_0))^3`` (equation 1, with sparsities from 0 to 1 - c).

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are pruned, the others get Adam.
    lr, betas, eps : as Adam.
    target_connectivity : share c of the weights that are connections in the end, in (0, 1]: of all
        weights together exactly ``round(c * weights)``.
    distribution : "global" ranks the magnitudes of all weights together, so that a layer of small
        ones may lose all; "erk" and "uniform" rank within each layer, see
        `snnr.optim.budget.layer_budgets`.
    every : steps between two prunings; there is one at t_1 in any case.
    begin_share, end_share : shares of the training's steps.
    fresh : False takes weights that are 0 for pruned ones; else they too are connections at first.

    `begin` says how many steps there are, as `Trainer` does; without it nothing is pruned.

    Raises
    ------
    ConfigError : a setting is out of range, there are no parameters, or weights of two dtypes.
    """

    METHOD: ClassVar[str] = "magnitude"
    SETTINGS: ClassVar[type[AdamSettings]] = MagnitudeSettings

    every: int
    begin_share: float
    end_share: float

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        target_connectivity: float = 0.05,
        distribution: str = "global",
        every: int = 100,
        begin_share: float = 0.0,
        end_share: float = 0.75,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fresh: bool = True,
    ) -> None:
        settings = MagnitudeSettings(
            lr=lr, betas=betas, eps=eps, target_connectivity=target_connectivity,
            distribution=distribution, every=every, begin_share=begin_share, end_share=end_share,
        )  # fmt: skip
        super().__init__(params, settings, fresh)

    def allowed(self, step: int) -> float:
        """The connectivity after so many steps of the training."""
        if self.steps is None:
            return 1.0
        first, last = self.begin_share * self.steps, self.end_share * self.steps
        if step >= last:
            return self.target_connectivity
        if step <= first:
            return 1.0
        left = (last - step) / (last - first)
        return self.target_connectivity + (1 - self.target_connectivity) * left**3

    def rewire(self) -> None:
        if self.steps is None:
            return
        last = max(1, math.ceil(self.end_share * self.steps))
        if self.step_count == last or self.step_count % self.every == 0:
            self.prune(self.allowed(self.step_count))
