"""What is said where numba-cuda is there and does not load."""

import importlib
import importlib.util

import pytest

from snnr import kernels
from snnr.errors import DeviceError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)


@pytest.fixture
def broken(monkeypatch):
    """numba-cuda 0.30 beside NumPy 2.5."""

    def load(name, *others):
        assert name == "numba.cuda"
        raise AttributeError("module 'numpy' has no attribute 'row_stack'")

    monkeypatch.setattr(importlib, "import_module", load)
    monkeypatch.delitem(kernels._loaded, "cuda", raising=False)
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)


def test_it_is_named_with_its_neighbours(broken):
    with pytest.raises(DeviceError, match=r"numba-cuda \d.* beside numpy \d.*row_stack"):
        kernels.backend("cuda")


def test_auto_is_the_cpu_and_says_why(broken):
    device, reason = kernels.choose("auto")
    assert device == "cpu"
    assert "cannot load numba-cuda" in reason
