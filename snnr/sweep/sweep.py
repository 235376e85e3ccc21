"""A sweep in its folder: which runs are done, what is left, and the results so far."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from snnr.checkpoint import CHECKPOINT, load_record
from snnr.errors import CheckpointError, ConfigError, Interrupted
from snnr.interrupt import Stop, Stopped
from snnr.lock import locked
from snnr.sweep import results
from snnr.sweep.grid import Planned
from snnr.training.run import compare

#: receives the name of a run and what happened in it
Tell = Callable[[str, Mapping[str, Any]], None]


class Pool(Protocol):
    """Who does runs."""

    def run(self, runs: Sequence[Planned], out: Path, tell: Tell, stop: Stop) -> None:
        """Do the runs in folders of `out`; each ends with an event finished, stopped or failed."""


class Follower:
    """Base of what a `Sweep` tells; override what is of interest."""

    def begin(self, sweep: "Sweep", left: Sequence[Planned]) -> None:
        """Before the first of the runs that are left."""

    def event(self, sweep: "Sweep", name: str, event: Mapping[str, Any]) -> None:
        """Something happened in a run: started, step, epoch, warning, finished, stopped, failed."""

    def end(self, sweep: "Sweep") -> None:
        """Nothing more happens: all is done, or the sweep was interrupted."""

    def stopping(self) -> None:
        """A signal asks to stop; the runs that are under way are saved first."""


class Sweep:
    """The runs of a plan in one folder, and the tables ``results.csv`` and ``results.h5``.

    Parameters
    ----------
    runs : from `snnr.sweep.plan`.
    out : the folder; each run has one inside, by its name.

    Attributes: `rows`, one mapping per run, in order: see `snnr.sweep.results`.
    """

    def __init__(self, runs: Sequence[Planned], out: Path) -> None:
        self.runs = list(runs)
        self.out = out
        self.rows = {run.name: results.row(run.name, run.config) for run in self.runs}
        self._histories: dict[str, Mapping[str, Any]] = {}

    def go(self, pool: Pool, follower: Follower | None = None) -> list[dict[str, Any]]:
        """Do what is left, and return the rows. A run that fails does not stop the others; its row
        says why.

        Raises
        ------
        Interrupted : Ctrl-C, SIGTERM or SIGHUP; the runs that were under way are saved.
        SnnrError : another process does a sweep in this folder, or it cannot be written to.
        """
        follower = follower or Follower()

        turn = threading.RLock()  # a cluster tells from a thread of its own

        def tell(name: str, event: Mapping[str, Any]) -> None:
            with turn:
                note(name, event)
                follower.event(self, name, event)

        def note(name: str, event: Mapping[str, Any]) -> None:
            if event["event"] in ("finished", "stopped", "failed"):
                self._look(self._planned(name))
                if event["event"] != "finished":
                    self.rows[name]["status"] = event["event"]
                if event["event"] == "failed":
                    self.rows[name]["error"] = event["error"]
                self.write()

        with locked(self.out), Stop(follower.stopping) as stop:
            for run in self.runs:
                self._look(run)
            left = [run for run in self.runs if self.rows[run.name]["status"] != "finished"]
            self.write()
            follower.begin(self, left)
            try:
                if left:
                    pool.run(left, self.out, tell, stop)
            finally:
                follower.end(self)
            try:
                stop.heed()
            except Stopped as stopped:
                raise Interrupted(
                    f"interrupted with {self.count('finished')} of {len(self.runs)} runs "
                    f"finished in {self.out}; the same command goes on",
                    stopped.signal,
                ) from None
        return list(self.rows.values())

    def count(self, status: str) -> int:
        """Runs of that status: waiting, stopped (begun, not at its end), finished, failed."""
        return sum(row["status"] == status for row in self.rows.values())

    def write(self) -> None:
        """Both tables, each at once or not at all."""
        rows = list(self.rows.values())
        results.write_csv(self.out / "results.csv", rows)
        results.write_h5(self.out / "results.h5", rows, self._histories)

    def _planned(self, name: str) -> Planned:
        return next(run for run in self.runs if run.name == name)

    def _look(self, run: Planned) -> None:
        """What the folder of a run holds. What is no such run is told when it is to go on."""
        path = self.out / run.name / CHECKPOINT
        if not path.exists():
            return
        try:
            record = load_record(path)
            compare(path, record.config, {**run.config, "recipe": None})
        except (CheckpointError, ConfigError):
            return
        self._histories[run.name] = record.history
        self.rows[run.name] = results.row(run.name, run.config, record)

