"""Large arrays are reused, and nothing of a training step outlives it."""

import gc
import os
import threading
import tracemalloc

import numpy as np
import pytest

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


FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@FORK
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("size", [1 << 17, 1 << 22])
def test_a_forked_process_writes_to_memory_of_its_own(size):
    """Blocks in use and blocks handed out again after the fork, small ones and huge pages."""
    before = buffers.zeros(size, np.uint8)
    idle = buffers.empty(2 * size, np.uint8)
    del idle
    (here, there) = os.pipe()
    child = os.fork()
    if child == 0:
        again = buffers.empty(2 * size, np.uint8)
        before.fill(7)
        again.fill(7)
        os.write(there, b"written")
        os._exit(0)
    assert os.read(here, 7) == b"written"
    again = buffers.empty(2 * size, np.uint8)
    again.fill(3)
    assert os.waitpid(child, 0)[1] == 0
    assert not before.any()
    assert (again == 3).all()
    os.close(here)
    os.close(there)


@FORK
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_while_another_thread_allocates_leaves_the_pool_usable():
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            buffers.empty(1 << 17, np.uint8)

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        for _ in range(50):
            child = os.fork()
            if child == 0:
                buffers.empty(1 << 18, np.uint8)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        worker.join()


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
