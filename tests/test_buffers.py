"""Large arrays are reused, and nothing of a training step outlives it."""

import gc
import tracemalloc

import numpy as np

from snnr import functional as F
from snnr import models
from snnr.kernels.cpu import memory as buffers
from snnr.optim import GradR
from snnr.tensor import Function, Tensor


def test_a_block_is_handed_out_again_when_the_last_view_is_gone():
    first = buffers.empty((300, 400), np.float32)
    address = first.ctypes.data
    view = first[10:20, ::2].T
    del first
    second = buffers.empty((300, 400), np.float32)
    assert second.ctypes.data != address
    assert not np.shares_memory(view, second)
    del view
    third = buffers.empty((300, 400), np.float32)
    assert third.ctypes.data == address


def test_arrays_are_aligned_and_of_the_shape_and_type_asked_for():
    for shape, dtype in (((3,), np.float32), ((1000, 333), np.uint8), ((70, 70, 70), np.float64)):
        array = buffers.empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        if array.nbytes > 1 << 17:
            assert array.ctypes.data % 64 == 0


def test_trim_gives_back_only_what_nobody_uses():
    kept = buffers.empty((512, 700), np.float32)
    kept[...] = 3
    buffers.empty((513, 900), np.float64)
    before = buffers.held()
    assert buffers.trim() > 0
    assert buffers.held() < before
    np.testing.assert_array_equal(kept, 3)


def _step(network, optimizer, images, target):
    optimizer.zero_grad()
    loss = F.mse_loss(F.mean_time(network(images)), target)
    loss.backward()
    optimizer.step()


def _alive():
    """Tensors and nodes that exist (by type: a dead weak proxy raises when it is asked)."""
    return sum(issubclass(type(item), Tensor | Function) for item in gc.get_objects())


def test_steady_state_allocates_nothing_large_and_keeps_nothing():
    network = models.csnn(T=4, channels=16)
    optimizer = GradR(network.parameters(), lr=1e-4)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((8, 1, 28, 28)).astype(np.float32)
    target = F.one_hot(generator.integers(0, 10, 8), 10)
    for _ in range(3):
        _step(network, optimizer, images, target)
    gc.collect()
    alive = _alive()
    held = buffers.held()
    tracemalloc.start()
    for _ in range(3):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        _step(network, optimizer, images, target)
        _, peak = tracemalloc.get_traced_memory()
        # the largest activation is 3.2 MB, the largest weight 6.4 MB
        assert peak - before < 1_000_000
    tracemalloc.stop()
    assert buffers.held() == held
    gc.collect()
    assert _alive() <= alive
