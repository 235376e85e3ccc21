"""Compiled kernels on disk: where they lie, when they are stale, and what a damaged file does.

What Numba's own cache gets wrong, and what is done about it here:

- It drops a cached kernel when the kernel's own file changes, not when a helper that it inlines
  from another file does. Our cache folder therefore carries a hash of every source that ends up in
  CPU kernels: a change in `rules` or anywhere in `cpu` starts a fresh one; a change in another
  backend does not.
- It knows a function by file, qualified name, line and bytecode, not by the options it is compiled
  with: the second of two `jit(...)` of one function would be handed the code of the first. Each
  set of options therefore has a folder of its own. (Closures are told apart by the pickled values
  they capture; one that captures another jitted function never hits the cache.)
- It trusts every byte it reads: a damaged file raises, or crashes when the code in it runs. Files
  here end with a digest, and a file that does not fit its own counts as missing.
- It raises when no folder can be written, or the disk is full: kernels are then compiled and used
  without being kept. That, like a damaged file, is said once.
- It never deletes. Folders that no process has used for a month go when a new one is made.

A cache holds machine code and pickles, so a folder is used only if nobody but this user and root
could have written to it, or could have put another one in its place.
"""

import contextlib
import hashlib
import inspect
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba.core import caching, config

#: folders of compiled kernels that nobody used for so many seconds are removed
KEEP = 30 * 24 * 3600
_DIGITS = 16
_SEAL = 16
_told = False


def sources(root: Path) -> list[Path]:
    """The files under `snnr/kernels` that decide what compiled code does."""
    return [root / name for name in ("cache.py", "jit.py", "rules.py")] + sorted(
        (root / "cpu").rglob("*.py")
    )


def source_hash() -> str:
    """Hash of the sources of the CPU kernels (names and bytes), the compiler and the CPU."""
    root = Path(__file__).parent
    digest = hashlib.sha256(
        f"{numba.__version__} {llvmlite.__version__} {sys.version} {config.CPU_NAME} "
        f"{config.CPU_FEATURES} {binding.get_host_cpu_name()} "
        f"{binding.get_host_cpu_features().flatten()}".encode()
    )
    for path in sources(root):
        digest.update(f"\n{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def private(folder: Path) -> bool:
    """Whether `folder` is a real folder that nobody but its owner, this user, can write to."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not hasattr(os, "getuid") or (
        status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _steps(folder: Path) -> Iterator[Path]:
    """Every folder and link that the system goes through on its way to `folder`."""
    place = Path(folder.absolute().anchor)
    ahead = [*reversed(folder.absolute().parts[1:])]
    yield place
    while ahead:
        place = place / ahead.pop()
        if place.name == "..":
            place = place.parent.parent
        yield place
        if place.is_symlink():
            target = place.readlink()
            place = Path(target.anchor) if target.is_absolute() else place.parent
            ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def _own_group(group: int) -> bool:
    """Whether a group is this user's alone, as many systems make one for every user."""
    import grp
    import pwd

    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return entry.gr_name == user.pw_name and not set(entry.gr_mem) - {user.pw_name}


def unreachable(folder: Path) -> bool:
    """Whether no other user (but root) can put something else in the place of `folder`.

    Every step on the way to it belongs to this user or root, and is writable by nobody else or
    sticky, as /tmp is.
    """
    if not hasattr(os, "getuid"):
        return True
    for step in _steps(folder):
        status = step.lstat()
        if status.st_uid not in (0, os.getuid()):
            return False
        if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
            continue
        if status.st_mode & stat.S_IWOTH:
            return False
        if status.st_mode & stat.S_IWGRP and not _own_group(status.st_gid):
            return False
    return True


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
    if private(shared):  # anybody can make this name
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
            if not (private(folder) and unreachable(folder)):
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
                and private(other)
                and other.stat().st_mtime < oldest
            ):
                shutil.rmtree(other, ignore_errors=True)


def _tell(trouble: str) -> None:
    """Say, once per process, that the cache is not what it should be."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"snnr's cache of compiled kernels: {trouble}; such kernels are compiled anew, which "
            "takes time and changes no result (docs/threads-and-cache.md)",
            RuntimeWarning,
            stacklevel=2,
        )


def _seal(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SEAL).digest()


class _Sealed:
    """A file that is written, and the digest of what was."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._digest = hashlib.blake2b(digest_size=_SEAL)

    def write(self, part: bytes) -> None:
        self._digest.update(part)
        self._file.write(part)

    def close(self) -> None:
        self._file.write(self._digest.digest())


class _Files(caching.IndexDataCacheFile):
    """Numba's index and data files with a digest behind them (unpickling stops before it)."""

    def _intact(self, path: str) -> bool:
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            return False
        if content[-_SEAL:] == _seal(content[:-_SEAL]):
            return True
        _tell(f"{path} is damaged")
        return False

    def _load_index(self) -> Any:
        return super()._load_index() if self._intact(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        if self._intact(self._data_path(name)):
            return super()._load_data(name)
        raise FileNotFoundError(name)  # which Numba takes for a kernel that is not there

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[_Sealed]:
        os.makedirs(self._cache_path, mode=0o700, exist_ok=True)
        with super()._open_for_write(filepath) as file:
            sealed = _Sealed(file)
            yield sealed
            sealed.close()


class _Place(caching._CacheLocator):
    """Says where the cached kernels of one function lie: below a folder of ours, and nowhere else.

    Asked for a function (`from_function`), it answers with one that knows its file.
    """

    def __init__(self, folder: Path, function: Any = None, file: str = "") -> None:
        self._folder = folder
        self._py_file = file
        self._line = function.__code__.co_firstlineno if function is not None else 0

    def from_function(self, function: Any, file: str) -> "_Place":
        return _Place(self._folder, function, file)

    def get_cache_path(self) -> str:
        return str(self._folder / self.get_suitable_cache_subpath(self._py_file))

    def get_source_stamp(self) -> Any:
        status = os.stat(self._py_file)
        return status.st_mtime, status.st_size

    def get_disambiguator(self) -> str:
        return str(self._line)


class KernelCache(caching.FunctionCache):
    """The cache of one function: what cannot be read or written is compiled and not kept."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        class Located(caching.CompileResultCacheImpl):
            _locator_classes = (_Place(folder),)

        self._impl_class = Located
        super().__init__(function)
        self._cache_file = _Files(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except OSError as error:
            _tell(f"{error.filename or self._cache_path} cannot be read ({error.strerror})")
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        try:
            super().save_overload(signature, compiled)
        except OSError as error:
            _tell(f"{self._cache_path} cannot be written to ({error.strerror})")


def cache_for(function: Callable[..., Any], folder: Path) -> KernelCache | None:
    """The cache of `function` below `folder`; None where its source is no file (a console), or
    where Numba's settings put caches somewhere else."""
    if not os.path.isfile(inspect.getfile(function)):
        return None
    if getattr(config, "CACHE_LOCATOR_CLASSES", ""):
        return None
    return KernelCache(function, folder)
