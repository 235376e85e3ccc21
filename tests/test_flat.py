"""What a process holds does not grow with the steps it takes, nor with its predictions."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("endless.py")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc")
@pytest.mark.parametrize(
    ("steps", "predictions"),
    [(600, 3000), pytest.param(10_000, 100_000, marks=pytest.mark.slow)],
)
def test_memory_and_files_stay_flat(steps: int, predictions: int) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, str(steps), str(predictions)],
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    print(told)
    for early, late in told.values():
        assert late["files"] == early["files"]
        # a step's tensors take 40 kB: what kept one in a hundred of them would show
        assert late["bytes"] - early["bytes"] < 4 << 20
