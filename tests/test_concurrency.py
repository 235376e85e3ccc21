"""Trainings beside threads, tasks, processes and a busy BLAS: the bits of a training alone, or an
error that says what to do; never a hang."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from snnr.kernels import threads

SCRIPT = Path(__file__).with_name("neighbours.py")
LAYERS = ("tbb", "omp", "workqueue")


def run(layer: str, *part: str) -> dict[str, list[str]]:
    """What the trainings gave, in a process with this threading layer and two threads."""
    pool = {"omp": "omppool", "workqueue": "workqueue"}
    if not (threads._load_tbb() if layer == "tbb" else threads._loads(pool[layer])):
        pytest.skip(f"no {layer} here")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "NUMBA_")) or name == "NUMBA_CACHE_DIR"
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, layer, *part],
        env=clean | {"NUMBA_NUM_THREADS": "2"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["layer"] == layer
    told: dict[str, list[str]] = found["told"]
    return told


@pytest.mark.parametrize("layer", LAYERS)
def test_threads_of_one_process_leave_each_other_alone(layer: str) -> None:
    told = run(layer, "threads")
    first, second = told["alone"]
    assert first != second
    assert told == dict.fromkeys(told, told["alone"])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed here")
@pytest.mark.parametrize("order", [(), ("first",)], ids=["snnr first", "torch first"])
@pytest.mark.parametrize("layer", LAYERS)
def test_torch_and_its_threads_are_a_neighbour_like_others(
    layer: str, order: tuple[str, ...]
) -> None:
    told = run(layer, "torch", *order)
    assert told == dict.fromkeys(told, told["alone"])
    assert len(told) == 3
    if order:  # torch was there from the start: the bits are those of a process without it
        assert told["alone"] == run(layer, "tasks")["alone"]


def test_tasks_that_take_turns_leave_each_other_alone() -> None:
    tasks = run("tbb", "tasks")["tasks"]
    assert tasks[:2] == tasks[2:]
    assert tasks[0] != tasks[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_pool_of_forked_processes_trains_or_says_what_to_do(layer: str) -> None:
    told = run(layer, "fork")
    if layer != "omp" or not sys.platform.startswith("linux"):
        assert told["fork"] == told["alone"]
        return
    for text in told["fork"]:
        assert text.startswith("DeviceError: ")
        assert "spawn" in text


@pytest.mark.parametrize("layer", ["omp"])
def test_a_pool_of_spawned_processes_trains(layer: str) -> None:
    told = run(layer, "spawn")
    assert told["spawn"] == told["alone"]
