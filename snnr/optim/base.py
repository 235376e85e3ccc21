"""What every optimizer shares: parameters by role, Adam's moments, counts and hooks."""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnr.errors import ConfigError, ShapeError
from snnr.kernels import Memory
from snnr.optim.settings import AdamSettings
from snnr.optim.state import Kept, State
from snnr.tensor import Parameter


class Optimizer(ABC):
    """Base of the methods: one file and one subclass each.

    A subclass names its METHOD, its settings record SETTINGS and the arrays it keeps for a weight
    besides Adam's moments, WEIGHT_STATE; `update` moves one prunable parameter. All others (biases,
    scales, shifts) get plain Adam. `begin` and `after` may be overridden by methods with a schedule
    or a budget; one that draws noise keeps a named generator in `rng`, which checkpoints save.

    Attributes: `params`; `lr`, `betas`, `eps` and the method's own settings, which may be changed
    between steps; `step_count`; `state[param]`.

    Raises
    ------
    ConfigError : a setting is out of range, or there are no parameters.
    """

    METHOD: ClassVar[str] = ""
    SETTINGS: ClassVar[type[AdamSettings]] = AdamSettings
    WEIGHT_STATE: ClassVar[Mapping[str, Kept]] = {}
    #: what is kept of every parameter
    MOMENTS: ClassVar[Mapping[str, Kept]] = {"exp_avg": Kept(), "exp_avg_sq": Kept(least=0)}

    lr: float
    betas: tuple[float, float]
    eps: float
    rng: np.random.Generator | None = None

    def __init__(self, params: Iterable[Parameter], settings: AdamSettings) -> None:
        if isinstance(params, Parameter) or not isinstance(params, Iterable):
            raise ConfigError(f"params (={params!r}) must be a list: pass net.parameters()")
        self.params = list(params)
        if not self.params:
            raise ConfigError("an optimizer needs at least one parameter: pass net.parameters()")
        for p in self.params:
            if not isinstance(p, Parameter):
                raise ConfigError(f"{p!r} is no Parameter: pass net.parameters()")
        if len(set(map(id, self.params))) != len(self.params):
            raise ConfigError("an optimizer got one parameter twice: pass net.parameters() once")
        for name, value in settings.as_dict().items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        self._names = tuple(self.setting_names())
        self._checked: tuple[Any, ...] = ()
        self.step_count = 0
        self.state: dict[Parameter, State] = {}
        #: per weight: nonzero, became 0, left 0 since `take_changes`
        self.counts: dict[Parameter, Memory] = {}
        #: version of each parameter's values that the last step left
        self.seen: dict[Parameter, int] = {}
        for p in self.params:
            prunable = p.role == "weight"
            self.state[p] = State(p, {**(self.WEIGHT_STATE if prunable else {}), **self.MOMENTS})
            if prunable:
                self._count(p)

    def _count(self, p: Parameter) -> None:
        """Make the counts of a weight anew, where it lies."""
        self.counts[p] = p.backend.zeros(3, np.int64)
        p.backend.count_nonzero(p.memory, self.counts[p])
        p.counted(self.counts[p])

    def _follow(self, p: Parameter) -> None:
        """Move the state to where the parameter went."""
        if self.state[p].device != p.device:
            self.state[p].follow()
            if p in self.counts:
                self._count(p)

    @property
    def settings(self) -> AdamSettings:
        """The settings as they are now."""
        return self.SETTINGS(**{name: getattr(self, name) for name in self.setting_names()})

    @classmethod
    def setting_names(cls) -> list[str]:
        """Names of the settings."""
        return [one.name for one in fields(cls.SETTINGS)]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad_memory = None

    # Hooks

    def begin(self, network: Any, steps: int) -> None:  # noqa: B027  (an optional hook)
        """Before the first step of a training of `steps` steps in all (also when it is resumed)."""

    @abstractmethod
    def update(self, p: Parameter) -> None:
        """Move a prunable parameter from the gradient in `p.grad_memory`."""

    def after(self) -> None:  # noqa: B027
        """After all parameters were moved: for what needs all weights at once."""

    def adopt(self, p: Parameter) -> None:  # noqa: B027
        """Take the state of a weight from its values, as they are at the start."""

    def reconcile(self) -> None:  # noqa: B027
        """Bring the state in line with weights that were set by hand, as the next step would."""

    def disagreement(
        self, p: Parameter, weight: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
    ) -> str | None:
        """What is wrong between a weight and its state, of public shapes, as read from a file."""
        return None

    def step(self) -> None:
        """One update from the gradients in `.grad`; parameters without one stay as they are.

        Raises
        ------
        ConfigError : a setting that was changed by hand is out of its bounds; nothing has moved.
        """
        self._check_settings()
        self.step_count += 1
        for p in self.params:
            if p.grad_memory is None:
                continue
            if p.grad_memory.dtype != p.dtype:
                raise ShapeError(f"the gradient of {p!r} is {p.grad_memory.dtype}, not {p.dtype}")
            self._follow(p)
            self.state[p].steps += 1
            if p.role == "weight":
                self.update(p)
            else:
                self.adam(p)
            p.changed()
            self.seen[p] = p.version
        self.after()

    def _check_settings(self) -> None:
        """Make the record, which checks, when a setting is another object than before."""
        now = tuple(getattr(self, name) for name in self._names)
        if len(now) != len(self._checked) or any(map(operator.is_not, now, self._checked)):
            self.settings  # noqa: B018  (a property that checks)
            self._checked = now

    def correction(self, p: Parameter) -> tuple[float, float]:
        """Adam's bias correction after so many updates of p: lr/c1 and 1/sqrt(c2)."""
        steps = self.state[p].steps
        c1, c2 = (1 - beta**steps for beta in self.betas)
        return self.lr / c1, 1 / math.sqrt(c2)

    def adam(self, p: Parameter) -> None:
        """Plain Adam (Kingma & Ba, ICLR 2015)."""
        kept = self.state[p].memory
        step_size, inv_sqrt_c2 = self.correction(p)
        p.backend.adam_step(
            p.memory, p.grad_memory, kept["exp_avg"], kept["exp_avg_sq"], step_size, *self.betas,
            inv_sqrt_c2, self.eps, self.counts.get(p),
        )  # fmt: skip

    # What people ask

    def connectivity(self) -> float:
        """Share of prunable weights that are not zero, after the last step."""
        weights = sum(p.size for p in self.counts)
        return sum(int(counts[0]) for counts in self._told().values()) / max(weights, 1)

    def take_changes(self) -> dict[str, tuple[int, int]]:
        """How often a connection became 0 and left 0 in the steps since the last call, by weight; a
        connection that flickers counts each time."""
        taken = {p.name: (int(c[1]), int(c[2])) for p, c in self._told().items()}
        for p, counts in self.counts.items():
            told = p.backend.copy_out(counts).copy()
            told[1:] = 0
            p.backend.write(told, counts)
        return taken

    def _told(self) -> dict[Parameter, NDArray[np.int64]]:
        """The counts of every weight, on the host."""
        for p in self.counts:
            self._follow(p)
        return {p: p.backend.copy_out(counts) for p, counts in self.counts.items()}

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.settings.as_dict().items())
        return f"{type(self).__name__}({len(self.params)} parameters, {inside})"
