"""Runs on the workers of a Dask cluster, which see the same folders as this process.

A worker that dies in the middle of a run loses what came after the last checkpoint; Dask gives the
run to another one, which goes on from there.
"""

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snnr.errors import ConfigError, SnnrError
from snnr.interrupt import Stop, Stopped
from snnr.sweep.grid import Planned
from snnr.sweep.job import cores, execute
from snnr.sweep.sweep import Tell

_TICK = 0.2  # seconds between two looks at the runs
#: seconds that a run waits for the lock of a worker that died
PATIENCE = 60.0


class DaskPool:
    """Hands runs to the scheduler at `address` ("tcp://host:8786").

    threads : of each run; by default the cores of a worker's host divided by the runs that it does
        at a time.

    Raises
    ------
    ConfigError : Dask is not installed.
    SnnrError : nobody answers there.
    """

    def __init__(self, address: str, threads: int | None = None, timeout: float = 30.0) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise ConfigError(
                "--scheduler needs Dask, which is not installed: pip install 'snnr[dask]'"
            ) from None
        try:
            self.client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise SnnrError(
                f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler"
            ) from error
        self.address = address
        self.threads = threads

    def __str__(self) -> str:
        return f"Dask at {self.address}"

    def close(self) -> None:
        """Leave the cluster; it goes on without this process."""
        self.client.close()

    def run(self, runs: Sequence[Planned], out: Path, tell: Tell, stop: Stop) -> None:
        """As `LocalPool.run`; workers notice the wish to stop by a file in `out`."""
        topic = f"snnr-{secrets.token_hex(8)}"
        folder = out.absolute()
        flag = folder / f".{topic}.stop"
        self.client.subscribe_topic(topic, lambda event: self._tell(event, tell))
        try:
            follow(
                {
                    run.name: self.client.submit(
                        remote, run.config, str(folder / run.name), str(flag), topic,
                        self.threads, self._slots(), key=f"{topic}-{run.name}", pure=False,
                    )
                    for run in runs
                },
                flag, tell, stop,
            )  # fmt: skip
        finally:
            self.client.unsubscribe_topic(topic)
            with contextlib.suppress(OSError):
                flag.unlink()

    def _slots(self) -> dict[str, int]:
        """Host -> runs that its workers do at a time."""
        slots: Counter[str] = Counter()
        for address, about in self.client.scheduler_info(n_workers=-1)["workers"].items():
            slots[urlsplit(address).hostname or ""] += int(about["nthreads"])
        return dict(slots)

    @staticmethod
    def _tell(event: Any, tell: Tell) -> None:
        _, message = event
        if isinstance(message, Mapping) and message.get("event") in _ON_THE_WAY:
            tell(str(message["run"]), {k: v for k, v in message.items() if k != "run"})


#: events that are told while a run is under way; its end is the result of its task
_ON_THE_WAY = ("started", "step", "epoch", "warning")


def follow(futures: Mapping[str, Any], flag: Path, tell: Tell, stop: Stop) -> None:
    """Wait until every future is done, and tell how each run ended.

    A wish to stop makes the file `flag` and cancels what has not begun.
    """
    pending = dict(futures)
    stopping = False
    while pending:
        for name, future in list(pending.items()):
            if future.done():
                del pending[name]
                tell(name, _ended(future))
        try:
            stop.heed()
        except Stopped:
            if not stopping:
                stopping = True
                flag.touch()
            for name in [n for n, f in pending.items() if not _begun(f)]:
                pending.pop(name).cancel()
                tell(name, {"event": "stopped"})
        time.sleep(_TICK if pending else 0)


def _begun(future: Any) -> bool:
    """Whether a run may be under way; Dask does not say which of its tasks are."""
    running = getattr(future, "running", None)
    return bool(running()) if running is not None else True


def _ended(future: Any) -> Mapping[str, Any]:
    if future.cancelled():
        return {"event": "failed", "error": "the cluster dropped it"}
    error = future.exception()
    if error is not None:
        return {"event": "failed", "error": f"{type(error).__name__}: {error}"}
    result: Mapping[str, Any] = future.result()
    return result


def remote(
    config: Mapping[str, Any],
    folder: str,
    flag: str,
    topic: str,
    threads: int | None = None,
    slots: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """A run, in a worker's thread."""
    run, stop_file = Path(folder).name, Path(flag)
    if stop_file.exists():
        return {"event": "stopped"}
    log, host = _worker()
    share = max(1, cores() // (slots or {}).get(host, 1))

    def tell(event: Mapping[str, Any]) -> None:
        if log is not None:
            log(topic, {"run": run, **event})

    chosen = {**config, "threads": threads or share}
    return execute(chosen, Path(folder), tell, stop_file.exists, PATIENCE)


def _worker() -> tuple[Any, str]:
    """How this worker tells something, and its host; nothing outside of one."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return None, ""
    return worker.log_event, urlsplit(worker.address).hostname or ""
