"""Iterative magnitude pruning with rewinding (Frankle, Dziugaite, Roy & Carbin, ICML 2020, arXiv
1912.05671): lottery tickets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from snnr.optim.dense_start import DenseStart, DenseStartSettings
from snnr.optim.settings import AdamSettings, setting
from snnr.optim.state import Kept
from snnr.tensor import Parameter


@dataclass(frozen=True, kw_only=True)
class IMPSettings(DenseStartSettings):
    """Iterative magnitude pruning."""

    rounds: int = setting(5, "Times that it prunes and rewinds.", least=1, option=True)
    rewind: float = setting(
        0.05, "Share of a round after which weights are what later rounds start from.", least=0,
        below=1,
    )  # fmt: skip


class IMP(DenseStart, launches_alike=True):
    """Trains, prunes the smallest weights, puts the others back to what they were early in
    training, and trains again.

    The steps of a training are split evenly into rounds + 1 parts: each of the first `rounds` ends
    with a pruning, the last trains what is left. Each pruning leaves the share c^(1/rounds) of the
    connections.

    Parameters
    ----------
    params : the network's parameters; those of role "weight" are pruned, the others get Adam.
    lr, betas, eps : as Adam.
    target_connectivity : share c of the weights that are connections in the end, in (0, 1]: of all
        weights together exactly ``round(c * weights)``.
    distribution : as `Magnitude`.
    rounds : prunings.
    rewind : share of the first part after which the values are kept that are rewound to; 0 are the
        first ones.
    fresh : False takes weights that are 0 for pruned ones; else they too are connections at first.

    Rewound are all parameters, as in the paper, also biases, scales and shifts; what Adam keeps of
    them is forgotten. Running statistics of BatchNorm are no parameters and stay. `begin` says how
    many steps there are, as `Trainer` does; without it nothing is pruned.

    `state[param].start` are the values that are rewound to.

    Raises
    ------
    ConfigError : a setting is out of range, there are no parameters, or weights of two dtypes.
    """

    METHOD: ClassVar[str] = "imp"
    SETTINGS: ClassVar[type[AdamSettings]] = IMPSettings
    MOMENTS: ClassVar[Mapping[str, Kept]] = {**DenseStart.MOMENTS, "start": Kept()}

    rounds: int
    rewind: float

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        target_connectivity: float = 0.05,
        distribution: str = "global",
        rounds: int = 5,
        rewind: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fresh: bool = True,
    ) -> None:
        settings = IMPSettings(
            lr=lr, betas=betas, eps=eps, target_connectivity=target_connectivity,
            distribution=distribution, rounds=rounds, rewind=rewind,
        )  # fmt: skip
        super().__init__(params, settings, fresh)
        self._remember()

    def _remember(self) -> None:
        """The values of now are those that are rewound to."""
        for p in self.params:
            self._follow(p)
            p.backend.copy(p.memory, self.state[p].memory["start"])

    def prunings(self) -> list[int]:
        """After which steps there is one."""
        steps = self.steps or 0
        return [-(-steps * i // (self.rounds + 1)) for i in range(1, self.rounds + 1)]

    def rewire(self) -> None:
        if self.steps is None:
            return
        if self.step_count == round(self.rewind * self.steps / (self.rounds + 1)):
            self._remember()
        for i, step in reversed(list(enumerate(self.prunings(), 1))):
            if step == self.step_count:
                if self.prune(self.target_connectivity ** (i / self.rounds)):
                    self._go_back()
                return

    def _go_back(self) -> None:
        for p in self.params:
            kept = self.state[p].memory
            if p in self.counts:
                p.backend.replace_connected(p.memory, kept["start"])
            else:
                p.backend.copy(kept["start"], p.memory)
            for name in DenseStart.MOMENTS:
                p.backend.fill(kept[name], 0)
            self.state[p].steps = 0
            p.changed()
            self.seen[p] = p.version
