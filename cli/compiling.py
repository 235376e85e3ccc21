"""Says that kernels are being compiled, whenever they are: otherwise a program seems to hang."""

import sys
import threading
import time
from collections.abc import Callable

from snnr.cli.common import note, say
from snnr.cli.pace import clock
from snnr.cli.screen import width

from snnr.errors import printable

_REFRESH = 0.2  # seconds between two states of the spinner
_PATIENCE = 1.0  # seconds that a compilation takes before it is worth a line, without a terminal
_FRAMES = "|/-\\"


class Compiling:
    """A spinner with the name of the kernel while Numba compiles; without a terminal, a line for
    the first of the process that takes its time.

    It draws from a thread of its own, for the one that compiles comes back when it is done.
    """

    def __init__(self) -> None:
        self.terminal = sys.stderr is not None and sys.stderr.isatty()
        self._lock = threading.Lock()
        self._names: list[str] = []  # kernels that are being compiled, the inner ones last
        self._began = 0.0
        self._told = False
        self._drawn = False
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def begin(self, name: str) -> None:
        """A kernel is about to be compiled, maybe on behalf of another one."""
        with self._lock:
            if not self._names:
                self._began = time.monotonic()
            self._names.append(name)
        self._wake.set()

    def end(self) -> None:
        """It is compiled."""
        with self._lock:
            if self._names:
                self._names.pop()
            if not self._names:
                self._wake.clear()
                self._clear()

    def close(self) -> None:
        """Nothing more is compiled."""
        self._over = True
        self._wake.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._wake.wait() and not self._over:
            with self._lock:
                if self._names:
                    self._tell()
            time.sleep(_REFRESH)

    def _tell(self) -> None:
        took = time.monotonic() - self._began
        if self.terminal:
            frame = _FRAMES[round(took / _REFRESH) % len(_FRAMES)]
            text = f"{frame} compiling {printable(self._names[0])}  {clock(took)}"
            say(f"\r\x1b[K{text[: width(sys.stderr) - 1]}", nl=False)
            self._drawn = True
        elif not self._told and took >= _PATIENCE:
            self._told = True
            note("compiling kernels for this machine, which takes a minute once")

    def _clear(self) -> None:
        if self._drawn:
            self._drawn = False
            say("\r\x1b[K", nl=False)


def watch(cuda: bool) -> Callable[[], None]:
    """Follow what is compiled in this process; returns what ends that."""
    from snnr.kernels import watching

    display = Compiling()
    unhook = [watching.compilations(display.begin, display.end)]
    if cuda:
        from snnr.kernels.cuda import device

        unhook.append(device.compilations(display.begin, display.end))

    def end() -> None:
        for each in unhook:
            each()
        display.close()

    return end
