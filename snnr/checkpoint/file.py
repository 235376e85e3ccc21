"""Putting bytes in the place of a file: all of them or none, through full disks and power cuts."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from snnr.errors import CheckpointError
from snnr.lock import try_lock

_REMEDIES = {
    errno.ENOSPC: "free some room there, or choose another folder",
    errno.EDQUOT: "your quota is used up: free some room there, or choose another folder",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or choose another file system",
    errno.ENOENT: "create the folder first",
    errno.EROFS: "choose a folder that may be written to",
    errno.EACCES: "choose a folder that may be written to",
    errno.EPERM: "choose a folder that may be written to",
}


def replace(target: Path, content: bytes) -> None:
    """Write `content` beside `target`, reach the disk with it, and rename it over the target.

    The mode of a file that is there is kept; of a symbolic link, the file it points to is
    replaced. What processes that died while writing left behind is removed.

    Raises
    ------
    CheckpointError : it cannot be written, or what is there is no file. What was there before is
        untouched, and nothing else is left.
    """
    real = Path(os.path.realpath(target))
    _refuse_special(target)
    try:
        _remove_leftovers(real)
        temporary, handle = _begin(real)
        try:
            try:
                _write(handle, content, real)
            finally:
                os.close(handle)
            os.replace(temporary, real)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        _sync_folder(real.parent)
    except OSError as error:
        raise _failure(target, error) from error


def removed(target: Path) -> None:
    """Have no file there. Raises CheckpointError where it cannot be removed."""
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot be removed ({error.strerror}); remove it, or choose another folder"
        ) from error


def probe(target: Path) -> None:
    """Find out whether `replace` could write there, before hours of work depend on it.

    Leftovers are removed as by `replace`.

    Raises
    ------
    CheckpointError : the folder cannot be created or written to, or the target is no file.
    """
    real = Path(os.path.realpath(target))
    _refuse_special(target)
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _remove_leftovers(real)
        temporary, handle = _begin(real)
        os.close(handle)
        temporary.unlink()
    except OSError as error:
        raise _failure(target, error) from error


def _refuse_special(target: Path) -> None:
    """A rename would put a file in the place of a device, for those who may do that."""
    try:
        mode = target.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise CheckpointError(
            f"{target}: is a device, a pipe or a socket, which a file would take the place of; "
            "choose another name"
        )


def _failure(target: Path, error: OSError) -> CheckpointError:
    remedy = _REMEDIES.get(error.errno or 0, "check the folder and the disk")
    kept = "; the file that was there is as it was" if target.exists() else ""
    return CheckpointError(
        f"{target}: cannot be written ({error.strerror or error}); {remedy}{kept}"
    )


def _begin(target: Path) -> tuple[Path, int]:
    """A new file beside the target, locked for as long as it is open."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        handle = os.open(temporary, flags, 0o666)
        # another process may have taken it for a leftover before it was locked
        if try_lock(handle) and os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)


def _write(handle: int, content: bytes, target: Path) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
    if hasattr(os, "fchmod"):
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(handle, stat.S_IMODE(target.stat().st_mode))
    os.fsync(handle)


def _remove_leftovers(target: Path) -> None:
    """Temporary files of this target that no living process holds."""
    for path in target.parent.glob(f".{_literal(target.name)}.{'[0-9a-f]' * 8}.tmp"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                dead = try_lock(handle)
                if dead and os.name == "posix":
                    path.unlink()
            finally:
                os.close(handle)
            if dead and os.name != "posix":  # where an open file cannot be removed
                path.unlink()


def _literal(name: str) -> str:
    """A name in which nothing is a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure; not every system can open a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
