"""Being asked to stop: heard at once, obeyed when nothing is torn, the second time without fail.

Three things stand in the way. A handler in Python runs between two instructions of the main thread,
which may be inside of a compiler for seconds; two signals that come in the meantime are one call of
it; and what it raises may end in code that catches everything (a finalizer, a callback from C). So
a program has a `Watch`, which counts signals where the system delivers them.
"""

import contextlib
import contextvars
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

#: Ctrl-C, what a cluster sends before it takes a machine away, and a terminal that is closed
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_PROMPT = 0.3  # seconds after which somebody who pressed a key wants to see something
_GRACE = 1.0  # seconds that a process has to end in its own way


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
        """`announce` is called once, when the wish is received; by the thread of a `Watch` where
        the main thread is busy outside of Python."""
        self._announce = announce
        self._announced = threading.Lock()  # taken by the one who does it
        self._number: int | None = None
        self._at_once = False
        self._before: dict[int, Any] = {}
        self._watch: Watch | None = None

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

    def announce(self) -> None:
        """Say once that there is a wish."""
        if self._announce is not None and self._announced.acquire(blocking=False):
            self._announce()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
            self._watch = _watching.get()
            if self._watch is not None:
                self._watch.stops.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.stops.remove(self)
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
        self.announce()


class _Arrivals:
    """The numbers of signals, in the order in which the system delivered them.

    heard : False where another part of the program listens already (an event loop).
    """

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        for end in (self._reading, self._writing):
            end.setblocking(False)
        before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self.heard = before == -1
        if not self.heard:
            signal.set_wakeup_fd(before)

    def wait(self, seconds: float | None = None) -> bytes:
        """Those that came since the last time; none when so much time has passed."""
        ready, _, _ = select.select([self._reading], [], [], seconds)
        return self._reading.recv(4096) if ready else b""

    def wake(self) -> None:
        """Have `wait` return with a 0 among the numbers."""
        self._writing.send(b"\0")

    def close(self) -> None:
        if self.heard:
            signal.set_wakeup_fd(-1)
        self._reading.close()
        self._writing.close()


#: the `Watch` of the program that runs
_watching: contextvars.ContextVar["Watch | None"] = contextvars.ContextVar("watch", default=None)


class Watch:
    """For a program as a whole: Ctrl-C is answered at once, and the second one ends the process.

    A thread sees signals as they arrive. When nothing has come of the first one after 0.3 s, it
    announces the stop; 1 s after a Ctrl-C that follows another signal the process ends, whatever
    the main thread is doing. What is written file by file is then whole or not there.
    """

    def __init__(self, announce: Callable[[], None], end: Callable[[int], None] = os._exit) -> None:
        """announce : says that the process stops soon, where no `Stop` is open to say it.
        end : ends the process with a code.
        """
        self.stops: list[Stop] = []
        self._announce = announce
        self._end = end
        self._first: int | None = None
        self._again = False
        self._arrivals: _Arrivals | None = None
        self._thread: threading.Thread | None = None
        self._token: contextvars.Token[Watch | None] | None = None
        self._told: Callable[[Any], Any] = sys.__unraisablehook__

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._arrivals = _Arrivals()
            if self._arrivals.heard:
                self._token = _watching.set(self)
                # a Ctrl-C inside of what a compiler calls back ends there, with a traceback
                self._told, sys.unraisablehook = sys.unraisablehook, self._tell
                self._thread = threading.Thread(target=self._look, name="signals", daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Without the farewells of a compiler that was interrupted, when that is asked for."""
        if self._arrivals is None:
            return
        if self._thread is not None and self._token is not None:
            self._arrivals.wake()
            self._thread.join()
            sys.unraisablehook = self._told
            _watching.reset(self._token)
        self._arrivals.close()
        if self._again:
            self._leave()

    def _tell(self, lost: Any) -> None:
        """About what was raised where nobody could catch it; not of a wish, which is kept."""
        if not isinstance(lost.exc_value, AtOnce):
            self._told(lost)

    def _look(self) -> None:
        due = leaving = False  # an answer; the block
        while not leaving and not self._again:
            numbers = self._wait(_PROMPT if due else None)
            if due and not numbers:
                self._answer()
            due = due and bool(numbers)
            for number in numbers:
                if self._first is None and number in SIGNALS:
                    self._first, due = number, True
                elif number == signal.SIGINT:
                    self._again = True
            leaving = 0 in numbers
        until = time.monotonic() + _GRACE
        while not leaving and (left := until - time.monotonic()) > 0:
            numbers = self._wait(left)
            leaving = 0 in numbers
            if signal.SIGINT in numbers:
                break
        if not leaving:
            self._leave()

    def _wait(self, seconds: float | None) -> bytes:
        assert self._arrivals is not None
        return self._arrivals.wait(seconds)

    def _answer(self) -> None:
        """Say what the main thread had no time to say."""
        with contextlib.suppress(Exception):
            for stop in self.stops[-1:]:
                stop.announce()
            if not self.stops:
                self._announce()

    def _leave(self) -> None:
        assert self._first is not None
        self._end(128 + self._first)
