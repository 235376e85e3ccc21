"""``log.txt`` of a run: what was started, and what came of it, line by line with the time."""

import contextlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnr import __version__
from snnr.checkpoint.file import replace
from snnr.errors import printable
from snnr.training.callback import Callback
from snnr.training.lines import epoch_line

if TYPE_CHECKING:
    from snnr.training.trainer import Trainer

_PACKAGES = ("numpy", "numba", "scipy", "h5py")


class Log(Callback):
    """Appends lines to a file; a training that is resumed goes on in it.

    Whole lines or none of them: what a full disk cuts off is taken back, and is no reason to end a
    training, which the checkpoint is. The lines of a training that replaces another one wait until
    its first checkpoint does so too.

    path : the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[str] | None = None

    def begin(self, trainer: "Trainer") -> None:
        checkpoint = trainer.checkpoint
        self._waiting = None
        if not trainer.saved:
            self._waiting = []
            if checkpoint is None or not checkpoint.exists():
                self.arrive()
        found = [f"{name} {_version(name)}" for name in _PACKAGES]
        python = f"Python {platform.python_version()} on {platform.platform()}"
        self._write([f"snnr {__version__}, {', '.join([*found, python])}"])
        if sys.argv[0] not in ("", "-c"):
            self._write([f"command: {shlex.join([_program(), *sys.argv[1:]])}"])
        settings = json.dumps(trainer.config, default=str)
        place = "from the beginning"
        if trainer.saved:
            place = f"going on with epoch {trainer.epoch + 1}, step {trainer.position + 1}"
        if trainer.epoch >= trainer.epochs:
            place = f"complete with {trainer.epoch} epochs"
        self._write([f"settings: {settings}", f"device {trainer.network.device}; {place}"])

    def epoch(self, trainer: "Trainer", row: Mapping[str, Any]) -> None:
        self._write([epoch_line(row, trainer.epochs)])

    def warning(self, trainer: "Trainer", text: str) -> None:
        self._write([f"warning: {text}"])

    def stopping(self) -> None:
        self._write(["asked to stop"])

    def end(self, trainer: "Trainer", error: BaseException | None) -> None:
        done = f"done: {trainer.epoch} epochs"
        self._write([done if error is None else f"ended by {type(error).__name__}: {error}"])

    def arrive(self) -> None:
        """Take the place of a log that is there; from now on lines are written at once."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            replace(self.path, "".join(waiting).encode())

    def _write(self, texts: Iterable[str]) -> None:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        lines = [f"{now}  {printable(text)}\n" for text in texts]
        if self._waiting is not None:
            self._waiting += lines
            return
        with contextlib.suppress(OSError):
            _append(self.path, "".join(lines).encode("utf-8", "replace"))


def _append(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o666)
    try:
        before = os.fstat(handle).st_size
        try:
            written = os.write(handle, content)
        except OSError:
            written = 0
        if written < len(content):
            os.ftruncate(handle, before)
    finally:
        os.close(handle)


def _program() -> str:
    path = Path(sys.argv[0])
    return path.parent.name if path.name == "__main__.py" else path.name


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # in a program that was frozen
        return "unknown"
