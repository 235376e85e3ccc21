"""Gradient Rewiring (Chen, Yu, Fang, Huang & Tian, IJCAI 2021, arXiv 2105.04916)."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr.optim.settings import AdamSettings, GradRSettings, laplace_location
from snnr.optim.state import Kept
from snnr.optim.steering import Steered
from snnr.tensor import Parameter


class GradR(Steered, launches_alike=True):
    """``w = sign * max(theta, 0)``, trained on theta also where the connection is pruned.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are rewired, the others get Adam.
    lr, betas, eps : as Adam.
    prior : strength of the Laplace prior (inverse scale), >= 0; 0 switches it off.
    sparsity : the share p of connections that the prior expects to be pruned, in [0.5, 1); the
        prior's location is ``mu = ln(2 - 2p)/prior``.
    form : "adam" (the published code) or "sgd" (the paper's plain form).
    target_connectivity : share of connections to end with: the prior is moved from where it starts
        so that the training gets there (see `Steered`); 0 leaves the prior alone.
    rng : generator or seed that draws the sign of weights that start at exactly 0.

    `state[param]` has theta, sign (int8), exp_avg and exp_avg_sq, of the parameter's shape. A
    weight that is set by hand between two steps is believed: its theta and sign follow.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = "grad-r"
    SETTINGS: ClassVar[type[AdamSettings]] = GradRSettings
    WEIGHT_STATE: ClassVar[Mapping[str, Kept]] = {
        "theta": Kept(),
        "sign": Kept(np.int8, values=(-1, 1)),
    }

    IN_RATES: ClassVar[frozenset[str]] = frozenset({"lr", "prior", "sparsity"})

    STEERS: ClassVar[str] = "prior"

    prior: float
    sparsity: float
    form: str

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        prior: float = 1e-3,
        sparsity: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        form: str = "adam",
        target_connectivity: float = 0.0,
        rng: np.random.Generator | int | None = 0,
    ) -> None:
        settings = GradRSettings(
            lr=lr, betas=betas, eps=eps, prior=prior, sparsity=sparsity, form=form,
            target_connectivity=target_connectivity,
        )  # fmt: skip
        super().__init__(params, settings)
        self._seeds = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
        for p in self.counts:
            self.adopt(p)

    @property
    def mu(self) -> float:
        """Location of the prior, ln(2 - 2 sparsity)/prior; 0 without one."""
        return laplace_location(self.prior, self.sparsity)

    def adopt(self, p: Parameter) -> None:
        kept = self.state[p].memory
        key = int(self._seeds.integers(1 << 63))
        p.backend.grad_r_start(p.memory, kept["theta"], kept["sign"], key)
        self.seen[p] = p.version

    def rates_of(self, p: Parameter) -> tuple[float, float, float, float]:
        if p.role != "weight":
            return super().rates_of(p)
        first = (self.lr, 0.0) if self.form == "sgd" else self.correction(p)
        return *first, self.prior, self.mu

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
        return None

    def update(self, p: Parameter) -> None:
        kept = self.state[p].memory
        theta, sign = kept["theta"], kept["sign"]
        rates, row, counts = self.rates(p), self.row[p], self.counts[p]
        if self.form == "sgd":
            p.backend.grad_r_sgd_step(p.memory, theta, sign, p.grad_memory, rates, row, counts)
            return
        p.backend.grad_r_step(
            p.memory, theta, sign, p.grad_memory, kept["exp_avg"], kept["exp_avg_sq"], rates, row,
            *self.betas, self.eps, counts,
        )  # fmt: skip
