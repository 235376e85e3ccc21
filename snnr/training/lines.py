"""A training in plain lines: for a terminal, a notebook, or a log."""

import contextlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from snnr.errors import printable
from snnr.training.callback import Callback

if TYPE_CHECKING:
    from snnr.training.trainer import Trainer


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """A row of the history in a line of less than 80 columns."""
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  loss {row['train_loss']:.4f}"
        f"  test {100 * row['test_accuracy']:.2f} %"
        f"  connectivity {100 * row['connectivity']:.2f} %"
        f"  {row['seconds']:.1f} s"
    )


class Lines(Callback):
    """Writes a line after each epoch, and what is wrong with the network; ``fit(progress=True)``
    follows a training with it.

    stream : by default what is stderr at that moment. One that is closed or full is left alone.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def epoch(self, trainer: "Trainer", row: Mapping[str, Any]) -> None:
        self._say(epoch_line(row, trainer.epochs))

    def warning(self, trainer: "Trainer", text: str) -> None:
        self._say(f"warning: {printable(text)}")

    def stopping(self) -> None:
        # inside of a signal handler, where the stream may be busy with another line
        with contextlib.suppress(RuntimeError):
            self._say("stopping after this step")

    def _say(self, line: str) -> None:
        stream = self._stream or sys.stderr
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.write(line + "\n")
            stream.flush()
