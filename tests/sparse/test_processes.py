"""Compiled networks in forked processes, and their kernels in the cache."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

FORKS = """
import json, os, signal, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which is the test
import numpy as np
import snnr

net = snnr.models.mnist_fc(T=4, hidden=60).eval()
x = np.random.default_rng(0).normal(size=(90, 1, 28, 28)).astype("f4")
engine = snnr.compile(net)
expected = engine.spikes(x)
stop = threading.Event()
def busy():
    while not stop.is_set():
        engine.spikes(x)
worker = threading.Thread(target=busy)
worker.start()
told = []
for _ in range(3):
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a hang becomes a failure
        try:
            assert (engine.spikes(x[:1]) == expected[:, :1]).all()
            assert (engine.spikes(x) == expected).all()
            os.write(there, b"fine")
        except BaseException as error:
            os.write(there, repr(error).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        told.append(pipe.read())
    os.waitpid(child, 0)
stop.set()
worker.join()
print(json.dumps(told))
"""

TWICE = """
import json
import numpy as np
import snnr
from snnr.sparse.kernels import rows
net = snnr.nn.Sequential(snnr.nn.Linear(4, 3), snnr.nn.LIF(), T=2)
snnr.compile(net).rates(np.zeros((1, 4), np.float32))
from snnr.sparse.kernels import groups
print(json.dumps(dict(loaded=sum(groups.run_one.stats.cache_hits.values()),
                      compiled=sum(groups.run_one.stats.cache_misses.values()))))
"""


def run(script: str, cwd: Path = ROOT, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env=os.environ | environment,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # TBB talks before it, or behind it
    (told,) = (line for line in done.stdout.splitlines() if line[:1] in ("[", "{"))
    return json.loads(told)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_processes_go_on_alone() -> None:
    assert run(FORKS) == ["fine"] * 3


@pytest.mark.slow
def test_a_change_beside_a_kernel_is_never_served_from_the_cache(tmp_path: Path) -> None:
    """A file of the room's kernels is inlined into another one's."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "snnr", tmp_path / "snnr", ignore=skip)
    cache = str(tmp_path / "cache")
    assert run(TWICE, tmp_path, NUMBA_CACHE_DIR=cache) == {"loaded": 0, "compiled": 1}
    assert run(TWICE, tmp_path, NUMBA_CACHE_DIR=cache) == {"loaded": 1, "compiled": 0}
    with (tmp_path / "snnr/sparse/kernels/rows.py").open("a") as file:
        file.write("\n")
    assert run(TWICE, tmp_path, NUMBA_CACHE_DIR=cache) == {"loaded": 0, "compiled": 1}
