"""How long a training still takes, from how long it took so far."""

import time
from collections.abc import Mapping
from typing import Any

from snnr.training import Trainer

#: epochs that the estimate looks back at: a network that is pruned gets faster
_BACK = 3


class Pace:
    """Follows a training: `step` after each step, `epoch` after each epoch."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None  # in this epoch: when, after which step
        self._epochs: list[float] = []
        self._fresh = True

    def step(self, trainer: Trainer) -> float | None:
        """Seconds to the end of the training; None where nothing is known yet.

        Time counts from the first step of an epoch, which is the one that compiles, on.
        """
        now, done = time.monotonic(), trainer.position
        if self._began is None or done <= self._began[1]:
            self._began = now, done
            return None
        each = (now - self._began[0]) / (done - self._began[1])
        whole = self._epochs[-1] if self._epochs else each * trainer.batches
        return each * (trainer.batches - done) + whole * (trainer.epochs - trainer.epoch - 1)

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> float:
        """Seconds to the end of the training, after an epoch."""
        self._began = None
        if self._fresh and self._epochs:
            # the first one compiled
            self._epochs, self._fresh = [], False
        self._epochs = [*self._epochs[1 - _BACK :], row["seconds"]]
        return sum(self._epochs) / len(self._epochs) * (trainer.epochs - row["epoch"])


def clock(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Seconds with a decimal, up to a hundred of them; then as `clock`."""
    return f"{seconds:.1f} s" if seconds < 99.95 else clock(seconds)
