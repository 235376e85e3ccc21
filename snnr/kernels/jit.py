"""The one way snnr compiles a kernel: `numba.njit` with an on-disk cache that cannot go stale.

What Numba's own cache gets wrong, and what is done about it here:

- It drops a cached kernel when the kernel's own file changes, not when a helper that it inlines
  from another file does. Our cache folder therefore carries a hash of every kernel source: a
  change anywhere in `snnr/kernels` starts a fresh one.
- It knows a function by file, qualified name, line and bytecode, not by the options it is compiled
  with: the second of two `jit(...)` of one function would be handed the code of the first. Each
  set of options therefore has a folder of its own. (Closures are told apart by the pickled values
  they capture; one that captures another jitted function never hits the cache.)
- It raises at import when no folder can be written: a read-only package without a writable home
  compiles without a cache.
- It never deletes. Folders that no process has used for a month go when a new one is made.

A cache holds machine code and pickles, so a folder that another user could have written to is
never used.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba.core import config

from snnr.kernels import threads

#: folders of compiled kernels that nobody used for so many seconds are removed
KEEP = 30 * 24 * 3600
_DIGITS = 16


def source_hash() -> str:
    """Hash of the sources under `snnr/kernels` (names and bytes), the compiler and the CPU."""
    root = Path(__file__).parent
    digest = hashlib.sha256(
        f"{numba.__version__} {llvmlite.__version__} {sys.version} {config.CPU_NAME} "
        f"{config.CPU_FEATURES} {binding.get_host_cpu_name()} "
        f"{binding.get_host_cpu_features().flatten()}".encode()
    )
    for path in sorted(root.rglob("*.py")):
        digest.update(f"\n{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def _private(folder: Path) -> bool:
    """Whether `folder` is a real folder that nobody but its owner, this user, can write to."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not hasattr(os, "getuid") or (
        status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _places() -> Iterator[Path]:
    """Folders that may hold the cache, in order of preference."""
    for place in (config.CACHE_DIR, os.environ.get("XDG_CACHE_HOME")):
        if place:
            yield Path(place)
    with contextlib.suppress(RuntimeError):  # a user without a home
        yield Path.home() / ".cache"
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    shared = Path(tempfile.gettempdir(), f"snnr-{user}")
    shared.mkdir(mode=0o700, exist_ok=True)
    if _private(shared):  # anybody can make this name
        yield shared


def cache_folder() -> Path | None:
    """A writable folder for compiled kernels, or None when there is none.

    `NUMBA_CACHE_DIR` wins, then `XDG_CACHE_HOME`, then `~/.cache`, then the system's temporary
    folder (under the user's id, private to the user).
    """
    name = source_hash()
    places = _places()
    while True:
        try:
            folder = next(places) / "snnr-kernels" / name
            fresh = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _private(folder):
                continue
            with tempfile.TemporaryFile(dir=folder):
                os.utime(folder)  # in use: not to be removed
        except StopIteration:
            return None
        except OSError:
            continue
        if fresh:
            remove_stale(folder)
        return folder


def remove_stale(folder: Path, keep: float = KEEP) -> None:
    """Delete the folders beside `folder` that no process has used for `keep` seconds.

    Only what this module made: private folders with a hash for a name. A process that still runs
    on one of them makes it anew when it next compiles.
    """
    oldest = time.time() - keep
    for other in folder.parent.iterdir():
        hashed = len(other.name) == _DIGITS and not other.name.strip("0123456789abcdef")
        with contextlib.suppress(OSError):
            if (
                hashed
                and other.name != folder.name
                and _private(other)
                and other.stat().st_mtime < oldest
            ):
                shutil.rmtree(other, ignore_errors=True)


_FOLDER = cache_folder()
threads.settle()


def jit(
    parallel: bool = False, fastmath: bool | set[str] = False, **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile with Numba on first call, without the GIL, cached on disk.

    Parameters
    ----------
    parallel : allow `prange`.
    fastmath : as for `numba.njit`.
    """
    flags = sorted(fastmath) if isinstance(fastmath, set) else fastmath
    chosen = repr((parallel, flags, sorted(options.items())))
    variant = hashlib.sha256(chosen.encode()).hexdigest()[:8]

    def decorate(function: Callable[..., Any]) -> Any:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(_FOLDER / variant) if _FOLDER else before
        try:
            return numba.njit(
                function,
                parallel=parallel,
                fastmath=fastmath,
                nogil=True,
                error_model="numpy",  # a check for zero per division would forbid vectorising
                cache=_FOLDER is not None,
                **options,
            )
        finally:
            config.CACHE_DIR = before

    return decorate


def cache_is_warm() -> bool:
    """True when kernels compiled from exactly these sources, for this CPU, already lie on disk."""
    return _FOLDER is not None and next(_FOLDER.glob("*/*/*.nbi"), None) is not None
