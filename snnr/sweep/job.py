"""One run of a sweep, wherever it happens: begun, or taken up where it stopped."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snnr.checkpoint import CHECKPOINT
from snnr.errors import Interrupted, SnnrError
from snnr.interrupt import AtOnce
from snnr.lock import InUseError, locked
from snnr.training import Callback, RunSettings, Trainer, resume, run_settings, start
from snnr.training.settings import run_fields, takes

#: receives what happens in a run: JSON values with a key "event"
Tell = Callable[[Mapping[str, Any]], None]

_EVERY = 0.5  # seconds between two reports within an epoch


def settings_of(config: Mapping[str, Any]) -> RunSettings:
    """The settings that `RunSettings.as_config` told, back."""
    method = str(config["method"])
    names = {one.name for one in run_fields()} | {"data_dir", "device", "threads"}
    given = {k: v for k, v in config.items() if k in names or takes(method, k)}
    return run_settings(str(config["dataset"]), config.get("recipe"), **given)


def execute(
    config: Mapping[str, Any],
    folder: Path,
    tell: Tell,
    stopping: Callable[[], bool] = lambda: False,
    patience: float = 0.0,
) -> dict[str, Any]:
    """Do a run to its end, or until it is to stop; says how it ended and raises nothing of its own.

    Parameters
    ----------
    config : from `RunSettings.as_config`.
    folder : of the run; what is there is gone on with.
    stopping : asked after steps, now and then: whether to save and stop.
    patience : seconds to wait for another process that holds the folder.

    Returns
    -------
    ``{"event": "finished"}``, ``{"event": "stopped", "signal"}`` or ``{"event": "failed",
    "error"}``.
    """
    try:
        settings = settings_of(config)
        with _held(folder, patience):
            trainer = _trainer(settings, folder / CHECKPOINT, [_Reporter(tell, stopping)])
            tell({"event": "started", "epoch": trainer.epoch, "epochs": trainer.epochs})
            trainer.fit()
    except (Interrupted, AtOnce) as stopped:
        return {"event": "stopped", "signal": int(stopped.signal)}
    except SnnrError as error:
        return {"event": "failed", "error": " ".join(str(error).split())}
    except Exception as error:
        return {"event": "failed", "error": f"unexpected {type(error).__name__}: {error}"}
    return {"event": "finished"}


def _trainer(settings: RunSettings, checkpoint: Path, callbacks: Iterable[Callback]) -> Trainer:
    if not checkpoint.exists():
        return start(settings, checkpoint, callbacks)
    if settings.threads is not None:
        from snnr.kernels.threads import set_threads  # only now: it loads the compiler

        set_threads(settings.threads)
    # a recipe is a way to say settings, and they are all said
    asked = {**settings.as_config(), "recipe": None}
    return resume(
        checkpoint, asked, settings.epochs, settings.data_dir, settings.device,
        callbacks,
    )  # fmt: skip


@contextlib.contextmanager
def _held(folder: Path, patience: float) -> Iterator[None]:
    """The folder's lock. A process that died on another machine may hold it for a while."""
    until = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(folder))
                break
            except InUseError:
                if time.monotonic() >= until:
                    raise
            time.sleep(min(1.0, patience))
        yield


class _Reporter(Callback):
    """Tells what happens, and passes on the wish to stop."""

    def __init__(self, tell: Tell, stopping: Callable[[], bool]) -> None:
        self._tell = tell
        self._stopping = stopping
        self._due = 0.0

    def step(self, trainer: Trainer) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY
        if self._stopping():
            trainer.stop()
        self._tell(
            {"event": "step", "epoch": trainer.epoch, "step": trainer.position,
             "steps": trainer.batches}
        )  # fmt: skip

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        keys = ("epoch", "test_accuracy", "connectivity", "seconds")
        self._tell({"event": "epoch", **{key: row[key] for key in keys}})
        self._due = 0.0  # who heard of the epoch may wish to stop now

    def warning(self, trainer: Trainer, text: str) -> None:
        self._tell({"event": "warning", "text": text})


def cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
