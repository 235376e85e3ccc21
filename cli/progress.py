"""Progress on stderr: a bar on a terminal, plain lines otherwise."""

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from snnr.cli.common import note, percent, say, size
from snnr.cli.pace import Pace, clock, duration
from snnr.cli.screen import width

from snnr.kernels import jit
from snnr.optim import Steered
from snnr.training import Callback, Trainer

_REFRESH = 0.1  # seconds between two states of the bar
_PATIENCE = 30.0  # seconds between two lines within an epoch, without a terminal
_REPEAT = 20  # epochs after which the titles of their table come again


class Display(Callback):
    """Follows a training; on a terminal a bar is drawn over and over in the last line."""

    def __init__(self) -> None:
        self.terminal = sys.stderr is not None and sys.stderr.isatty()
        self._wait = _REFRESH if self.terminal else _PATIENCE
        self._due = time.monotonic() + self._wait
        self._pace = Pace()
        self._titles = ""
        self._rows = 0

    def step(self, trainer: Trainer) -> None:
        left = self._pace.step(trainer)
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._wait
        place = f"epoch {trainer.epoch + 1}/{trainer.epochs}"
        state = f"step {trainer.position:,}/{trainer.batches:,}  loss {trainer.mean_loss:.4f}"
        if left is not None:
            state += f"  ETA {clock(left)}"
        if self.terminal:
            self.draw(place, trainer.position / trainer.batches, state)
        else:
            say(f"{place}  {state}")

    def evaluation(self, done: int, total: int) -> None:
        if self.terminal and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._wait
            self.draw("testing", done / total, f"image {done:,}/{total:,}")

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        self.clear()
        left = self._pace.epoch(trainer, row)
        titles, line = epoch_line(trainer, row, left if self.terminal else None, width(sys.stderr))
        if titles != self._titles or self._rows == _REPEAT:
            self._titles, self._rows = titles, 0
            say(titles)
        self._rows += 1
        say(line)

    def stopping(self) -> None:
        # inside of a signal handler or beside the main thread, where the stream may be busy with
        # another line
        with contextlib.suppress(RuntimeError):
            self.clear()
            wait = " and its compilation" if jit.is_compiling() else ""
            say(f"stopping after this step{wait} (Ctrl-C again: at once, unsaved)")

    def draw(self, title: str, share: float, state: str) -> None:
        """One state of the bar."""
        columns = width(sys.stderr)
        room = max(0, min(30, columns - len(title) - len(state) - 8))
        full = round(room * share)
        bar = f"[{'#' * full}{'.' * (room - full)}] " if room else ""
        say(f"\r\x1b[K{title} {bar}{state}"[: columns + 3], nl=False)

    def clear(self) -> None:
        """Take the bar away."""
        if self.terminal:
            say("\r\x1b[K", nl=False)


def epoch_line(
    trainer: Trainer, row: Mapping[str, Any], left: float | None, columns: int
) -> tuple[str, str]:
    """Titles and values of an epoch, in as many columns as fit; what matters less goes first.

    pruned and regrown are connections that were there at the end of the epoch before and are no
    more, and the reverse; change is the one less the other, where they do not fit.
    """
    pruned, regrown = sum(row["pruned"].values()), sum(row["regrown"].values())
    weights = sum(p.size for p in trainer.network.parameters() if p.role == "weight")
    counts = len(f"{weights:,}")
    place = f"epoch {row['epoch']:>{len(str(trainer.epochs))}}/{trainer.epochs}"
    # title -> value, least width
    cells = {
        "": (place, len(place)),
        "loss": (f"{row['train_loss']:.4f}", 6),
        "train": (percent(row["train_accuracy"]), 8),
        "test": (percent(row["test_accuracy"]), 8),
        "connectivity": (percent(row["connectivity"]), 8),
        **_steered(trainer, row),
        "change": (f"{regrown - pruned:+,}", counts + 1),
        "pruned": (f"{pruned:,}", counts),
        "regrown": (f"{regrown:,}", counts),
        "time": (duration(row["seconds"]), 7),
        "ETA": ("" if left is None else clock(left), 7),
    }
    sizes = {title: max(len(title), size) for title, (_, size) in cells.items()}
    shown = [""]
    for titles in (
        ["test"], ["connectivity"], list(_steered(trainer, row)), ["pruned", "regrown"],
        ["change"], ["ETA"] * (left is not None), ["loss"], ["train"], ["time"],
    ):  # fmt: skip
        more = [*shown, *titles]
        fits = sum(sizes[title] + 2 for title in more) - 2 <= columns
        if fits and not (titles == ["change"] and "pruned" in shown):
            shown = more
    order = [title for title in cells if title in shown]
    return (
        "  ".join(title.rjust(sizes[title]) for title in order),
        "  ".join(cells[title][0].rjust(sizes[title]) for title in order),
    )


def _steered(trainer: Trainer, row: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """The setting that a method moves by itself, as it was in the epoch's last step."""
    optimizer = trainer.optimizer
    name = optimizer.steered if isinstance(optimizer, Steered) else None
    return {} if name is None else {name: (f"{row['settings'][name]:.2g}", 7)}


class Warnings(Callback):
    """Says what is wrong with the network, also where nobody asked for progress."""

    def warning(self, trainer: Trainer, text: str) -> None:
        place = f"after epoch {trainer.epoch}, " if trainer.epoch else ""
        note(f"warning: {place}{text}")


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
        of = f" of {size(total)}" if total else ""
        self._display.draw(what.rsplit("/", 1)[-1], share, f"{size(done)}{of}")
        if total and done >= total:
            self._display.clear()
