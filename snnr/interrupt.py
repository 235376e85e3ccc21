"""Being asked to stop during a training: heard at once, obeyed when nothing is torn."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

#: Ctrl-C, what a cluster sends before it takes a machine away, and a terminal that is closed
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stopped(Exception):
    """A wish to stop was received, and now is a good moment.

    signal : number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class AtOnce(KeyboardInterrupt):
    """Ctrl-C was pressed while a wish to stop was waiting for a good moment.

    signal : number of the signal that came first.
    """

    def __init__(self, number: int) -> None:
        super().__init__("stopped at once; what came after the last checkpoint is lost")
        self.signal = number


class Stop:
    """Turns the first signal into a wish that is heard between two steps.

    Ctrl-C while there is a wish stops at once; other signals then change nothing, for those who
    manage machines send several. Signals that are ignored stay so, as under nohup.
    """

    def __init__(self, announce: Callable[[], None] | None = None) -> None:
        """`announce` is called once, when the wish is received."""
        self._announce = announce
        self._number: int | None = None
        self._at_once = False
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether there is a wish."""
        return self._number is not None

    def request(self, number: int = signal.SIGTERM) -> None:
        """A wish without a signal, from any thread; it changes nothing when there is one."""
        if self._number is None:
            self._receive(number, None)

    def heed(self) -> None:
        """Raise `Stopped` when there is a wish."""
        if self._number is None:
            return
        # raised again here, should whatever was interrupted then have swallowed it
        raise AtOnce(self._number) if self._at_once else Stopped(self._number)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._number is not None:
            if number == signal.SIGINT:
                self._at_once = True
                raise AtOnce(self._number)
            return
        self._number = number
        if self._announce is not None:
            self._announce()
