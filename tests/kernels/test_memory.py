"""Memory verbs of every backend; those of the host hand out NumPy arrays."""


import numpy as np
import pytest

from .conftest import _PARAMETERS, operations


@pytest.fixture(params=["reference", *_PARAMETERS])
def verbs(request):
    """A backend's functions of its own memory, by name."""
    return operations(request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(), 7, (0, 3), (3, 5), (40, 50, 6)])
def test_new_memory(verbs, shape, dtype):
    expected = np.zeros(shape, dtype)
    for verb in ("empty", "zeros"):
        memory = verbs[verb](shape, dtype)
        assert memory.shape == expected.shape
        assert memory.dtype == dtype
        assert memory.nbytes == expected.nbytes
    np.testing.assert_array_equal(verbs["copy_out"](memory), expected)
    verbs["fill"](memory, 3)
    assert (verbs["copy_out"](memory) == 3).all()


def test_copies(verbs):
    values = np.arange(12.0).reshape(3, 4)
    turned = verbs["copy_in"](values.T)
    np.testing.assert_array_equal(verbs["copy_out"](turned), values.T)
    for verb, given in (("write", values.T), ("copy", turned)):
        out = verbs["empty"]((4, 3), np.float32)
        verbs[verb](given, out)
        np.testing.assert_array_equal(verbs["copy_out"](out), values.T)
        verbs["fill"](out, 0)
        np.testing.assert_array_equal(verbs["copy_out"](turned), values.T)


def test_memory_of_the_host_is_not_copied(verbs):
    values = np.arange(12.0).reshape(3, 4)
    memory = verbs["copy_in"](values)
    if not isinstance(memory, np.ndarray):
        pytest.skip("memory of a device")
    assert memory is values or np.shares_memory(memory, values)
    turned = verbs["copy_in"](values.T)
    assert turned.flags.c_contiguous
    assert np.shares_memory(verbs["copy_out"](turned), turned)
    assert verbs["empty"]((40, 50)).flags.c_contiguous


def test_another_shape_of_the_same_bytes(verbs):
    memory = verbs["copy_in"](np.arange(12.0))
    turned = memory.reshape((3, -1))
    assert turned.shape == (3, 4)
    verbs["fill"](turned, 2)
    assert (verbs["copy_out"](memory) == 2).all()


def test_hosts_record_nothing(verbs):
    if not isinstance(verbs["empty"](1), np.ndarray):
        pytest.skip("memory of a device")
    called = []
    assert verbs["record"](lambda: called.append(1)) is None
    assert called == []
    assert verbs["reconsider"]({"counted": 1}) is False


def test_a_recording_runs_again_and_again(verbs):
    """Nothing runs while it is written down; then it runs on the same memory, as often as asked."""
    (x, y), kept = (verbs["zeros"]((3, 7)) for _ in range(2)), []

    def work():
        part = verbs["empty"]((3, 7))
        verbs["copy"](x, part)
        verbs["accumulate"](part, y)
        kept.append(part)

    replay = verbs["record"](work)
    if replay is None:
        assert kept == []
        return
    assert (verbs["copy_out"](y) == 0).all()
    for value, total in ((1, 1), (2, 3), (3, 6)):
        verbs["fill"](x, value)
        verbs["zeros"]((3, 7))  # gets nothing of what the recording used
        replay()
        assert (verbs["copy_out"](y) == total).all()
        assert (verbs["copy_out"](kept[0]) == value).all()
    del replay
    assert (verbs["copy_out"](kept[0]) == 3).all()
