"""State Transition of Dendritic Spines (Chen, Yu, Fang, Ma, Huang & Tian, ICML 2022)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError
from snnr.optim.settings import AdamSettings, setting, target_setting
from snnr.optim.state import Kept
from snnr.optim.steering import BOOST, Steered
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class STDSSettings(AdamSettings):
    """STDS (Chen et al., ICML 2022)."""

    threshold: float = setting(
        0.05, "Threshold at the end of the training; larger prunes more.", least=0, most=1e15,
        option=True,
    )  # fmt: skip
    steps: int = setting(
        0, "Steps in all, over which the threshold grows; 0: told when they begin.", least=0,
        most=1 << 53,
    )  # fmt: skip
    target_connectivity: float = target_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_connectivity and self.threshold == 0:
            raise ConfigError(
                "threshold (=0) must be greater than 0 with a target_connectivity, which starts "
                "from it"
            )


class STDS(Steered, launches_alike=True):
    """``w = sign(theta) * max(|theta| - d, 0)`` with a threshold d that grows during the training;
    theta gets the gradient of w as it is, also where the connection is pruned.

    ``d(n) = threshold/2 * (1 + sin(pi*(n/N - 1/2)))`` in step n of N: 0 before the first step, half
    of `threshold` in the middle, all of it at the end and from then on. `begin` says N; where
    nobody does, d stays 0 and nothing is pruned.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are pruned, the others get Adam.
    lr, betas, eps : as Adam.
    threshold : the paper's D, >= 0.
    steps : N; `begin` replaces it.
    target_connectivity : share of connections to end with: `threshold` is moved from where it
        starts so that the training gets there (see `Steered`); 0 leaves it alone.

    `state[param]` has theta, exp_avg and exp_avg_sq, of the parameter's shape. The steps that
    count are those in which the parameter had a gradient. A weight that is set by hand between two
    steps is believed: its theta follows.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = "stds"
    SETTINGS: ClassVar[type[AdamSettings]] = STDSSettings
    WEIGHT_STATE: ClassVar[Mapping[str, Kept]] = {"theta": Kept()}

    IN_RATES: ClassVar[frozenset[str]] = frozenset({"lr", "threshold", "steps"})

    STEERS: ClassVar[str] = "threshold"
    #: of a deviation's logarithm, what a look answers
    ANSWER: ClassVar[float] = 0.05

    threshold: float
    steps: int

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        threshold: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        steps: int = 0,
        target_connectivity: float = 0.0,
    ) -> None:
        settings = STDSSettings(
            lr=lr, betas=betas, eps=eps, threshold=threshold, steps=steps,
            target_connectivity=target_connectivity,
        )  # fmt: skip
        super().__init__(params, settings)
        #: the threshold that made each weight from its theta
        self._made_with: dict[Parameter, float] = {}
        for p in self.counts:
            self.adopt(p)

    def begin(self, network: Any, steps: int) -> None:
        for p in self.counts:
            self._made_with[p] = self.made_with(p)
        self.steps = steps
        super().begin(network, steps)

    def move(self, lag: float, place: float, since: float, target: float) -> float:
        # a threshold says at once how many connections there are
        return self.ANSWER * lag * (1 + BOOST * abs(lag))

    def scheduled(self, step: int) -> float:
        """d(step)."""
        if self.steps == 0:
            return 0.0
        share = min(step / self.steps, 1.0)
        return self.threshold / 2 * (1 + math.sin(math.pi * (share - 0.5)))

    def made_with(self, p: Parameter) -> float:
        """The threshold that made a weight from its theta, in its last step."""
        found = self._made_with.get(p)
        return self.scheduled(self.state[p].steps) if found is None else found

    def adopt(self, p: Parameter) -> None:
        p.backend.copy(p.memory, self.state[p].memory["theta"])
        self.seen[p] = p.version

    def rates_of(self, p: Parameter) -> tuple[float, float, float, float]:
        if p.role != "weight":
            return super().rates_of(p)
        self._made_with[p] = self.scheduled(self.state[p].steps)
        return *self.correction(p), self._made_with[p], 0.0

    def reconcile(self) -> None:
        for p in self.counts:
            self._follow(p)
            self.believe(p)

    def believe(self, p: Parameter) -> None:
        if p.exposed or self.seen.get(p) != p.version:
            p.backend.stds_believe(p.memory, self.state[p].memory["theta"], self.made_with(p))
            self.seen[p] = p.version

    def disagreement(
        self, p: Parameter, weight: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
    ) -> str | None:
        theta = arrays["theta"]
        there = weight != 0
        if ((theta > 0) != (weight > 0))[there].any():
            return "theta and the weight differ in sign"
        size = abs(theta.astype(np.float64))
        # the same threshold for all, but for how a weight is rounded
        taken = (size - abs(weight))[there]
        if not taken.size:
            return None
        slack = abs(weight).max() * (2.0**-23 if weight.dtype.itemsize == 4 else 2.0**-51)
        least, most = taken.min(), taken.max()
        if least < -slack or most - least > slack or (size[~there] > most + slack).any():
            return "no threshold makes the weight from theta: it must be max(|theta| - d, 0)"
        return None

    def update(self, p: Parameter) -> None:
        kept = self.state[p].memory
        p.backend.stds_step(
            p.memory, kept["theta"], p.grad_memory, kept["exp_avg"], kept["exp_avg_sq"],
            self.rates(p), self.row[p], *self.betas, self.eps, self.counts[p],
        )  # fmt: skip
