"""The one way snnr compiles a kernel: `numba.njit` with the on-disk cache of `cache`.

A function that is compiled here may use what stands in its own folder, in `rules` and in `cpu`:
these are what the cache watches for changes.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from snnr.kernels import threads
from snnr.kernels.cache import cache_folder, cache_for

_FOLDER = cache_folder()
threads.settle()


@lru_cache
def _beside(folder: Path) -> str:
    """Hash of the sources in a folder outside of `kernels`, which the cache's folder is not named
    after; empty for one inside."""
    if folder.is_relative_to(Path(__file__).parent) or not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


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

    def decorate(function: Callable[..., Any]) -> Any:
        beside = _beside(Path(function.__code__.co_filename).parent)
        variant = hashlib.sha256(f"{chosen}{beside}".encode()).hexdigest()[:8]
        compiled = numba.njit(
            function,
            parallel=parallel,
            fastmath=fastmath,
            nogil=True,
            no_cfunc_wrapper=True,
            error_model="numpy",  # a check for zero per division would forbid vectorising
            **options,
        )
        cache = cache_for(function, _FOLDER / variant) if _FOLDER else None
        if cache is not None:
            compiled._cache = cache
        return compiled

    return decorate


def cache_is_warm() -> bool:
    """True when kernels compiled from exactly these sources, for this CPU, already lie on disk."""
    return _FOLDER is not None and next(_FOLDER.glob("*/*/*.nbi"), None) is not None


def is_compiling() -> bool:
    """True while a thread of this process compiles a kernel, or takes one from the disk."""
    if global_compiler_lock.is_locked():  # by this thread
        return True
    inner = global_compiler_lock._lock
    if inner.acquire(blocking=False):
        inner.release()
        return False
    return True
