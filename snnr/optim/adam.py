"""Adam: the dense baseline."""

from typing import Any, ClassVar

from numpy.typing import NDArray

from snnr.optim.base import Optimizer
from snnr.tensor import Parameter


class Adam(Optimizer):
    """Adam (Kingma & Ba, ICLR 2015) for every parameter; prunes nothing.

    Parameters
    ----------
    params : the network's parameters.
    lr, betas, eps : as in the paper.
    """

    METHOD: ClassVar[str] = "dense"

    def step_weight(
        self, p: Parameter, g: NDArray[Any], step_size: float, inv_sqrt_c2: float
    ) -> None:
        self.adam(p, g, step_size, inv_sqrt_c2)
