"""Runs on real Dask workers, one of which is killed half way."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import snnr
from snnr.checkpoint import load_record
from snnr.sweep import DaskPool, Follower, Sweep, plan
from snnr.sweep.job import execute

pytest.importorskip("distributed")


def test_nobody_answers() -> None:
    with pytest.raises(snnr.SnnrError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        DaskPool("tcp://127.0.0.1:9", timeout=0.5)


class Killer(Follower):
    """Kills the worker that does a run, once it has a checkpoint."""

    def __init__(self) -> None:
        self.killed: str | None = None
        self.begun: list[str] = []

    def event(self, sweep: Sweep, name: str, event: Mapping[str, Any]) -> None:
        if event["event"] == "started":
            self.begun.append(name)
        if event["event"] == "epoch" and self.killed is None:
            holder = (sweep.out / name / ".lock").read_text()
            self.killed = name
            os.kill(int(holder.split()[1]), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.filterwarnings("default")
def test_a_worker_is_killed_and_the_run_goes_on_elsewhere(
    tiny_file: Path, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    fixed = {"epochs": 12, "batch_size": 5, "timesteps": 2, "net": "fc8-lif-fc4-lif"}
    planned = plan(str(tiny_file), {"prior": [0.05, 0.1], "seed": [0, 1]}, device="cpu", **fixed)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        killer = Killer()
        pool = DaskPool(cluster.scheduler_address, threads=1)
        rows = Sweep(planned, tmp_path / "cluster").go(pool, killer)
        pool.close()
    assert [row["status"] for row in rows] == ["finished"] * 4
    assert killer.killed is not None
    assert killer.begun.count(killer.killed) == 2
    assert not list((tmp_path / "cluster").glob(".snnr-*"))
    # bit for bit what a run in this process gives
    name = killer.killed
    run = next(run for run in planned if run.name == name)
    execute(run.config, tmp_path / "plain", lambda event: None)
    one, other = (snnr.load(tmp_path / place) for place in ("plain", f"cluster/{name}"))
    assert [p.numpy().tobytes() for p in one.network.parameters()] == [
        p.numpy().tobytes() for p in other.network.parameters()
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_wish_to_stop_saves_on_the_workers(tiny_file: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    class Stopper(Follower):
        def event(self, sweep: Sweep, name: str, event: Mapping[str, Any]) -> None:
            if event["event"] == "epoch" and not self.asked:
                self.asked = True
                os.kill(os.getpid(), signal.SIGTERM)

        asked = False

    fixed = {"epochs": 100_000, "timesteps": 2, "net": "fc8-lif-fc4-lif"}
    planned = plan(str(tiny_file), {"prior": [0.05], "seed": [0, 1, 2]}, device="cpu", **fixed)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        pool = DaskPool(cluster.scheduler_address)
        begun = time.monotonic()
        with pytest.raises(snnr.Interrupted) as stopped:
            Sweep(planned, tmp_path).go(pool, Stopper())
        assert time.monotonic() - begun < 90
        pool.close()
    assert stopped.value.signal == signal.SIGTERM
    saved = [run.name for run in planned if (tmp_path / run.name / "checkpoint.h5").exists()]
    assert 1 <= len(saved) <= 3
    found = [load_record(tmp_path / name) for name in saved]
    # who was asked in its first epoch is saved in the middle of it
    assert max(record.epoch for record in found) > 0
    assert all(record.step > 0 for record in found)
