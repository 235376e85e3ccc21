"""One run folder belongs to one process at a time.

The lock is the operating system's, on a small file in the folder: when a process ends, however it
ends, its lock is gone. The file itself says who holds it.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from snnr.errors import SnnrError, printable

NAME = ".lock"
_LENGTH = 200  # bytes of the note inside of it


class InUseError(SnnrError):
    """Another process holds the folder."""


def try_lock(handle: int) -> bool:
    """Lock an open file for this process, until it is closed; False when another has it.

    On a file system that knows no locks everybody succeeds.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Windows says "permission denied"; elsewhere the file system has no locks
        return os.name != "nt"
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder; it is created when it is missing, and taken away again when it stays empty.

    Raises
    ------
    InUseError : another process holds it.
    SnnrError : it cannot be written to.
    """
    created = _create(folder)
    try:
        handle = _acquire(folder)
        try:
            yield
        finally:
            # while it is locked, so that nobody else can be holding what is removed
            with contextlib.suppress(OSError):
                (folder / NAME).unlink()
            os.close(handle)
    finally:
        for path in created:
            with contextlib.suppress(OSError):
                path.rmdir()


def _create(folder: Path) -> list[Path]:
    """Make the folder and those above it; returns those that were missing, the deepest first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SnnrError(
            f"{folder}: cannot be created ({error.strerror}); choose another folder with --out"
        ) from error
    return missing


def _acquire(folder: Path) -> int:
    path = folder / NAME
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SnnrError(
                f"{folder}: cannot be written to ({error.strerror}); choose another folder with "
                "--out"
            ) from error
        if not try_lock(handle):
            holder = printable(_note(handle))
            os.close(handle)
            raise InUseError(
                f"{folder} is in use by {holder or 'another process'}: wait until it ends, or "
                "choose another folder with --out"
            )
        # whoever held it may have removed the file between the opening and the locking
        if _is_still(path, handle):
            with contextlib.suppress(OSError):  # a full disk: the note is a courtesy
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def _note(handle: int) -> str:
    try:
        return os.read(handle, _LENGTH).decode("utf-8", "replace")
    except OSError:
        return ""
