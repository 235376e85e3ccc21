"""What every optimizer shares: Adam's state for every parameter, and plain Adam by role."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.errors import ConfigError, ShapeError
from snnr.tensor import Parameter

Array = NDArray[Any]


def flat(array: Array) -> Array:
    """1-D view of an array's memory, in memory order.

    Raises
    ------
    ShapeError : the array is a view with holes, so that it has no contiguous memory.
    """
    view = array.ravel(order="K")
    if not np.shares_memory(view, array) and array.size:
        raise ShapeError(
            f"a parameter of shape {list(array.shape)} and strides {array.strides} is not "
            "contiguous in any order; assign values with p.data[...] = values"
        )
    return view


def _like(array: Array, dtype: Any = None) -> Array:
    """Zeros of the same shape and memory order."""
    return np.zeros_like(array, dtype=dtype, order="K", subok=False)


@dataclass
class State:
    """An optimizer's arrays for one parameter, of its public shape and memory order."""

    exp_avg: Array
    exp_avg_sq: Array
    theta: Array | None = None
    sign: Array | None = None


@dataclass
class Change:
    """What the steps since the last `reset` did to the prunable connections of one parameter."""

    nonzero: int = 0
    pruned: int = 0
    regrown: int = 0


@dataclass
class Optimizer(ABC):
    """Base: parameters by role, Adam moments, zero_grad; subclasses say what happens to weights.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = ""

    params: list[Parameter]
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    step_count: int = 0
    state: dict[Parameter, State] = field(default_factory=dict)
    changes: dict[Parameter, Change] = field(default_factory=dict)

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.params = list(params)
        if not self.params:
            raise ConfigError("an optimizer needs at least one parameter: pass net.parameters()")
        if not (lr > 0 and math.isfinite(lr)):
            raise ConfigError(f"lr (={lr}) must be a positive number")
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"betas (={betas}) must lie in [0, 1)")
        if not eps > 0:
            raise ConfigError(f"eps (={eps}) must be greater than 0")
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.step_count = 0
        self.state = {p: State(_like(p.data), _like(p.data)) for p in self.params}
        self.changes = {
            p: Change(nonzero=int(np.count_nonzero(p.data)))
            for p in self.params
            if p.role == "weight"
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Scalars that a checkpoint keeps."""
        return {"method": self.METHOD, "lr": self.lr, "betas": list(self.betas), "eps": self.eps}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """One update from the gradients in `.grad`; parameters without one stay as they are."""
        self.step_count += 1
        c1 = 1 - self.betas[0] ** self.step_count
        c2 = 1 - self.betas[1] ** self.step_count
        step_size = self.lr / c1
        inv_sqrt_c2 = 1 / math.sqrt(c2)
        for p in self.params:
            if p.grad is None:
                continue
            gradient = _in_memory_order(p.grad, p.data)
            if p.role == "weight":
                self.step_weight(p, gradient, step_size, inv_sqrt_c2)
            else:
                self.adam(p, gradient, step_size, inv_sqrt_c2)

    @abstractmethod
    def step_weight(self, p: Parameter, g: Array, step_size: float, inv_sqrt_c2: float) -> None:
        """Update a prunable parameter; `g` is flat, in the parameter's memory order."""

    def adam(self, p: Parameter, g: Array, step_size: float, inv_sqrt_c2: float) -> None:
        """Plain Adam (Kingma & Ba, ICLR 2015)."""
        state = self.state[p]
        kernels.table(p.device)["adam_step"](
            flat(p.data), g, flat(state.exp_avg), flat(state.exp_avg_sq), step_size,
            *self.betas, inv_sqrt_c2, self.eps,
        )  # fmt: skip

    def connectivity(self) -> float:
        """Share of prunable weights that are not zero, after the last step."""
        total = sum(p.data.size for p in self.changes)
        return sum(change.nonzero for change in self.changes.values()) / max(total, 1)

    def take_changes(self) -> dict[str, tuple[int, int]]:
        """(pruned, regrown) per weight since the last call, by parameter name."""
        taken = {p.name: (c.pruned, c.regrown) for p, c in self.changes.items()}
        for change in self.changes.values():
            change.pruned = change.regrown = 0
        return taken

    def record(self, p: Parameter, nonzero: int, pruned: int, regrown: int) -> None:
        """Take down what a step did to a weight."""
        change = self.changes[p]
        change.nonzero = nonzero
        change.pruned += pruned
        change.regrown += regrown
        p.connectivity = nonzero / max(p.data.size, 1)


def _in_memory_order(gradient: Array, like: Array) -> Array:
    """The gradient flat, in the order of `like`'s memory."""
    if gradient.shape != like.shape:
        raise ShapeError(
            f"a gradient of shape {list(gradient.shape)} does not fit a parameter of "
            f"{list(like.shape)}"
        )
    if gradient.strides != like.strides or gradient.dtype != like.dtype:
        ordered = np.empty_like(like, order="K")
        ordered[...] = gradient
        gradient = ordered
    return flat(gradient)
