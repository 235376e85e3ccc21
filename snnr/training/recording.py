"""The device's part of a training step, recorded once and run again from then on.

A recording repeats its launches with the same numbers on the same memory. So it stands for a step
only while nothing has changed but values in memory; whatever else a step depends on is compared
before each of them, and where it is another, a plain step is taken and the next one recorded anew.
"""

from collections.abc import Callable
from operator import is_
from typing import NamedTuple

from snnr import functional as F
from snnr.errors import DeviceError
from snnr.kernels import Backend, Memory
from snnr.nn import Layer
from snnr.nn.dropout import Draws
from snnr.nn.watching import is_watching
from snnr.optim import Optimizer
from snnr.tensor import Parameter, Tensor, is_recording
from snnr.training.losses import LAUNCH_ALIKE, Loss


class Parts(NamedTuple):
    """What a step is made of; batch and labels lie in memory that stays."""

    network: Layer
    optimizer: Optimizer
    loss: Loss
    batch: Tensor
    labels: F.Labels


class Situation:
    """What the launches of a step depend on, but for values in memory."""

    def __init__(self, parts: Parts) -> None:
        optimizer = parts.optimizer
        layers = list(parts.network.layers())
        kept = [value for layer in layers for value in vars(layer).values()]
        self._attributes = [vars(layer) for layer in layers]
        # an attribute stays the same list when its layers are others
        self._lists = [value for value in kept if isinstance(value, list)]
        self._draws = [value for value in kept if isinstance(value, Draws)]
        tensors = [value for value in kept if isinstance(value, Tensor)]
        self._tensors = list(dict.fromkeys([*tensors, *optimizer.params]))
        self.parameters = [one for one in self._tensors if isinstance(one, Parameter)]
        moved = set(optimizer.params)
        # these gradients add up from step to step
        self._collecting = [p for p in self.parameters if p not in moved]
        self._settings = [n for n in optimizer.setting_names() if n not in optimizer.IN_RATES]
        alike = optimizer.launches_alike and all(layer.launches_alike for layer in layers)
        #: whether a step launches the same each time
        self.repeats = alike and parts.loss in LAUNCH_ALIKE
        self._found = self._now(parts)

    def holds(self, parts: Parts) -> bool:
        """Whether all is as it was: the very same objects."""
        now = self._now(parts)
        return len(now) == len(self._found) and all(map(is_, now, self._found))

    def _now(self, parts: Parts) -> list[object]:
        # held, so that no identity is given to something new
        optimizer = parts.optimizer
        now: list[object] = [parts.network, optimizer, parts.loss]
        now += parts.batch.memory, parts.labels.memory
        for attributes in self._attributes:
            now += attributes.values()
        for inside in self._lists:
            now += inside
        for draws in self._draws:
            now += draws.key, draws.memory
        for tensor in self._tensors:
            now += tensor.memory, tensor.requires_grad
        now += [p.grad_memory for p in self._collecting]
        now += [getattr(optimizer, name) for name in self._settings]
        for p in optimizer.params:
            now += optimizer.state[p].memory.values()
            now += p.role, optimizer.counts.get(p)
        return now


class Recorder:
    """Runs steps from a recording, which it makes at the second step of a kind.

    `replays` counts the steps that were run from one.
    """

    def __init__(self, backend: Backend) -> None:
        self.replays = 0
        self._backend = backend
        self.forget()

    def forget(self) -> None:
        """Drop the recording, with the memory that it holds: a plain step comes next."""
        self._situation: Situation | None = None
        self._run: Callable[[], None] | None = None
        self._refused = False
        self._gradients: list[tuple[Parameter, Memory | None]] = []

    def take(self, work: Callable[[], None], parts: Parts) -> bool:
        """Take a step whose launches are those of `work`; False: nothing was done, it has to be
        taken plainly."""
        if is_watching() or not is_recording():
            self.forget()
            return False
        situation = self._situation
        if situation is None or not situation.holds(parts):
            self.forget()
            self._situation = Situation(parts)
            return False
        if self._refused or not situation.repeats:
            return False
        if self._run is None:
            self._run = self._recorded(work, situation, parts.optimizer)
            if self._run is None:
                self._refused = True
                return False
        for p, gradient in self._gradients:
            p.grad_memory = gradient
        parts.optimizer.advance()
        self._run()
        self.replays += 1
        return True

    def _recorded(
        self, work: Callable[[], None], situation: Situation, optimizer: Optimizer
    ) -> Callable[[], None] | None:
        """What runs the work; None where it cannot be recorded: then all is as it was."""
        before = [(p, p.grad_memory) for p in situation.parameters]
        _renew(situation, optimizer)
        run = None
        try:
            run = self._backend.record(work)
        except DeviceError:
            return None
        finally:
            if run is None:
                # what kernels kept with the weights was never computed
                _renew(situation, optimizer)
                for p, gradient in before:
                    p.grad_memory = gradient
        self._gradients = [(p, p.grad_memory) for p, _ in before]
        return run


def _renew(situation: Situation, optimizer: Optimizer) -> None:
    """Kernels take nothing that they kept with a weight for its values of now: what they make of
    it belongs into the recording."""
    for p in situation.parameters:
        known = optimizer.seen.get(p) == p.version
        p.changed()
        if known:
            optimizer.seen[p] = p.version
