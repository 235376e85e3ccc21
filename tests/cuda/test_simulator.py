"""Every kernel in Numba's simulator, against the NumPy reference.

The simulator is chosen before numba is imported, so the tests of `tests/kernels` run once more in
processes of their own, file by file, with the small shapes that they name for it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

TESTS = Path(__file__).parents[1]
FILES = sorted(
    path.name
    for path in (TESTS / "kernels").glob("test_*.py")
    if "kernels" in path.read_text()
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_kernels_in_the_simulator(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=0",
         str(TESTS / "kernels" / name)],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False, cwd=TESTS.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
