"""What is said where numba-cuda is there and does not load."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
#: as numba-cuda 0.30 beside NumPy 2.5
BROKEN = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.cuda":
            raise AttributeError("module 'numpy' has no attribute 'row_stack'")
sys.meta_path.insert(0, Finder())
from snnr import kernels
from snnr.errors import DeviceError
"""


def told(code, *options):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return done.stdout


def test_it_is_named_with_its_neighbours():
    text = told(BROKEN + """
for attempt in range(2):
    try:
        kernels.backend("cuda")
    except DeviceError as error:
        print(error)
""")
    first, second = text.splitlines()
    assert first == second
    assert "cannot load numba-cuda 0." in first
    assert "beside numpy" in first
    assert "row_stack" in first
    assert "pip install 'snnr[cuda]'" in first


def test_auto_is_the_cpu_and_says_why():
    device, reason = told(BROKEN + "print(*kernels.choose('auto'), sep='|')").strip().split("|")
    assert device == "cpu"
    assert "cannot load numba-cuda" in reason


def test_numbas_own_compiler_is_not_taken_for_it():
    """Without the .pth file of numba-cuda, which -S leaves out with all others."""
    code = f"""
import sys
sys.path[:] = {sys.path}
from snnr import kernels
print(*kernels.choose("auto"), sep="|")
"""
    device, reason = told(code, "-S").strip().split("|")
    assert device == "cpu"
    assert reason.startswith("CUDA finds the kernels' compiler that numba ")
