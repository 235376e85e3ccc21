"""Threading layer and thread counts: settled here, once, before the first parallel kernel runs.

Order of preference: what the host program or `NUMBA_THREADING_LAYER` chose; TBB where its library
can be loaded (cheap to launch, safe when several Python threads launch at once); OpenMP with
passive waiting, because threads that spin between kernels take the cores away from everybody
else. Where neither exists, `workqueue` is all that Numba has left: it ends the process when two
Python threads launch together, so the operations then take turns (`in_turn`).

Numba sizes the pool when it is imported: `NUMBA_NUM_THREADS`, else the cores this process may run
on (`OMP_NUM_THREADS` does not count). The number in use can be lowered later, and that number
belongs to the *calling Python thread*: another thread starts with the whole pool.

A forked child inherits the pool without its threads. TBB and workqueue notice and start new ones;
GNU OpenMP ends the child. Numba has TBB end its threads before a fork, which it cannot do while
another living thread has computed with it: the child may then inherit one of TBB's own locks from a
thread that it has not got, and wait for it for ever (seen in `market::register_client`, in one of
80 forks beside a thread that computed). Who has computed cannot be told, so beside other Python
threads the operations are replaced by an error (`refuse_after_fork`), as they are under OpenMP.
That comes too late for what Numba itself asks of TBB in the child, before any Python runs there
(one of 1,600 forks hung); so a fork waits until no other thread is inside of an operation
(`let_through`).
Locks that a thread may hold for long are taken around a fork, so that no child inherits one that
nobody will release.
"""

import ctypes
import os
import site
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock

from snnr.errors import ConfigError, DeviceError

NOT_STARTED = "not started"

_TBB_NAMES = {"linux": "libtbb.so.12", "darwin": "libtbb.12.dylib", "win32": "tbb12.dll"}
#: the oldest TBB that Numba's layer works with: 2021 update 6
_TBB_INTERFACE = 12060
_settled = False
#: whether other Python threads were alive at the last fork
_beside_others = False
_turn = threading.RLock()
#: Python thread -> how deep it is inside of operations; a fork is under way
_inside: dict[int, int] = {}
_forking = False
#: one fork at a time
_forks = threading.RLock()
#: seconds for which a fork waits for operations to end, at most
_PATIENCE = 30.0
#: taken around a fork, in the order in which an operation takes them
_held_over_fork: list[Any] = [_turn, global_compiler_lock]
_to_refuse: list[tuple[MutableMapping[str, Any], tuple[str, ...]]] = []


def _load_tbb() -> bool:
    """Load TBB from the loader's path, or from where its wheel puts it but no loader looks."""
    name = _TBB_NAMES.get(sys.platform)
    if name is None:
        return False
    folder = Path("Library", "bin") if sys.platform == "win32" else Path("lib")
    roots = dict.fromkeys(map(Path, (sys.prefix, sys.base_prefix, site.getuserbase())))
    installed = [path for root in roots if (path := root / folder / name).is_file()]
    for candidate in [name, *map(str, installed)]:
        try:
            version = ctypes.CDLL(candidate).TBB_runtime_interface_version
        except (OSError, AttributeError):
            continue
        if version() >= _TBB_INTERFACE:
            return _loads("tbbpool")
    return False


def _loads(pool: str) -> bool:
    """Whether Numba's extension module for a threading layer can be loaded here."""
    try:
        import_module(f"numba.np.ufunc.{pool}")
    except ImportError:
        return False
    return True


def _best() -> str:
    if _load_tbb():
        return "tbb"
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when OpenMP itself is loaded
    return "omp" if _loads("omppool") else "workqueue"


def settle() -> None:
    """Choose the threading layer (idempotent; does nothing to a choice that was made before)."""
    global _settled
    if _settled:
        return
    _settled = True
    if layer() != NOT_STARTED:
        return
    if config.THREADING_LAYER == "default" and "NUMBA_THREADING_LAYER" not in os.environ:
        config.THREADING_LAYER = _best()
    elif config.THREADING_LAYER == "tbb":
        _load_tbb()  # Numba alone does not look where the wheel puts it
    elif config.THREADING_LAYER != "workqueue":
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def layer() -> str:
    """Name of the threading layer that runs the kernels ("not started" before the first one)."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return NOT_STARTED


def set_threads(count: int | None) -> int:
    """Limit the kernels that the calling Python thread launches to `count` threads.

    None keeps what is set. Returns the number in use.

    Raises
    ------
    ConfigError : `count` is not a whole number between 1 and the size of Numba's pool.
    """
    if count is not None:
        limit = int(config.NUMBA_NUM_THREADS)
        if not isinstance(count, int) or not 1 <= count <= limit:
            raise ConfigError(
                f"threads (={count!r}) must be a whole number from 1 to {limit}; "
                "set NUMBA_NUM_THREADS before starting to raise the limit"
            )
        numba.set_num_threads(count)
    return int(numba.get_num_threads())


def in_turn(operations: Mapping[str, Callable[..., Any]]) -> Mapping[str, Callable[..., Any]]:
    """The operations, one at a time where the layer cannot bear two Python threads at once."""
    started = layer()
    chosen = str(config.THREADING_LAYER) if started == NOT_STARTED else started
    if chosen in ("tbb", "omp", "safe", "threadsafe"):
        return operations
    return {name: _alone(operation) for name, operation in operations.items()}


def _alone(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def waits(*args: Any, **kwargs: Any) -> Any:
        with _turn:
            return operation(*args, **kwargs)

    return waits


def guarded(operations: Mapping[str, Callable[..., Any]]) -> Mapping[str, Callable[..., Any]]:
    """The operations as Python threads and forks may use them: `in_turn`, and `let_through`."""
    return {name: let_through(one) for name, one in in_turn(operations).items()}


def let_through(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The operation, kept out of forks: it does not begin during one, and one waits for its end.

    No lock: each thread writes its own entry and then looks at the flag, a fork raises the flag and
    then looks at the entries.
    """

    @wraps(operation)
    def passes(*args: Any, **kwargs: Any) -> Any:
        me = threading.get_ident()
        depth = _inside.get(me, 0)
        _inside[me] = depth + 1
        while _forking and not depth:
            _inside[me] = 0
            time.sleep(1e-4)
            _inside[me] = 1
        try:
            return operation(*args, **kwargs)
        finally:
            if depth:
                _inside[me] = depth
            else:
                _inside.pop(me, None)

    return passes


def _wait_for_others() -> None:
    me, deadline = threading.get_ident(), time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if not any(depth for who, depth in list(_inside.items()) if who != me):
            return
        time.sleep(1e-4)


def hold_over_fork(lock: Any) -> None:
    """Have a lock that operations take, and take no other one inside, free in forked children."""
    _held_over_fork.append(lock)


def refuse_after_fork(functions: MutableMapping[str, Any], names: Iterable[str]) -> None:
    """In a forked child that cannot run kernels, replace these functions by one that says so."""
    _to_refuse.append((functions, tuple(names)))


def _refused(*args: Any, **kwargs: Any) -> None:
    raise DeviceError(
        "this process was forked from one whose kernels already ran on OpenMP, or on TBB beside "
        "other Python threads, which cannot go on in a forked process: start it with "
        "multiprocessing.get_context('spawn') or 'forkserver', or fork from the only thread with "
        "the threading layer tbb (pip install tbb), which survives that"
    )


def _before_fork() -> None:
    global _beside_others, _forking
    _forks.acquire()
    _beside_others = threading.active_count() > 1
    _forking = True
    _wait_for_others()
    for lock in _held_over_fork:
        lock.acquire()


def _after_fork() -> None:
    global _forking
    for lock in reversed(_held_over_fork):
        lock.release()
    _forking = False
    _forks.release()


def _in_child() -> None:
    _after_fork()
    me = threading.get_ident()
    for who in [one for one in _inside if one != me]:
        del _inside[who]  # threads that are not here
    stuck = layer() == "omp" or (layer() == "tbb" and _beside_others)
    if stuck and sys.platform.startswith("linux"):
        for functions, names in _to_refuse:
            functions.update(dict.fromkeys(names, _refused))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child
    )
