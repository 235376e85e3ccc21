"""Gradient Rewiring (Chen, Yu, Fang, Huang & Tian, IJCAI 2021, arXiv 2105.04916)."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.errors import ConfigError
from snnr.optim.base import Optimizer, flat
from snnr.tensor import Parameter


class GradR(Optimizer):
    """``w = sign * max(theta, 0)``, trained on theta also where the connection is pruned.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are rewired, the others get Adam.
    lr, betas, eps : as Adam.
    prior : strength of the Laplace prior (inverse scale), >= 0; 0 switches it off.
    sparsity : the share p of connections that the prior expects to be pruned, in [0.5, 1); the
        prior's location is ``mu = ln(2 - 2p)/prior``.
    form : "adam" (the published code) or "sgd" (the paper's plain form).
    rng : generator or seed that draws the sign of weights that start at exactly 0.

    `state[param]` has theta, sign (int8), exp_avg and exp_avg_sq, of the parameter's shape.

    Raises
    ------
    ConfigError : a setting is out of range.
    """

    METHOD: ClassVar[str] = "grad-r"

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        prior: float = 1e-3,
        sparsity: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        form: str = "adam",
        rng: np.random.Generator | int | None = 0,
    ) -> None:
        super().__init__(params, lr, betas, eps)
        if not (prior >= 0 and math.isfinite(prior)):
            raise ConfigError(f"prior (={prior}) must be a number, at least 0")
        if not 0.5 <= sparsity < 1:
            raise ConfigError(
                f"sparsity (={sparsity}) must lie in [0.5, 1): the prior's location is "
                "ln(2 - 2*sparsity)/prior"
            )
        if form not in ("adam", "sgd"):
            raise ConfigError(f"form (={form!r}) must be 'adam' or 'sgd'")
        self.prior = prior
        self.sparsity = sparsity
        self.form = form
        self.mu = math.log(2 - 2 * sparsity) / prior if prior > 0 else 0.0
        random = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
        for p in self.changes:
            state = self.state[p]
            state.theta = np.abs(p.data)
            state.sign = np.sign(p.data).astype(np.int8)
            dead = state.sign == 0
            # the published code leaves these at sign 0, that is dead for ever
            state.sign[dead] = random.choice(np.array([-1, 1], np.int8), int(dead.sum()))

    @property
    def settings(self) -> dict[str, Any]:
        return {
            **super().settings,
            "prior": self.prior,
            "sparsity": self.sparsity,
            "mu": self.mu,
            "form": self.form,
        }

    def step_weight(
        self, p: Parameter, g: NDArray[Any], step_size: float, inv_sqrt_c2: float
    ) -> None:
        table = kernels.table(p.device)
        state = self.state[p]
        assert state.theta is not None
        assert state.sign is not None
        connection = flat(p.data), flat(state.theta), flat(state.sign), g
        if self.form == "sgd":
            counts = table["grad_r_sgd_step"](*connection, self.lr, self.prior, self.mu)
        else:
            counts = table["grad_r_step"](
                *connection, flat(state.exp_avg), flat(state.exp_avg_sq), step_size, self.prior,
                self.mu, *self.betas, inv_sqrt_c2, self.eps,
            )  # fmt: skip
        self.record(p, *counts)
