"""What the folder of a run holds beside the checkpoint: ``best.h5``, ``history.csv``, ``log.txt``.

All of it follows the checkpoint, which is written first; what a kill between two files left behind
is put right when the training goes on.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnr.checkpoint import BEST, load_record
from snnr.checkpoint.file import probe, removed, replace
from snnr.errors import CheckpointError
from snnr.training.log import Log

if TYPE_CHECKING:
    from snnr.training.trainer import Trainer

#: epochs with more than this times the connections of the last one are not compared with it
REACH = 1.1
HISTORY, LOG = "history.csv", "log.txt"


@dataclass(frozen=True)
class Best:
    """The epoch that ``best.h5`` holds; accuracy on the test images and connectivity, 0 to 1."""

    epoch: int
    accuracy: float
    connectivity: float


class RunFolder:
    """Keeps these files for a `Trainer`.

    The best epoch is the one of the highest test accuracy; among equals, the one with fewer
    connections. Only epochs within reach count, those with at most 1.1 times the connectivity of
    the last one, or of the target where that is higher: what was more accurate before it was
    pruned is no result of a pruning. So, while connections go, an epoch that is out of reach is
    replaced by the last one, whatever its accuracy.

    best : the epoch in ``best.h5``; None before there is one.
    log : for the `Trainer` to call.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.best: Best | None = None
        self.log = Log(checkpoint.with_name(LOG))
        self._best = checkpoint.with_name(BEST)
        self._history = checkpoint.with_name(HISTORY)
        self._replaces = True  # whatever another training left

    def begin(self, trainer: "Trainer") -> None:
        """Before the first step.

        Raises
        ------
        CheckpointError : a file cannot be written.
        """
        for path in (self._best, self._history, self.log.path):
            probe(path)
        if trainer.saved:
            self._replaces = False
            self.best = self._held(trainer.history)
            if self.best is None:
                removed(self._best)
            self._follow(trainer)

    def saved(self, trainer: "Trainer") -> None:
        """After the checkpoint was written. Raises as `begin`."""
        if self._replaces:
            self._replaces = False
            removed(self._best)
            removed(self._history)
        self.log.arrive()
        self._follow(trainer)

    def _follow(self, trainer: "Trainer") -> None:
        """Bring the files to where the checkpoint is."""
        history = trainer.history
        if not history["epoch"]:
            return
        last = _row(history, -1)
        target = trainer.optimizer.settings.as_dict().get("target_connectivity") or 0.0
        # in the middle of an epoch there is nothing to compare
        ended = trainer.state.order is None
        if ended and _better(last, self.best, float(target)):
            _renew(self._best, self.checkpoint.read_bytes())
            self.best = last
        _renew(self._history, table(history).encode())

    def _held(self, history: Mapping[str, Any]) -> Best | None:
        """What is in ``best.h5``, if it is of this training."""
        if not self._best.exists():
            return None
        try:
            record = load_record(self._best)
        except CheckpointError:
            return None
        count = record.epoch
        mine = {name: column[:count] for name, column in _columns(history).items()}
        own = 0 < count <= len(history["epoch"]) and _columns(record.history) == mine
        return _row(history, count - 1) if own else None


def _renew(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        replace(path, content)


def _row(history: Mapping[str, Any], index: int) -> Best:
    names = ("epoch", "test_accuracy", "connectivity")
    epoch, accuracy, connectivity = (history[name][index] for name in names)
    return Best(int(epoch), float(accuracy), float(connectivity))


def _better(last: Best, held: Best | None, target: float) -> bool:
    """Whether the last epoch takes the place of the one that is held; or of itself, saved anew."""
    if held is None or held.epoch == last.epoch:
        return True
    if held.connectivity > REACH * max(target, last.connectivity):
        return True
    return (last.accuracy, -last.connectivity) > (held.accuracy, -held.connectivity)


def table(history: Mapping[str, Any]) -> str:
    """A history as CSV: a line per epoch; columns by layer are ``pruned/0_linear``."""
    columns = _columns(history)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _columns(history: Mapping[str, Any]) -> dict[str, list[Any]]:
    """All of them by name, with numbers as a checkpoint gives them back: of one type."""
    columns: dict[str, list[Any]] = {}
    for name, column in history.items():
        inside = column.items() if isinstance(column, Mapping) else ()
        columns |= {f"{name}/{key}": np.asarray(values).tolist() for key, values in inside}
        if not isinstance(column, Mapping):
            columns[name] = np.asarray(column).tolist()
    return columns
