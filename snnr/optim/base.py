"""What every optimizer shares: parameters by role, Adam's moments, counts and hooks."""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.errors import ConfigError, ShapeError, UnknownName
from snnr.kernels import Memory
from snnr.optim.settings import AdamSettings
from snnr.optim.state import Kept, State
from snnr.tensor import Parameter, Tensor
from snnr.tensor.checks import described

#: names that people know from other libraries -> what does that here
_ELSEWHERE = {
    "param_groups": "optimizer.lr and the other settings, and optimizer.params",
    "state_dict": "snnr.save(path, network, optimizer)",
    "load_state_dict": "snnr.load(path).optimizer",
    "add_param_group": "a second optimizer",
    "learning_rate": "optimizer.lr",
}


class Optimizer(ABC):
    """Base of the methods: one file and one subclass each.

    A subclass names its METHOD, its settings record SETTINGS and the arrays it keeps for a weight
    besides Adam's moments, WEIGHT_STATE; `update` moves one prunable parameter. All others (biases,
    scales, shifts) get plain Adam. `begin` and `after` may be overridden by methods with a schedule
    or a budget; one that draws noise keeps a named generator in `rng`, which checkpoints save.
    `rewire` may change which connections there are, between two steps.

    A step is `advance`, what Python has to do, then `launch`, what the device has to do. Numbers
    that differ from step to step reach the device in memory, a row for each parameter (`rates`);
    IN_RATES names the settings among them. ``class Mine(Optimizer, launches_alike=True)`` promises
    that `update` and `after` launch the same each time while the other settings are the same, and
    have no other effect: then steps on a device may be recorded and run again without calling
    them. Subclasses promise for themselves.

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
    #: attributes, numbers, that are kept besides the settings
    NUMBERS: ClassVar[tuple[str, ...]] = ()

    IN_RATES: ClassVar[frozenset[str]] = frozenset({"lr"})
    launches_alike: ClassVar[bool] = False
    #: `update` looks at no gradient of a weight that is 0, which may then be missing, and takes
    #: packed ones. `needs_all` names the exceptions
    sparse: ClassVar[bool] = False
    #: after `update` the same weights are 0 as before
    keeps_pattern: ClassVar[bool] = False

    lr: float
    betas: tuple[float, float]
    eps: float
    rng: np.random.Generator | None = None

    def __init_subclass__(cls, launches_alike: bool = False, **others: Any) -> None:
        super().__init_subclass__(**others)
        cls.launches_alike = launches_alike

    def __init__(self, params: Iterable[Parameter], settings: AdamSettings) -> None:
        network = callable(params) or hasattr(params, "parameters")
        if network or isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise ConfigError(
                f"params ({described(params)}) must be a list of parameters: pass "
                "net.parameters()"
            )
        self.params = list(params)
        if not self.params:
            raise ConfigError("an optimizer needs at least one parameter: pass net.parameters()")
        for p in self.params:
            if not isinstance(p, Parameter):
                raise ConfigError(f"{described(p)} is no Parameter: pass net.parameters()")
        if len(set(map(id, self.params))) != len(self.params):
            raise ConfigError("an optimizer got one parameter twice: pass net.parameters() once")
        for name, value in settings.as_dict().items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        self._names = tuple(self.setting_names())
        self._checked: tuple[Any, ...] = ()
        self.step_count = 0
        #: row of each parameter in `rates`
        self.row = {p: i for i, p in enumerate(self.params)}
        self._rates: dict[str, Memory] = {}
        self._rows = [(0.0, 0.0, 0.0, 0.0)] * len(self.params)
        self.state: dict[Parameter, State] = {}
        #: per weight: nonzero, became 0, left 0 since `take_changes`
        self.counts: dict[Parameter, Memory] = {}
        #: version of each parameter's values that the last step left
        self.seen: dict[Parameter, int] = {}
        for p in self.params:
            self.rates(p)
            prunable = p.role == "weight"
            self.state[p] = State(p, {**(self.WEIGHT_STATE if prunable else {}), **self.MOMENTS})
            if prunable:
                self._count(p)
        #: whether the gradients of this step are those of weights that are not 0 alone
        self.asked_for_few = False
        for p in self.counts:
            p.gradient = "all"

    def _count(self, p: Parameter) -> None:
        """Make the counts of a weight anew, where it lies."""
        self.counts[p] = p.backend.zeros(3, np.int64)
        p.backend.count_nonzero(p.memory, self.counts[p])
        p.counted(self.counts[p])

    def _follow(self, p: Parameter) -> None:
        """Move the state to where the parameter went."""
        if self.state[p].device != p.device:
            self.rates(p)
            self.state[p].follow()
            if p in self.counts:
                self._count(p)

    @classmethod
    def restored(cls, params: Iterable[Parameter], settings: Mapping[str, Any]) -> Self:
        """One whose state is read from a file afterwards: it leaves the weights as they are."""
        return cls(params, **settings)

    @property
    def settings(self) -> AdamSettings:
        """The settings as they are now."""
        return self.SETTINGS(**{name: getattr(self, name) for name in self.setting_names()})

    def __getattr__(self, name: str) -> Any:
        kind = type(self)
        raise UnknownName(kind.__name__, name, lambda: [*dir(kind), *vars(self)], _ELSEWHERE)

    @classmethod
    def setting_names(cls) -> list[str]:
        """Names of the settings."""
        return [one.name for one in fields(cls.SETTINGS)]

    def zero_grad(self) -> None:
        """Forget all gradients, and say which ones the next step looks at."""
        for p in self.params:
            p.grad_memory = None
        self._ask()

    def settle(self) -> None:
        """After a step, also one that was run from a recording: rewire, and say which gradients the
        next one looks at."""
        if not self.keeps_pattern:
            for p in self.counts:
                p.pattern = p.version
        self.rewire()
        self._ask()

    def _ask(self) -> None:
        self.asked_for_few = self.sparse and not self.needs_all(self.step_count + 1)
        for p in self.counts:
            p.gradient = "survivors" if self.asked_for_few else "all"

    def narrow(self) -> None:
        """Before anybody but this optimizer looks at gradients: those that the step does not look
        at become 0 on a device, too, which made all of them."""
        for p in self.counts:
            if p.gradient == "survivors" and p.grad_memory is not None and not p.backend.host:
                p.backend.keep_survivors(p.memory, p.grad_memory)

    # Hooks

    def begin(self, network: Any, steps: int) -> None:  # noqa: B027  (an optional hook)
        """Before the first step of a training of `steps` steps in all (also when it is resumed)."""

    @abstractmethod
    def update(self, p: Parameter) -> None:
        """Launch what moves a prunable parameter from the gradient in `p.grad_memory`."""

    def after(self) -> None:  # noqa: B027
        """After all parameters were moved: for what needs all weights at once."""

    def rewire(self) -> None:  # noqa: B027
        """After every step, also one that was run from a recording, with its gradients still there:
        for what is done now and then and changes which connections there are."""

    def needs_all(self, step: int) -> bool:
        """Whether a step, counted from 1, looks at gradients of weights that are 0, though the
        method is `sparse`."""
        return False

    def rates_of(self, p: Parameter) -> tuple[float, float, float, float]:
        """What this step's update of p needs in `rates`: step_size, inv_sqrt_c2, prior, mu."""
        return *self.correction(p), 0.0, 0.0

    def believe(self, p: Parameter) -> None:  # noqa: B027
        """Before a step: bring the state in line with a weight that was set by hand."""

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
        self.advance()
        self.launch()
        self.settle()

    def advance(self) -> None:
        """Python's part of a step: it counts, and writes `rates`.

        Raises
        ------
        ConfigError : as `step`.
        """
        self._check_settings()
        moved = []
        for p in self.params:
            if p.grad_memory is None:
                continue
            if p.grad_memory.dtype != p.dtype:
                raise ShapeError(f"the gradient of {p!r} is {p.grad_memory.dtype}, not {p.dtype}")
            moved.append(p)
        self.step_count += 1
        for p in moved:
            self._follow(p)
            if p.role == "weight":
                self.believe(p)
            self.state[p].steps += 1
            self._rows[self.row[p]] = self.rates_of(p)
            p.changed(rewired=False)
            self.seen[p] = p.version
        for device in {p.device for p in moved}:
            kernels.backend(device).write(np.asarray(self._rows), self._rates[device])

    def launch(self) -> None:
        """The device's part of a step: the same launches, however often it is repeated."""
        for p in self.params:
            if p.grad_memory is None:
                continue
            if p.role == "weight":
                if not self.sparse:
                    p.whole_gradient()
                self.update(p)
            else:
                self.adam(p)
        self.after()

    def rates(self, p: Parameter) -> Memory:
        """Memory float64 [P, 4] on the device of p, one row for each parameter (`row`):
        step_size, inv_sqrt_c2, prior, mu, as `advance` wrote them."""
        found = self._rates.get(p.device)
        if found is None:
            found = self._rates[p.device] = p.backend.zeros((len(self.params), 4), np.float64)
        return found

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
        p.backend.adam_step(
            p.memory, p.grad_memory, kept["exp_avg"], kept["exp_avg_sq"], self.rates(p),
            self.row[p], *self.betas, self.eps, self.counts.get(p),
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
