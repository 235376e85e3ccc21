"""Runs in processes of this machine, the cores shared out among them."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnr.errors import ConfigError
from snnr.interrupt import AtOnce, Stop, Stopped
from snnr.sweep.grid import Planned
from snnr.sweep.job import cores
from snnr.sweep.sweep import Tell

_TICK = 0.1  # seconds between two looks at whether somebody wants to stop

#: a worker looks for modules where this process does
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import snnr.sweep.worker as w\n"
_CALL = "w.main()"
#: variables that limit threads: Numba's, and those of the libraries below NumPy
_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class LocalPool:
    """Does runs in `jobs` processes of `threads` threads each.

    jobs : processes at a time.
    threads : of each; by default the cores divided by the processes, at least one.

    Raises
    ------
    ConfigError : jobs is not a whole number of at least 1.
    """

    def __init__(self, jobs: int = 1, threads: int | None = None) -> None:
        if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
            raise ConfigError(f"jobs (={jobs!r}) must be a whole number, at least 1")
        self.jobs = jobs
        self.threads = threads or max(1, cores() // jobs)

    def __str__(self) -> str:
        return f"{self.jobs} at a time, {self.threads} thread{'s' * (self.threads != 1)} each"

    def run(self, runs: Sequence[Planned], out: Path, tell: Tell, stop: Stop) -> None:
        """Do the runs; each ends with one event, finished, stopped or failed. A wish to stop saves
        those that run and leaves the others alone."""
        waiting = list(reversed(runs))
        happened: queue.Queue[tuple[_Worker, str]] = queue.Queue()
        workers: list[_Worker] = []
        try:
            while waiting or any(worker.run is not None for worker in workers):
                while waiting and len(workers) < self.jobs:
                    workers.append(_Worker(self.threads, happened))
                for worker in workers:
                    if waiting and worker.run is None:
                        worker.take(waiting.pop(), out, self.threads)
                with contextlib.suppress(queue.Empty):
                    self._hear(*happened.get(timeout=_TICK), workers, tell)
                try:
                    stop.heed()
                except Stopped as stopped:
                    waiting.clear()
                    for worker in workers:
                        worker.pass_on(stopped.signal)
        except AtOnce:
            for worker in workers:
                worker.process.kill()
            raise
        finally:
            for worker in workers:
                worker.end()

    def _hear(
        self, worker: "_Worker", line: str, workers: list["_Worker"], tell: Tell
    ) -> None:
        if line:
            event = json.loads(line)
            if event["event"] in ("finished", "stopped", "failed"):
                worker.run = None
            tell(event.pop("run"), event)
            return
        workers.remove(worker)
        name, words = worker.run, worker.last_words()
        worker.end()
        if name is not None:
            worker.run = None
            # one that was asked to stop before its training began has nothing to save
            ended: Mapping[str, Any] = {"event": "failed", "error": words}
            tell(name, {"event": "stopped"} if worker.told else ended)


class _Worker:
    """A process, and the run that it does."""

    def __init__(self, threads: int, happened: "queue.Queue[tuple[_Worker, str]]") -> None:
        self.run: str | None = None
        self.told = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed with the worker
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START + _CALL, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            # Ctrl-C is for this process alone, which passes it on once
            start_new_session=True,
            env={**os.environ, **dict.fromkeys(_LIMITS, str(threads))},
        )
        self._reader = threading.Thread(target=self._read, args=(happened,), daemon=True)
        self._reader.start()

    def _read(self, happened: "queue.Queue[tuple[_Worker, str]]") -> None:
        assert self.process.stdout is not None
        with self.process.stdout as events:
            for line in events:
                happened.put((self, line))
        self.process.wait()
        happened.put((self, ""))

    def take(self, run: Planned, out: Path, threads: int) -> None:
        """Give it a run."""
        assert self.process.stdin is not None
        self.run = run.name
        config = {**run.config, "threads": threads}
        job = {"run": run.name, "config": config, "folder": str((out / run.name).absolute())}
        with contextlib.suppress(OSError):  # it is dead, which `_read` tells
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()

    def pass_on(self, number: int) -> None:
        """Send it a signal, once: the second one would end it unsaved."""
        if not self.told and self.run is not None:
            self.told = True
            with contextlib.suppress(OSError):
                self.process.send_signal(number)

    def last_words(self) -> str:
        """Why a process ended in the middle of a run."""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        code = self.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = f", last words: {lines[-1].strip()}" if lines else ""
        memory = "; the system may have run out of memory" if code == -9 else ""
        return f"its process ended with {how}{memory}{last}"

    def end(self) -> None:
        """No more runs."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self._reader.join()
        self._errors.close()
