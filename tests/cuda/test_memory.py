"""Memory of the device and recordings, from the host's side."""

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.errors import DeviceError
from snnr.kernels.cuda import device, memory

from .desk import Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    machine = Desk()
    device.use(machine)
    yield machine
    device.use(None)


SHAPES = [(), (1,), (0,), (0, 3), (3, 5), (2, 0, 4), (2, 3, 1, 5)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int8, np.int64, np.uint64])
@pytest.mark.parametrize("shape", SHAPES)
def test_in_and_out(desk: Desk, shape: tuple[int, ...], dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    there = memory.copy_in(values)
    assert (there.shape, there.ndim, there.size) == (values.shape, values.ndim, values.size)
    assert (there.dtype, there.nbytes) == (values.dtype, values.nbytes)
    back = memory.copy_out(there)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, values)
    back.fill(7)
    np.testing.assert_array_equal(memory.copy_out(there), values)


def test_what_is_not_contiguous_is_copied_as_it_reads(desk: Desk) -> None:
    values = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(memory.copy_out(memory.copy_in(values)), values)
    out = memory.empty((4, 2, 3), np.float32)
    memory.write(values, out)
    np.testing.assert_array_equal(memory.copy_out(out), values)


def test_a_number_is_a_shape(desk: Desk) -> None:
    assert memory.empty(7).shape == memory.empty(np.int64(7)).shape == (7,)
    np.testing.assert_array_equal(memory.copy_out(memory.zeros(7, np.int64)), np.zeros(7))


def test_verbs(desk: Desk) -> None:
    x = memory.copy_in(np.array([[1.5, -2.5], [3.5, 0.0]]))
    out = memory.empty((2, 2), np.float32)
    memory.copy(x, out)
    np.testing.assert_array_equal(memory.copy_out(out), [[1.5, -2.5], [3.5, 0]])
    memory.fill(out, 0.1)
    np.testing.assert_array_equal(memory.copy_out(out), np.full((2, 2), 0.1, np.float32))
    for empty in (memory.zeros((0, 3)), memory.empty(0)):
        memory.fill(empty, 1)
    assert desk.launched == ["memory._copy", "memory._fill"]  # none for nothing


@pytest.mark.parametrize(
    ("shape", "wanted", "found"),
    [
        ((3, 4), (12,), (12,)), ((3, 4), 12, (12,)), ((3, 4), np.int64(12), (12,)),
        ((3, 4), -1, (12,)), ((3, 4), (2, -1), (2, 6)),
        ((3, 4), (-1, 1, 12), (1, 1, 12)), ((3, 4), [4, 3], (4, 3)), ((), (1, 1), (1, 1)),
        ((1,), (), ()), ((0, 3), (3, 0), (3, 0)), ((0, 3), (-1, 3), (0, 3)), ((0, 3), -1, (0,)),
    ],
)  # fmt: skip
def test_another_shape(desk: Desk, shape: object, wanted: object, found: object) -> None:
    x = memory.copy_in(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    turned = x.reshape(wanted)
    assert (turned.shape, turned.size, turned.ndim) == (found, x.size, len(found))
    memory.fill(turned, 5)
    assert (memory.copy_out(x) == 5).all()  # the same bytes


@pytest.mark.parametrize(
    "wanted", [(5,), (-1, 5), (-1, -1), (-2, -6), (-1, 0), (0, -1), (-1, -12), (12, -1, -1), ()]
)
def test_a_shape_that_does_not_fit(desk: Desk, wanted: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"12 elements cannot have the shape \[.*\]: expected one"):
        memory.empty((3, 4)).reshape(wanted)
    with pytest.raises(ValueError, match="0 elements cannot have"):
        memory.empty((0, 4)).reshape((-1, 0))


def test_four_spikes_in_a_word(desk: Desk) -> None:
    x = memory.copy_in(np.arange(24, dtype=np.uint8).reshape(3, 8))
    assert x.words(np.uint32).tolist()[:2] == [0x03020100, 0x07060504]
    assert x.words(np.uint32, (3, 2))[1].tolist() == [0x0B0A0908, 0x0F0E0D0C]
    odd = memory.copy_in(np.arange(9, dtype=np.uint8))
    assert odd.words(np.uint32, (3,))[2] & 0xFF == 8
    assert odd.words(np.uint32).shape == (2,)


def test_memory_is_no_array(desk: Desk) -> None:
    x = memory.zeros((2, 3))
    with pytest.raises(DeviceError, match=r"no NumPy array; ask a Tensor for \.numpy\(\)"):
        np.asarray(x)
    assert repr(x) == "Memory([2, 3], float32, cuda)"


def test_a_block_lives_as_long_as_what_was_cut_from_it(desk: Desk) -> None:
    x = memory.zeros((4, 256))
    view = x.reshape(-1)
    del x
    assert memory.pool().free() == 0
    del view
    assert memory.pool().free() == 4096
    memory.empty(1024)
    assert desk.given == 4096


def test_another_machine_has_blocks_of_its_own(desk: Desk) -> None:
    x = memory.zeros(100)
    there = memory.pool()
    other = Desk()
    device.use(other)
    assert memory.pool() is not there
    del x
    memory.empty(100)
    assert other.given == 512
    assert there.free() == 512


def test_out_of_memory() -> None:
    device.use(Desk(1 << 20))
    try:
        with pytest.raises(DeviceError, match=r"out of device memory: 4\.0 MiB are needed at once"):
            memory.zeros((1 << 20,))
    finally:
        device.use(None)


def test_a_recording_runs_again_on_the_same_memory(desk: Desk) -> None:
    x, y = memory.zeros(3), memory.zeros(3)
    kept = []

    def work() -> None:
        part = memory.empty(3)
        memory.copy(x, part)
        memory.copy(part, y)
        kept.append(part)

    desk.launched.clear()
    replay = memory.record(work)
    assert desk.launched == []
    for value in (1, 2):
        memory.fill(x, value)
        other = memory.zeros(3)  # does not get what the recording used
        replay()
        assert memory.copy_out(y).tolist() == memory.copy_out(kept[0]).tolist() == [value] * 3
        assert memory.copy_out(other).tolist() == [0] * 3
        del other


def test_what_a_recording_used_is_reserved_while_it_lives(desk: Desk) -> None:
    def work() -> None:
        for size in (100, 200, 300):
            memory.fill(memory.empty(size), 1)

    replay = memory.record(work)
    held = desk.given
    assert memory.pool().free() == 0
    memory.zeros(200)
    assert desk.given == held + 1024
    replay()
    del replay
    gc.collect()
    assert memory.pool().free() == memory.pool().held == desk.given
    memory.zeros(100)
    assert desk.given == held + 1024


def test_memory_that_outlives_its_recording(desk: Desk) -> None:
    kept = []

    def work() -> None:
        kept.append(memory.zeros(100))

    replay = memory.record(work)
    replay()
    del replay
    gc.collect()
    assert memory.copy_out(kept[0]).tolist() == [0] * 100
    assert memory.pool().free() == 0
    kept.clear()
    assert memory.pool().free() == 512


def test_what_cannot_be_recorded(desk: Desk) -> None:
    x = memory.zeros(3)
    host = np.zeros(3, np.float32)
    verbs = {
        "copy_out": lambda: memory.copy_out(x),
        "write": lambda: memory.write(host, x),
        "copy_in": lambda: memory.copy_in(host),
    }
    for name, verb in verbs.items():
        wanted = "write" if name == "copy_in" else name
        with pytest.raises(DeviceError, match=f"{wanted} within a recording: a copy .* before"):
            memory.record(verb)
    with pytest.raises(DeviceError, match="a recording within a recording"):
        memory.record(lambda: memory.record(lambda: None))
    # and afterwards all is as before
    assert not device.is_recording()
    assert memory.copy_out(x).tolist() == [0, 0, 0]


def test_what_an_interrupted_recording_took_comes_back(desk: Desk) -> None:
    def work() -> None:
        memory.zeros(100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.record(work)
    gc.collect()
    assert memory.pool().free() == memory.pool().held == 512


def test_a_recording_is_its_thread_s_own(desk: Desk) -> None:
    """What another thread does meanwhile is done at once, in memory that is not reserved."""
    x = memory.zeros(3)
    seen = []

    def other() -> None:
        memory.fill(x, 4)
        seen.append(memory.pool())
        seen.append(device.is_recording())

    def work() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        seen.append(memory.pool())
        memory.fill(x, 5)

    replay = memory.record(work)
    shared, recording, own = seen
    assert shared is memory.pool()
    assert own is not shared
    assert not recording
    assert memory.copy_out(x).tolist() == [4, 4, 4]
    replay()
    assert memory.copy_out(x).tolist() == [5, 5, 5]


def test_threads_share_one_pool(desk: Desk) -> None:
    found = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(memory.pool())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
