"""Every kernel test runs over every backend named here."""

import importlib

import pytest

BACKENDS = ["cpu"]


def operations(backend):
    """Operation name -> function."""
    return importlib.import_module(f"snnr.kernels.{backend}").OPERATIONS


@pytest.fixture(params=BACKENDS)
def kernels(request):
    """A backend's operations, to compare with the reference."""
    return operations(request.param)


@pytest.fixture(params=["reference", *BACKENDS])
def every_kernels(request):
    """The same for tests with a yardstick of their own, which the reference has to pass too."""
    return operations(request.param)
