"""How runs are handed out: who waits for whom, who is told what, and how many cores each gets."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snnr.interrupt import Stop
from snnr.lock import locked
from snnr.sweep import LocalPool, Sweep, cluster, job, plan
from snnr.sweep.job import execute


class Future:
    """Of a run that ends at the given look, or is one of Dask's, which do not say whether they
    have begun (``begun=None``)."""

    def __init__(self, looks: float, result: Any, begun: bool | None = True) -> None:
        self.looks, self._result, self.gone = looks, result, False
        if begun is not None:
            self.running: Callable[[], bool] = lambda: begun

    def done(self) -> bool:
        self.looks -= 1
        return self.looks < 0 or self.gone

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def exception(self) -> Exception | None:
        return self._result if isinstance(self._result, Exception) else None

    def result(self) -> Any:
        return self._result


def followed(
    futures: Mapping[str, Future], flag: Path, stopping: bool = False
) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    with Stop() as stop:
        if stopping:
            stop.request()
        cluster.follow(futures, flag, lambda name, event: told.append((name, dict(event))), stop)
    return told


def test_every_end_is_told_when_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(cluster, "time", SimpleNamespace(sleep=waits.append))
    late, good = Future(3, {"event": "finished"}), Future(1, {"event": "finished"})
    bad, dropped = Future(2, ValueError("no such thing")), Future(9, None)
    dropped.cancel()
    told = followed({"late": late, "bad": bad, "good": good, "dropped": dropped}, tmp_path / "f")
    assert told == [
        ("dropped", {"event": "failed", "error": "the cluster dropped it"}),
        ("good", {"event": "finished"}),
        ("bad", {"event": "failed", "error": "ValueError: no such thing"}),
        ("late", {"event": "finished"}),
    ]
    assert not (tmp_path / "f").exists()
    assert [wait > 0 for wait in waits] == [True, True, True, False]  # nobody waits for nothing


def test_a_wish_to_stop_cancels_what_has_not_begun_and_waits_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnr.sweep.cluster._TICK", 0.0)
    saved = {"event": "stopped", "signal": 15}
    busy, dask = Future(2, saved), Future(1, saved, begun=None)
    waiting = Future(99, None, begun=False)
    told = followed({"waiting": waiting, "busy": busy, "dask": dask}, tmp_path / "f", stopping=True)
    assert told == [("waiting", {"event": "stopped"}), ("dask", saved), ("busy", saved)]
    assert waiting.gone
    assert not busy.gone
    assert not dask.gone
    assert (tmp_path / "f").exists()


def test_runs_of_a_cluster_share_the_cores_of_their_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, Path, float]] = []
    told: list[tuple[str, Mapping[str, Any]]] = []

    def done(config: Any, folder: Path, tell: Any, stopping: Any, patience: float) -> Any:
        given.append((config["threads"], folder, patience))
        tell({"event": "step"})
        assert not stopping()
        return {"event": "finished"}

    monkeypatch.setattr(cluster, "execute", done)
    monkeypatch.setattr(cluster, "cores", lambda: 8)
    monkeypatch.setattr(cluster, "_worker", lambda: (lambda *said: told.append(said), "here"))
    flag = tmp_path / "flag"
    three, many = {"here": 3}, {"here": 20}
    elsewhere = {"there": 3}
    for threads, slots in (
        (None, three), (None, elsewhere), (None, None), (5, three), (None, many),
    ):  # fmt: skip
        end = cluster.remote({"threads": 2}, str(tmp_path / "r"), str(flag), "t", threads, slots)
        assert end == {"event": "finished"}
    assert [threads for threads, *_ in given] == [2, 8, 8, 5, 1]
    assert given[0][1:] == (tmp_path / "r", cluster.PATIENCE)
    assert told == [("t", {"run": "r", "event": "step"})] * 5
    flag.touch()
    assert cluster.remote({}, str(tmp_path / "r"), str(flag), "t") == {"event": "stopped"}
    assert len(given) == 5


def test_a_run_waits_for_who_holds_its_folder(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = plan(str(tiny_file), {}, net="fc4-lif", epochs=1, device="cpu")
    folder = tmp_path / run.name
    waited = threading.Event()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        waited.set()
        time.sleep(0.005)

    monkeypatch.setattr(job, "time", SimpleNamespace(monotonic=time.monotonic, sleep=nap))
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(folder):
            held.set()
            free.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    ended = execute(run.config, folder, lambda event: None)
    assert ended["event"] == "failed"
    assert "use" in ended["error"]
    assert not naps
    threading.Thread(target=lambda: (waited.wait(30), free.set())).start()
    assert execute(run.config, folder, lambda event: None, patience=60.0) == {"event": "finished"}
    holder.join()
    assert naps
    assert set(naps) == {1.0}
    with locked(folder):
        since = time.monotonic()
        assert execute(run.config, folder, lambda event: None, patience=0.05)["event"] == "failed"
        assert time.monotonic() - since >= 0.05
    assert naps[-1] == 0.05


def test_a_process_that_says_nothing_has_no_last_words(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = plan(str(tiny_file), {}, net="fc4-lif", epochs=1, device="cpu")
    monkeypatch.setattr("snnr.sweep.local._START", "import sys\n")
    monkeypatch.setattr("snnr.sweep.local._CALL", "sys.stdin.readline(); sys.exit(3)")
    (row,) = Sweep(runs, tmp_path).go(LocalPool(1, 1))
    assert row["status"] == "failed"
    assert row["error"] == "its process ended with exit code 3"
