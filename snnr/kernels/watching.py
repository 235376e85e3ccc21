"""Being told when kernels are compiled, which takes seconds each."""

from collections.abc import Callable
from typing import Any

from numba.core import event

#: called with the name of a kernel that is about to be compiled, maybe on behalf of another one
Begin = Callable[[str], None]
Unhook = Callable[[], None]


def compilations(begin: Begin, end: Callable[[], None]) -> Unhook:
    """From now on `begin` is called before each compilation for the CPU and `end` after it, in the
    thread that compiles; what is taken from the disk is none. Returns what ends that."""
    return follow(event, "numba:compile", begin, end)


def follow(room: Any, kind: str, begin: Begin, end: Callable[[], None]) -> Unhook:
    """The same for one kind of events of Numba's module of events, or of a copy of it.

    Raises
    ------
    ValueError : that module knows no such kind.
    """

    class Listener(room.Listener):
        def on_start(self, event: Any) -> None:
            told = event.data["dispatcher"].py_func.__name__ if event.data else "kernels"
            begin(told.strip("_"))

        def on_end(self, event: Any) -> None:
            end()

    listener = Listener()
    room.register(kind, listener)

    def unhook() -> None:
        room.unregister(kind, listener)

    return unhook
