"""Ctrl-C during a training: heard at once, obeyed at the next moment when nothing is torn."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class Stopped(Exception):
    """Ctrl-C was pressed, and now is a good moment."""


class Stop:
    """Turns the first Ctrl-C into a wish that is heard between two steps; the second one stops."""

    requested = False

    def __init__(self, announce: Callable[[], None] | None = None) -> None:
        """`announce` is called once, when the wish is received."""
        self._announce = announce

    def heed(self) -> None:
        """Raise `Stopped` when there is a wish."""
        if self.requested:
            raise Stopped

    def __enter__(self) -> Self:
        self._before: Any = None
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
            self._before = signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._announce is not None:
            self._announce()
