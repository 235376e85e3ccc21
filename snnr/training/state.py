"""Where a training is: progress, history, random numbers; what a checkpoint keeps of it."""

import base64
import binascii
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from snnr.checkpoint import Checkpoint
from snnr.checkpoint.layout import (
    COLUMNS,
    LAYER_COLUMNS,
    SETTINGS,
    generator_state,
    restore_generator,
)
from snnr.errors import CheckpointError
from snnr.optim import Optimizer
from snnr.tensor import Parameter
from snnr.training.losses import Tally

#: connections that are there: packed bits in the order of memory, by weight
Alive = dict[str, NDArray[np.uint8]]


def alive(parameters: Iterable[Parameter]) -> Alive:
    """Which connections of the prunable weights are not exactly 0, from copies on the host."""
    return {
        p.name: np.packbits((p.numpy() != 0).ravel(order="K"))
        for p in parameters
        if p.role == "weight"
    }


def count_changes(before: Alive, now: Alive) -> dict[str, tuple[int, int]]:
    """By weight: connections that are no more, and connections that were not there before."""
    return {
        name: (
            int(np.bitwise_count(before[name] & ~bits).sum(dtype=np.int64)),
            int(np.bitwise_count(bits & ~before[name]).sum(dtype=np.int64)),
        )
        for name, bits in now.items()
    }


def moving_settings(optimizer: Optimizer) -> dict[str, float]:
    """Settings that may be others at each step, as they are now."""
    now = {name: getattr(optimizer, name) for name in sorted(optimizer.IN_RATES)}
    return {name: float(v) for name, v in now.items() if isinstance(v, int | float)}


class TrainingState:
    """Attributes: `epoch` (completed), `position` (steps done in the current epoch), `seconds` and
    sums of the current epoch (`tally`), `order` of its samples (None between two epochs), `rng`,
    `history`, `alive` (connections at the end of the epoch before; None before the first step).
    """

    def __init__(self, seed: int, tally: Tally) -> None:
        self.rng = np.random.default_rng(seed)
        self.history: dict[str, Any] = {name: [] for name in COLUMNS}
        self.history |= {name: {} for name in (*LAYER_COLUMNS, SETTINGS)}
        self.tally = tally
        self.epoch = 0
        self.position = 0
        self.seconds = 0.0
        self.order: NDArray[np.int64] | None = None
        self.alive: Alive | None = None

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the steps of this epoch."""
        return self.tally.loss / max(self.position, 1)

    def begin(self, parameters: Iterable[Parameter]) -> None:
        """Before the first step of an epoch: remember which connections there are."""
        if self.alive is None:
            self.alive = alive(parameters)

    def changes(self, parameters: Iterable[Parameter]) -> dict[str, tuple[int, int]]:
        """Connections pruned and regrown, net, since the end of the epoch before; this is the end
        of the next one."""
        now = alive(parameters)
        before, self.alive = self.alive, now
        return count_changes(now if before is None else before, now)

    def finish(self, row: Mapping[str, Any]) -> None:
        """End an epoch: keep its row of the history, and start from zero."""
        for name, value in row.items():
            if isinstance(value, dict):
                for layer, entry in value.items():
                    self.history[name].setdefault(layer, []).append(entry)
            else:
                self.history[name].append(value)
        self.epoch += 1
        self.position = 0
        self.seconds = 0.0
        self.order = None
        self.tally.set()

    # What a checkpoint keeps

    def saved(self, parameters: Iterable[Parameter]) -> dict[str, Any]:
        """JSON values for the checkpoint's /rng; `order` and `history` have places of their own."""
        progress: dict[str, Any] = {
            "position": self.position,
            "loss_sum": self.tally.loss,
            "correct": self.tally.correct,
            "seconds": self.seconds,
        }
        if self.alive is not None:
            # also between two epochs, where callbacks may have changed weights
            progress["changed"] = _packed(self.alive, alive(parameters))
        return {"trainer": generator_state(self.rng, "trainer"), "progress": progress}

    def restore(
        self,
        found: Checkpoint,
        parameters: Iterable[Parameter],
        batches: int,
        count: int,
        settings: Mapping[str, float],
    ) -> None:
        """Be where a checkpoint was made, of a training of `batches` steps per epoch on `count`
        samples; `settings` are those of `moving_settings`, for older files without a column.

        Raises
        ------
        CheckpointError : what it keeps of the training makes no sense.
        """
        reader = _Reader(str(found.path), found.rng_state.get("progress"))
        restore_generator(self.rng, found.rng_state.get("trainer"), f"{found.path}: /rng/trainer")
        begun = found.order is not None
        self.epoch = found.epoch
        self.order = found.order
        self.position = reader.whole("position", batches if begun else 0)
        self.seconds = reader.number("seconds")
        self.tally.set(reader.number("loss_sum"), reader.whole("correct", count))
        if found.order is not None and not np.array_equal(np.sort(found.order), np.arange(count)):
            reader.fail("order is not a permutation of the training samples")
        for name, column in self.history.items():
            saved: Any = found.history.get(name)
            if name == SETTINGS and saved is None:
                saved = {key: [value] * self.epoch for key, value in settings.items()}
            if type(saved) is not type(column):
                reader.fail(f"the history has no {name}")
            column.clear()
            column.update(saved) if isinstance(column, dict) else column.extend(saved)
        if len(self.history["epoch"]) != self.epoch:
            reader.fail(f"{self.epoch} epochs have {len(self.history['epoch'])} rows of history")
        now = alive(parameters)
        kept = begun or "changed" in reader.progress
        self.alive = reader.before(now) if kept else now if self.epoch else None


def _packed(before: Alive, now: Alive) -> dict[str, str]:
    """Where two masks differ, by weight: compressed, as text. Little differs within an epoch."""
    return {
        name: base64.b64encode(zlib.compress((bits ^ before[name]).tobytes(), 1)).decode("ascii")
        for name, bits in now.items()
    }


class _Reader:
    """Takes the progress that a file claims, and believes nothing of it."""

    def __init__(self, path: str, progress: Any) -> None:
        self.path = path
        if not isinstance(progress, dict):
            self.fail("there is no progress")
        self.progress: dict[str, Any] = progress

    def fail(self, what: str) -> NoReturn:
        raise CheckpointError(
            f"{self.path}: the state of the training is damaged ({what}); start anew, or take an "
            "older file"
        )

    def number(self, key: str) -> float:
        value = self.progress.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{key} is {value!r}, expected a number")
        if not math.isfinite(value):
            self.fail(f"{key} is {value!r}, expected a finite number")
        return float(value)

    def whole(self, key: str, most: int) -> int:
        value = self.progress.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.fail(f"{key} is {value!r}, expected 0..{most}")
        return value

    def before(self, now: Alive) -> Alive | None:
        """Connections at the end of the epoch before, from those there are now."""
        texts = self.progress.get("changed")
        if texts is None and "changes" in self.progress:
            return now  # written by a snnr that did not keep them
        if not isinstance(texts, dict) or set(texts) != set(now):
            self.fail("changed does not name the weights")
        return {name: bits ^ self._bits(texts[name], bits.size) for name, bits in now.items()}

    def _bits(self, text: Any, size: int) -> NDArray[np.uint8]:
        try:
            packed = base64.b64decode(text, validate=True)
            opened = zlib.decompressobj()
            # a few bytes can claim to be a terabyte
            bits = opened.decompress(packed, size + 1)
        except (TypeError, ValueError, binascii.Error, zlib.error) as error:
            self.fail(f"changed: {error}")
        if len(bits) != size:
            self.fail(f"changed has {len(bits)} bytes for a weight, expected {size}")
        return np.frombuffer(bits, np.uint8)
