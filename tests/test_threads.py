"""Threading layers and thread counts: safe for host programs, and the same bits every time."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import pytest

from snnr.errors import ConfigError
from snnr.kernels import threads

ROOT = Path(__file__).resolve().parent.parent

TRAIN = """
import hashlib, json, threading
import numpy as np
import numba
from snnr import Tensor, functional as F, models, optim
from snnr.kernels import threads

def digest(seed, steps=3):
    net = models.csnn(T=3, seed=seed, input_shape=(1, 8, 8), classes=2, channels=8)
    method = optim.GradR(net.parameters(), lr=0.01, prior=0.05)
    rng = np.random.default_rng(seed)
    x = Tensor(rng.normal(size=(12, 1, 8, 8)).astype(np.float32))
    y = rng.integers(0, 2, 12)
    for _ in range(steps):
        method.zero_grad()
        F.cross_entropy(F.mean_time(net(x)), y).backward()
        method.step()
    total = hashlib.sha256()
    for p in net.parameters():
        assert np.isfinite(p.data).all()
        total.update(np.ascontiguousarray(p.data).tobytes())
    return total.hexdigest()

def together(seeds):
    found = {}
    start = threading.Barrier(len(seeds))
    def run(seed):
        start.wait()
        found[seed] = digest(seed)
    workers = [threading.Thread(target=run, args=(seed,)) for seed in seeds]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    return [found[seed] for seed in seeds]
"""

MEASURE = """
first = [digest(0), digest(1)]
again = [digest(0), digest(1)]
at_once = together([0, 1])
threads.set_threads(1)
alone = [digest(0), digest(1)]
print(json.dumps(dict(first=first, again=again, at_once=at_once, alone=alone,
                      layer=threads.layer(), pool=numba.config.NUMBA_NUM_THREADS)))
"""


def run(script: str, **environment: str) -> dict[str, Any]:
    """The JSON that `script` prints, run with two threads and these environment variables."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "NUMBA_")) or name == "NUMBA_CACHE_DIR"
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT, env=clean | {"NUMBA_NUM_THREADS": "2"} | environment,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def check(told: dict[str, Any], layer: str) -> None:
    assert told["layer"] == layer
    assert told["pool"] == 2
    assert told["first"][0] != told["first"][1]
    assert told["again"] == told["first"]
    assert told["at_once"] == told["first"], "two Python threads disturb each other"
    assert told["alone"] == told["first"], "the number of threads changes the result"


def test_our_own_choice_of_layer() -> None:
    check(run(TRAIN + MEASURE), "tbb" if threads._load_tbb() else "omp")


def test_openmp_without_tbb() -> None:
    masked = "import snnr.kernels.threads as t; t._TBB_NAMES.clear()\n"
    check(run(masked + TRAIN + MEASURE), "omp")


def test_a_layer_that_the_host_program_started() -> None:
    """Even workqueue, which by itself ends the process when two Python threads launch at once."""
    host = "import numba; numba.config.THREADING_LAYER = 'workqueue'; numba.get_num_threads()\n"
    check(run(host + TRAIN + MEASURE), "workqueue")


@pytest.mark.parametrize(
    ("environment", "before", "expected"),
    [
        ({"NUMBA_THREADING_LAYER": "omp"}, "", ["omp", "passive"]),
        ({"NUMBA_THREADING_LAYER": "omp", "OMP_WAIT_POLICY": "active"}, "", ["omp", "active"]),
        ({"NUMBA_THREADING_LAYER": "workqueue"}, "", ["workqueue", None]),
        ({"NUMBA_THREADING_LAYER": "tbb"}, "", ["tbb", None]),
        ({"NUMBA_THREADING_LAYER": "default"}, "", ["default", "passive"]),
        ({}, "import numba; numba.config.THREADING_LAYER = 'safe'", ["safe", "passive"]),
    ],
)
def test_a_choice_that_was_made_stays(
    environment: dict[str, str], before: str, expected: list[str | None]
) -> None:
    script = """
import json, os
import snnr.kernels.jit, numba
print(json.dumps([numba.config.THREADING_LAYER, os.environ.get("OMP_WAIT_POLICY")]))
"""
    assert run(before + script, **environment) == expected


def test_the_order_of_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr(threads, "_load_tbb", lambda: True)
    assert threads._best() == "tbb"
    monkeypatch.setattr(threads, "_load_tbb", lambda: False)
    monkeypatch.setattr(threads, "_loads", lambda pool: pool == "omppool")
    assert threads._best() == "omp"
    monkeypatch.setattr(threads, "_loads", lambda pool: False)
    assert threads._best() == "workqueue"


@pytest.mark.parametrize("layer", ["workqueue", "forksafe", "default"])
def test_operations_take_turns_under_workqueue(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "layer", lambda: threads.NOT_STARTED)
    monkeypatch.setattr(threads.config, "THREADING_LAYER", layer)
    inside, most = [], []

    def operation(value: int) -> int:
        inside.append(value)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.remove(value)
        return -value

    waiting = threads.in_turn({"operation": operation})["operation"]
    assert waiting(3) == -3
    workers = [threading.Thread(target=waiting, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert max(most) == 1


@pytest.mark.parametrize("layer", ["tbb", "omp"])
def test_operations_are_handed_on_as_they_are(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "layer", lambda: layer)
    operations = {"operation": len}
    assert threads.in_turn(operations) is operations


@pytest.mark.parametrize("count", [0, -1, numba.config.NUMBA_NUM_THREADS + 1, 1.5, "2"])
def test_a_thread_count_out_of_range(count: Any) -> None:
    before = threads.set_threads(None)
    with pytest.raises(ConfigError, match=r"threads \(=.*\) must be a whole number from 1 to"):
        threads.set_threads(count)
    assert threads.set_threads(None) == before


def test_a_thread_count_belongs_to_the_calling_thread() -> None:
    before = threads.set_threads(None)
    elsewhere = []
    try:
        assert threads.set_threads(1) == 1
        other = threading.Thread(target=lambda: elsewhere.append(threads.set_threads(None)))
        other.start()
        other.join()
    finally:
        threads.set_threads(before)
    assert elsewhere == [numba.config.NUMBA_NUM_THREADS]
