"""Errors a user of snnr may meet. Each message names the value, the expectation and the remedy."""

import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any


def printable(text: str) -> str:
    """The text with what a terminal might obey, or show as a blank or in another order, written
    out.

    Names and values in files are a stranger's: an escape sequence among them must not reach a
    terminal.
    """
    return "".join(c if c.isprintable() else _written_out(c) for c in text)


class UnknownName(AttributeError):
    """There is no such attribute. What is called nearly so is looked for when somebody reads the
    message: most who ask only want to know whether there is one.

    known : gives the names that there are; private ones are not suggested.
    elsewhere : names that people know from other libraries -> what does that here.
    """

    def __init__(
        self,
        owner: str,
        name: str,
        known: Callable[[], Iterable[str]],
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(owner, name)
        self.owner = owner
        self.asked = name
        self.known = known
        self.here = (elsewhere or {}).get(name)

    def __str__(self) -> str:
        if self.here:
            told = f"; here it is {self.here}"
        else:
            told = suggestion(self.asked, [one for one in self.known() if not one.startswith("_")])
        return f"{self.owner} has no attribute {self.asked!r}{told}"


def missing(
    module: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """The `__getattr__` of a module, which refuses every name."""

    def refuse(name: str) -> Any:
        raise UnknownName(f"module {module!r}", name, lambda: known, elsewhere)

    return refuse


def as_path(name: str, value: Any) -> Path:
    """The path that somebody gave.

    Raises
    ------
    ArgumentError : it is something else.
    """
    if not isinstance(value, str | os.PathLike):
        raise ArgumentError(f"{name}: a {type(value).__name__}, expected a path: a text or a Path")
    return Path(value)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def suggestion(word: str, names: Iterable[str]) -> str:
    """" (did you mean X?)", where a name is like the word; else nothing."""
    plain = {re.sub("[-_ ]", "", name).lower(): name for name in names}
    # a name without its second half counts too
    wanted = re.sub("[-_ ]", "", word).lower()[:100]
    close = get_close_matches(wanted, plain, 1) or [
        key for key in plain if len(wanted) > 2 and (key.startswith(wanted) or wanted in key)
    ]
    return f" (did you mean {plain[close[0]]}?)" if close else ""


class SnnrError(Exception):
    """Base of every error that snnr raises on purpose."""


class DataError(SnnrError):
    """A data set is missing, corrupt, truncated or of the wrong shape."""


class CheckpointError(SnnrError):
    """A checkpoint cannot be read, is damaged, or does not fit the network."""


class ShapeError(SnnrError, ValueError):
    """An array has the wrong shape or dtype for the operation that received it."""


class DeviceError(SnnrError):
    """The device asked for does not exist here or has no such operation."""


class ConfigError(SnnrError, ValueError):
    """A setting is outside the range that makes sense."""


class ArgumentError(SnnrError, TypeError):
    """An argument is of another kind than what received it can take."""


class DivergedError(SnnrError):
    """The loss or a gradient stopped being finite during training."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped a training between two steps; the message says where it was saved.

    signal : number of the signal (SIGINT after Ctrl-C).
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = number


class TapeError(SnnrError, RuntimeError):
    """A backward pass starts off the tape, or through a part of the graph that was freed."""
