"""Kernels in forked processes: they run where the threading layer survives a fork, and say so where
it does not; never a hang."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnr.kernels import threads

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

SCRIPT = """
import json, os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which is the test
import numpy as np
import numba
from snnr.errors import DeviceError
from snnr.kernels import threads
BEFORE
from snnr import kernels

b = kernels.backend("cpu")
rng = np.random.default_rng(0)
x, w = rng.normal(size=(64, 300)).astype("f4"), rng.normal(size=(300, 200)).astype("f4")

def product():
    out = np.empty((64, 200), "f4")
    b.matmul(x, w, out)
    return out

expected = product()

def in_child(pipe):
    signal.alarm(60)  # a hang becomes a failure
    try:
        for _ in range(20):
            assert (product() == expected).all()
        said = "fine"
    except DeviceError as error:
        said = str(error)
    except BaseException as error:
        said = repr(error)
    os.write(pipe, said.encode())
    os._exit(0)

def forks(count=4):
    told = []
    for _ in range(count):
        here, there = os.pipe()
        child = os.fork()
        if child == 0:
            in_child(there)
        os.close(there)
        product()
        with os.fdopen(here) as pipe:
            told.append(pipe.read())
        told.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return told

stop = threading.Event()
def busy():
    while not stop.is_set():
        product()
worker = threading.Thread(target=busy)
told = dict(alone=forks())
worker.start()
told["beside"] = forks()
stop.set()
worker.join()
assert (product() == expected).all()
print(json.dumps(told | dict(layer=threads.layer())))
"""


def run(before: str) -> Any:
    """What the children said, forked with no other thread about and beside one that computes."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "NUMBA_")) or name == "NUMBA_CACHE_DIR"
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("BEFORE", before)],
        cwd=ROOT, env=clean | {"NUMBA_NUM_THREADS": "2"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # before or behind it TBB says, by C's own buffer, that it could not stop its threads
    (told,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    return json.loads(told)


def test_tbb_survives() -> None:
    if not threads._load_tbb():
        pytest.skip("no TBB here")
    told = run("")
    assert (told["layer"], told["alone"]) == ("tbb", ["fine", 0] * 4)
    for said, status in zip(told["beside"][::2], told["beside"][1::2], strict=True):
        assert "beside other Python threads" in said
        assert status == 0


def test_workqueue_survives() -> None:
    told = run("numba.config.THREADING_LAYER = 'workqueue'")
    assert told == {"alone": ["fine", 0] * 4, "beside": ["fine", 0] * 4, "layer": "workqueue"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP")
def test_openmp_says_what_to_do() -> None:
    told = run("numba.config.THREADING_LAYER = 'omp'")
    assert told["layer"] == "omp"
    for said, status in zip(told["alone"][::2], told["alone"][1::2], strict=True):
        assert "spawn" in said
        assert "tbb" in said
        assert status == 0
    assert told["beside"] == told["alone"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP")
def test_openmp_that_starts_in_the_child_runs() -> None:
    """Nothing is wrong with a fork before the first kernel."""
    script = SCRIPT.replace("expected = product()\n", "expected = x @ w\n").replace(
        "(product() == expected).all()", "np.allclose(product(), expected, atol=1e-3)"
    )
    script = script.replace("        product()\n        with", "        with")
    script = script.split("told = dict")[0] + "print(json.dumps(forks()))\n"
    done = subprocess.run(
        [sys.executable, "-c", script.replace("BEFORE", "numba.config.THREADING_LAYER = 'omp'")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["fine", 0] * 4


WAITS = """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which is the test
from snnr.kernels import threads

def forked(check):
    child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

seen, begun = [], threading.Event()

def slow():
    begun.set()
    time.sleep(0.3)
    seen.append("slow")

through = threads.let_through(slow)
worker = threading.Thread(target=through)
worker.start()
begun.wait()
# neither inside of an operation of its own, nor of two
threads.let_through(threads.let_through(lambda: forked(lambda: seen == ["slow"])))()
worker.join()
assert not threads._inside and not threads._forking
forked(lambda: threads.let_through(lambda: True)() and not threads._inside)
"""


def test_a_fork_waits_for_the_operations_of_other_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
