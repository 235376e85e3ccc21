"""The one way snnr compiles a kernel: `numba.njit` with an on-disk cache that cannot go stale.

Numba invalidates a cached kernel when the kernel's own file changes, not when a helper that it
inlines from another file does. The cache folder therefore carries a hash of every kernel source:
a change anywhere in `snnr/kernels` starts a fresh one. A package that is read-only, with no
writable home either, compiles without a cache instead of failing at import.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

from snnr.kernels import threads


def source_hash() -> str:
    """Hash of the sources under `snnr/kernels` (names and bytes) and of the versions in play."""
    root = Path(__file__).parent
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """A writable folder for compiled kernels, or None when there is none.

    `NUMBA_CACHE_DIR` wins, then `XDG_CACHE_HOME`, then `~/.cache`, then the system's temporary
    folder (under the user's id, private to the user).
    """
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    candidates = [
        config.CACHE_DIR or None,
        os.environ.get("XDG_CACHE_HOME"),
        os.path.join(os.path.expanduser("~"), ".cache"),
        os.path.join(tempfile.gettempdir(), f"snnr-{user}"),
    ]
    for candidate in filter(None, candidates):
        folder = Path(candidate) / "snnr-kernels" / source_hash()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                continue  # a cache holds machine code: never run one that somebody else made
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


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

    def decorate(function: Callable[..., Any]) -> Any:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(_FOLDER) if _FOLDER else before
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
    """True when kernels compiled from exactly these sources already lie on disk."""
    return _FOLDER is not None and any(_FOLDER.rglob("*.nbi"))
