"""Errors a user of snnr may meet. Each message names the value, the expectation and the remedy."""

import signal


def printable(text: str) -> str:
    """The text with what a terminal might obey, or show as a blank or in another order, written
    out.

    Names and values in files are a stranger's: an escape sequence among them must not reach a
    terminal.
    """
    return "".join(c if c.isprintable() else _written_out(c) for c in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


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
