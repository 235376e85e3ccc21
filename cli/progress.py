"""Progress on stderr: a bar on a terminal, plain lines otherwise."""

import contextlib
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

from snnr.cli.common import say

from snnr.errors import printable
from snnr.kernels import jit
from snnr.optim import Steered
from snnr.training import Callback, Trainer

_REFRESH = 0.1  # seconds between two states of the bar
_PATIENCE = 30.0  # seconds between two lines within an epoch, without a terminal


class Display(Callback):
    """Follows a training; on a terminal a bar is drawn over and over in the last line."""

    def __init__(self) -> None:
        self.terminal = sys.stderr is not None and sys.stderr.isatty()
        self._wait = _REFRESH if self.terminal else _PATIENCE
        self._due = time.monotonic() + self._wait

    def step(self, trainer: Trainer) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._wait
        place = f"epoch {trainer.epoch + 1}/{trainer.epochs}"
        state = f"step {trainer.position}/{trainer.batches}  loss {trainer.mean_loss:.4f}"
        if self.terminal:
            self.draw(place, trainer.position / trainer.batches, state)
        else:
            say(f"{place}  {state}")

    def evaluation(self, done: int, total: int) -> None:
        if self.terminal and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._wait
            self.draw("testing", done / total, f"image {done}/{total}")

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        self.clear()
        width = len(str(trainer.epochs))
        say(
            f"epoch {row['epoch']:>{width}}/{trainer.epochs}"
            f"  loss {row['train_loss']:.4f}"
            f"  train {100 * row['train_accuracy']:.2f} %"
            f"  test {100 * row['test_accuracy']:.2f} %"
            f"  connectivity {100 * row['connectivity']:.2f} %"
            f"{_steered(trainer, row)}"
            f"  pruned {sum(row['pruned'].values())}"
            f"  regrown {sum(row['regrown'].values())}"
            f"  {row['seconds']:.1f} s"
        )

    def stopping(self) -> None:
        # inside of a signal handler or beside the main thread, where the stream may be busy with
        # another line
        with contextlib.suppress(RuntimeError):
            self.clear()
            wait = ", once its kernels are compiled" if jit.is_compiling() else ""
            say(f"stopping after this step{wait} (Ctrl-C again: at once, unsaved)")

    def draw(self, title: str, share: float, state: str) -> None:
        """One state of the bar."""
        room = shutil.get_terminal_size().columns - len(title) - len(state) - 8
        width = max(0, min(30, room))
        full = round(width * share)
        bar = f"[{'#' * full}{'.' * (width - full)}] " if width else ""
        line = f"{title} {bar}{state}"[: shutil.get_terminal_size().columns - 1]
        say(f"\r\x1b[K{line}", nl=False)

    def clear(self) -> None:
        """Take the bar away."""
        if self.terminal:
            say("\r\x1b[K", nl=False)


def _steered(trainer: Trainer, row: Mapping[str, Any]) -> str:
    """The setting that a method moves by itself, as it was in the epoch's last step."""
    optimizer = trainer.optimizer
    name = optimizer.steered if isinstance(optimizer, Steered) else None
    return "" if name is None else f"  {name} {row['settings'][name]:.2g}"


class Warnings(Callback):
    """Says what is wrong with the network, also where nobody asked for progress."""

    def warning(self, trainer: Trainer, text: str) -> None:
        say(printable(f"warning: after epoch {trainer.epoch}, {text}"))


class Downloads:
    """Progress of reading and fetching files, as `snnr.data` reports it.

    lines : without a terminal, a line per file.
    """

    def __init__(self, quiet: bool, lines: bool = False) -> None:
        self.quiet = quiet
        self.lines = lines
        self._display = Display()
        self._seen: set[str] = set()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if self.quiet:
            return
        if not self._display.terminal:
            if self.lines and what not in self._seen:
                self._seen.add(what)
                say(what)
            return
        share = min(1.0, done / total) if total else 0.0
        of = f" of {total / 1e6:.1f}" if total else ""
        self._display.draw(what.rsplit("/", 1)[-1], share, f"{done / 1e6:.1f}{of} MB")
        if total and done >= total:
            self._display.clear()
