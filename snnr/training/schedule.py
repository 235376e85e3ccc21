"""Schedules of the learning rate: what share of it a step takes, by the place of the step in the
whole training. So nothing has to be kept of them but their text."""

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from snnr.errors import ConfigError
from snnr.optim import Optimizer
from snnr.wording import Worded, told


@dataclass(frozen=True)
class Schedule(Worded, ABC):
    """Base of the schedules; their fields are what a text sets: ``cosine:floor=0.01``.

    Raises
    ------
    ConfigError : a value is out of its bounds.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value in vars(self).items():
            if key in ("floor", "factor") and not 0 <= value <= 1:
                raise ConfigError(f"{key} (={value:g}) of {self.NAME} must lie between 0 and 1")

    @abstractmethod
    def share(self, step: int, steps: int) -> float:
        """What step 0, 1, .. of `steps` in all takes of the learning rate: 0 to 1."""


class Constant(Schedule):
    """All of it, as in the paper."""

    NAME = "constant"

    def share(self, step: int, steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine, step by step, from all of it down to `floor`, without restarts (Loshchilov &
    Hutter, ICLR 2017, eq. 5)."""

    NAME = "cosine"
    floor: float = 0.0

    def share(self, step: int, steps: int) -> float:
        place = min(step / max(steps, 1), 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * place)) / 2


@dataclass(frozen=True)
class Stairs(Schedule):
    """Times `factor` at each of the places `at`, shares of the training."""

    NAME = "step"
    factor: float = 0.1
    at: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.at or not all(0 < a < b for a, b in pairwise((*self.at, 1.0))):
            raise ConfigError(
                f"at (={told(self.at)}) of step must be shares of the training, each greater than "
                "the one before it, between 0 and 1"
            )

    def share(self, step: int, steps: int) -> float:
        return float(self.factor ** sum(step >= place * steps for place in self.at))


#: name -> schedule
SCHEDULES: dict[str, type[Schedule]] = {kind.NAME: kind for kind in (Constant, Cosine, Stairs)}
_EXAMPLES = "cosine:floor=0.01, step:factor=0.3,at=0.6/0.9"


def schedule(text: str | Schedule) -> Schedule:
    """A schedule by name, or by name and options: "cosine", "step:factor=0.3,at=0.6/0.9"; or one
    that is made already, of a class in `SCHEDULES`.

    Raises
    ------
    ConfigError : there is no such schedule or option, or a value makes no sense.
    """
    if isinstance(text, Schedule):
        if SCHEDULES.get(text.NAME) is not type(text):
            raise ConfigError(
                f"schedule (a {type(text).__name__}) must be one of {', '.join(SCHEDULES)}, "
                "which a checkpoint can tell; set optimizer.lr in a callback for one of your own"
            )
        return text
    return Schedule.read(text, SCHEDULES, "schedule", _EXAMPLES)


def canonical_schedule(text: str | Schedule) -> str:
    """The one text of all those that name the same schedule. Raises as `schedule`."""
    return str(schedule(text))


@contextlib.contextmanager
def scaled(optimizer: Optimizer, share: float) -> Iterator[None]:
    """The optimizer's lr times `share`; afterwards it is what it was, or what somebody set."""
    lr = optimizer.lr
    if share == 1:
        yield
        return
    optimizer.lr = now = lr * share
    try:
        yield
    finally:
        if optimizer.lr is now:
            optimizer.lr = lr
