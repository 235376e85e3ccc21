"""Every kernel in Numba's simulator, against the NumPy reference; and the engine on top of them.

The simulator is chosen before numba is imported, so the tests of `tests/kernels` run once more in
a process of their own, with the small shapes that they name for it; those of `engine` in others.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..kernels.harness import SIMULATED

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

TESTS = Path(__file__).parents[1]


def simulated(*places: Path) -> str:
    """Run tests in the simulator; what pytest says."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=0",
         *map(str, places)],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False, cwd=TESTS.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(SIMULATED, reason="this is that process")
def test_kernels() -> None:
    # without a backend's kernels there is nothing to simulate
    files = [p for p in sorted(TESTS.glob("kernels/test_*.py")) if "(kernels" in p.read_text()]
    assert len(files) > 10
    assert " passed" in simulated(*files)


@pytest.mark.skipif(SIMULATED, reason="this is that process")
@pytest.mark.parametrize(
    "name",
    [
        "test_methods.py",
        "test_networks.py",
        pytest.param("test_runs.py", marks=pytest.mark.slow),
        pytest.param("test_masked.py", marks=pytest.mark.slow),
    ],
)
def test_engine(name: str) -> None:
    assert " passed" in simulated(TESTS / "cuda" / "engine" / name)
