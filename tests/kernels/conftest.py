"""Every kernel test runs over every backend named here."""

import pytest

import snnr.kernels

BACKENDS = ["cpu"]


@pytest.fixture(params=BACKENDS)
def kernels(request):
    """A backend's table, operation name -> function, to compare with the reference."""
    return snnr.kernels.table(request.param)


@pytest.fixture(params=["reference", *BACKENDS])
def every_kernels(request):
    """The same for tests with a yardstick of their own, which the reference has to pass too."""
    return snnr.kernels.table(request.param)
