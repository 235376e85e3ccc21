"""Memory verbs of the backends whose memory is the host's."""

import numpy as np
import pytest


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(), 7, (0, 3), (3, 5), (40, 50, 60)])
def test_new_memory(every_kernels, shape, dtype):
    expected = np.zeros(shape, dtype)
    for verb in ("empty", "zeros"):
        memory = every_kernels[verb](shape, dtype)
        assert memory.shape == expected.shape
        assert memory.dtype == dtype
        assert memory.flags.c_contiguous
    np.testing.assert_array_equal(memory, expected)
    every_kernels["fill"](memory, 3)
    assert (memory == 3).all()


def test_copies(every_kernels):
    values = np.arange(12.0).reshape(3, 4)
    assert every_kernels["copy_in"](values) is values or np.shares_memory(
        every_kernels["copy_in"](values), values
    )
    turned = every_kernels["copy_in"](values.T)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, values.T)
    assert np.shares_memory(every_kernels["copy_out"](turned), turned)
    for verb in ("write", "copy"):
        out = np.empty((4, 3), np.float32)
        every_kernels[verb](values.T, out)
        np.testing.assert_array_equal(out, values.T)
        assert not np.shares_memory(out, values)


def test_hosts_record_nothing(every_kernels):
    called = []
    assert every_kernels["record"](lambda: called.append(1)) is None
    assert called == []
    assert every_kernels["reconsider"]({"counted": 1}) is False
