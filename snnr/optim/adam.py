"""Adam (Kingma & Ba, ICLR 2015): the dense baseline."""

from collections.abc import Iterable
from typing import ClassVar

from snnr.optim.base import Optimizer
from snnr.optim.settings import AdamSettings
from snnr.tensor import Parameter


class Adam(Optimizer, launches_alike=True):
    """Adam for every parameter; prunes nothing.

    Parameters
    ----------
    params : the network's parameters.
    lr, betas, eps : as in the paper.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = "dense"

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, AdamSettings(lr=lr, betas=betas, eps=eps))

    def update(self, p: Parameter) -> None:
        self.adam(p)
