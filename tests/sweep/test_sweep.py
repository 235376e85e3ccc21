"""A sweep in its folder: what is done stays, what broke goes on, what fails is told."""

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr.errors import Interrupted, SnnrError
from snnr.interrupt import Stop
from snnr.lock import locked
from snnr.sweep import Follower, LocalPool, Planned, Sweep, cluster, plan
from snnr.sweep.job import execute
from snnr.sweep.sweep import Tell


class Here:
    """A pool that does runs in this process, one after the other."""

    def __init__(self, steps: int | None = None) -> None:
        self.did: list[str] = []
        self.steps = steps  # until somebody wants to stop
        self.told: list[str] = []

    def run(self, runs: Sequence[Planned], out: Path, tell: Tell, stop: Stop) -> None:
        for run in runs:
            self.did.append(run.name)

            def report(event: Mapping[str, Any], name: str = run.name) -> None:
                self.told.append(event["event"])
                tell(name, event)

            tell(run.name, execute(run.config, out / run.name, report, self.stopping))
            if self.steps is not None and self.steps <= 0:
                stop.request()
                return

    def stopping(self) -> bool:
        if self.steps is not None:
            self.steps -= 1
            return self.steps <= 0
        return False


@pytest.fixture(autouse=True)
def _ask_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnr.sweep.job._EVERY", 0.0)


def runs(tiny_file: Path, **axes: Any) -> list[Planned]:
    fixed = {"epochs": 2, "timesteps": 2, "limit_train": 100, "net": "fc8-lif-fc4-lif"}
    axes = {"prior": [0.05, 0.5], "batch_size": [20], **axes}
    return plan(str(tiny_file), axes, device="cpu", **fixed)


def bits(path: Path) -> list[bytes]:
    found = snnr.load(path / "checkpoint.h5")
    return [p.numpy().tobytes() for p in found.network.parameters()]


def test_each_run_has_a_folder_and_the_tables_tell_all(tiny_file: Path, tmp_path: Path) -> None:
    planned = runs(tiny_file, method=["grad-r", "dense"])
    sweep = Sweep(planned, tmp_path)
    pool = Here()
    rows = sweep.go(pool)
    assert pool.told.count("epoch") == 6
    assert [row["status"] for row in rows] == ["finished"] * 3
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    with h5py.File(tmp_path / "results.h5") as file:
        assert list(file["runs"]) == [run.name for run in planned] != sorted(file["runs"])
        for run, row, line in zip(planned, rows, lines, strict=True):
            found = snnr.load(tmp_path / run.name / "checkpoint.h5")
            assert float(line["accuracy"]) == row["accuracy"] == found.accuracy
            assert float(line["connectivity"]) == found.connectivity
            assert (line["seed"], line["method"]) == ("0", run.settings.method)
            seconds = found.history["seconds"]
            assert float(line["seconds"]) == sum(seconds)
            assert row["seconds_per_epoch"] == sum(seconds) / len(seconds)
            assert row["checkpoint"] == f"{run.name}/checkpoint.h5"
            group = file["runs"][run.name]
            assert group.attrs["status"] == "finished"
            assert group.attrs["loss"] == found.history["test_loss"][-1]
            np.testing.assert_array_equal(group["history/connectivity"],
                                          found.history["connectivity"])  # fmt: skip
            assert list(group["history/firing_rate"]) == ["2_lif", "4_lif"]
    assert lines[-1]["prior"] == ""
    assert b"\r" not in (tmp_path / "results.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*(run.name for run in planned), "results.csv", "results.h5"]
    )


def test_a_finished_run_is_never_repeated_and_more_can_join(
    tiny_file: Path, tmp_path: Path
) -> None:
    first = runs(tiny_file, seed=[0])
    Sweep(first, tmp_path).go(Here())
    before = {run.name: (tmp_path / run.name / "checkpoint.h5").stat() for run in first}
    pool = Here()
    rows = Sweep(runs(tiny_file, seed=[0, 1]), tmp_path).go(pool)
    assert len(rows) == 4
    assert len(pool.did) == 2
    assert not set(pool.did) & set(before)
    for name, stat in before.items():
        assert (tmp_path / name / "checkpoint.h5").stat().st_mtime_ns == stat.st_mtime_ns


def test_a_broken_run_goes_on_with_its_bits(tiny_file: Path, tmp_path: Path) -> None:
    planned = runs(tiny_file)
    execute(planned[1].config, tmp_path / "whole", lambda event: None)
    with pytest.raises(Interrupted, match="interrupted with 1 of 2 runs finished in") as stopped:
        Sweep(planned, tmp_path / "broken").go(Here(steps=18))
    assert stopped.value.signal == 15
    second = snnr.load(tmp_path / "broken" / planned[1].name / "checkpoint.h5")
    assert (second.epoch, second.step) == (1, 8)
    text = (tmp_path / "broken/results.csv").read_text()
    assert ",stopped," in text
    rows = Sweep(planned, tmp_path / "broken").go(Here())
    assert [row["status"] for row in rows] == ["finished", "finished"]
    assert bits(tmp_path / "whole") == bits(tmp_path / "broken" / planned[1].name)


def test_one_that_fails_does_not_stop_the_others(tiny_file: Path, tmp_path: Path) -> None:
    planned = runs(tiny_file, batch_size=[500, 20])
    rows = Sweep(planned, tmp_path).go(Here())
    wrong = [row for row in rows if row["batch_size"] == 500]
    told = "batch_size (=500) must lie between 1 and 100"
    assert [row["status"] for row in rows] == ["failed", "finished"] * 2
    assert all(told in row["error"] for row in wrong)
    assert (tmp_path / "results.csv").read_text().count(told) == 2


def test_what_is_no_such_run_is_told_and_left_alone(tiny_file: Path, tmp_path: Path) -> None:
    planned = runs(tiny_file)
    other = runs(tiny_file, seed=[3])
    execute(other[0].config, tmp_path / planned[0].name, lambda event: None)
    (tmp_path / planned[1].name).mkdir()
    (tmp_path / planned[1].name / "checkpoint.h5").write_bytes(b"nothing")
    kept = bits(tmp_path / planned[0].name)
    rows = Sweep(planned, tmp_path).go(Here())
    assert "was trained with seed 3, not 0" in rows[0]["error"]
    assert "checkpoint.h5" in rows[1]["error"]
    assert bits(tmp_path / planned[0].name) == kept


def test_one_sweep_at_a_time_in_a_folder(tiny_file: Path, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(SnnrError, match="is in use by process"):
        Sweep(runs(tiny_file), tmp_path).go(Here())


class Ended(Follower):
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, sweep: Sweep, name: str, event: Mapping[str, Any]) -> None:
        self.events.append((name, event["event"]))


def test_a_process_that_dies_fails_its_run_alone(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also: one process does several runs, and events arrive in order."""
    planned = runs(tiny_file)
    (tmp_path / planned[0].name).mkdir()
    # what a worker meets there ends it as a crash of a library would
    (tmp_path / planned[0].name / "checkpoint.h5").write_bytes(b"")
    monkeypatch.setattr(
        "snnr.sweep.local._START",
        "import json, sys, os; sys.path[:] = json.loads(sys.argv[1])\n"
        "import snnr.sweep.worker as w, snnr.sweep.job as j\n"
        "j.resume = lambda *a: (sys.stderr.write('a crash\\n'), sys.stderr.flush(), os.abort())\n",
    )
    monkeypatch.setattr("snnr.sweep.local._CALL", "w.main()")
    follower = Ended()
    rows = Sweep(planned, tmp_path).go(LocalPool(1, 1), follower)
    assert rows[0]["status"] == "failed"
    assert "its process ended with signal SIGABRT, last words: " in rows[0]["error"]
    assert rows[1]["status"] == "finished"
    assert [kind for name, kind in follower.events if name == planned[1].name][-1] == "finished"


def test_runs_on_a_cluster_stop_by_a_file_and_report_as_others(
    tiny_file: Path, tmp_path: Path
) -> None:
    """What Dask's workers do, in threads of this process; tests/sweep/test_dask.py has the real
    ones."""
    planned = runs(tiny_file)

    class Threads:
        def run(self, runs: Sequence[Planned], out: Path, tell: Tell, stop: Stop) -> None:
            flag = out / ".flag"
            with ThreadPoolExecutor(1) as workers:
                futures = {
                    run.name: workers.submit(
                        cluster.remote, run.config, str(out / run.name), str(flag), "topic", 1
                    )
                    for run in runs
                }
                if self.stops:
                    stop.request()
                cluster.follow(futures, flag, tell, stop)
            assert flag.exists() == self.stops
            if self.stops:
                flag.unlink()

        def __init__(self, stops: bool) -> None:
            self.stops = stops

    pytest.importorskip("distributed")
    with pytest.raises(Interrupted):
        Sweep(planned, tmp_path).go(Threads(stops=True))
    rows = Sweep(planned, tmp_path).go(Threads(stops=False))
    assert [row["status"] for row in rows] == ["finished", "finished"]
    execute(planned[1].config, tmp_path / "plain", lambda event: None)
    assert bits(tmp_path / "plain") == bits(tmp_path / planned[1].name)


def test_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnr.sweep.local.cores", lambda: 8)
    assert [LocalPool(n).threads for n in (1, 3, 8, 20)] == [8, 2, 1, 1]
    assert LocalPool(4, threads=5).threads == 5
    with pytest.raises(snnr.ConfigError, match="jobs"):
        LocalPool(0)
