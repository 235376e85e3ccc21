"""Blocks of device memory: who gets which, on a machine that only counts."""

import gc
import random
import sys
import threading
import weakref

import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.errors import DeviceError
from snnr.kernels.cuda.allocator import Block, Pool, pool_in_use, private, size_class
from snnr.kernels.cuda.device import OutOfMemory

MIB = 1 << 20


class Raw:
    """A block as the driver gives it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.owner: int | None = None


class Counting:
    """A machine of so many bytes that knows what it gave away."""

    def __init__(self, total: int = 1 << 40) -> None:
        self.total = total
        self.asked: list[int] = []
        self.alive: list[int] = []

    def allocate(self, nbytes: int) -> Raw:
        self.asked.append(nbytes)
        if nbytes > self.room()[0]:
            raise OutOfMemory
        raw = Raw(nbytes)
        self.alive.append(nbytes)
        # as the driver's memory is freed
        weakref.finalize(raw, self.alive.remove, nbytes)
        return raw

    def room(self) -> tuple[int, int]:
        return self.total - sum(self.alive), self.total


def test_size_classes() -> None:
    """Eight per power of two, multiples of 512, never too small and at most an eighth too large."""
    sizes = [size_class(n) for n in range(1, 40_000)]
    assert sizes == sorted(sizes)
    assert all(n <= size for n, size in enumerate(sizes, 1))
    assert all(size <= max(n * 9 / 8, n + 511) for n, size in enumerate(sizes, 1))
    assert {size % 512 for size in sizes} == {0}
    for power in (13, 20, 33, 41):
        between = range(1 << power, 1 << power + 1, 1 << power - 6)
        assert len({size_class(n + 1) for n in between}) == 8
    assert size_class(0) == 512
    assert size_class(1 << 40) == 1 << 40


def test_a_block_is_used_again() -> None:
    machine = Counting()
    pool = Pool(machine)
    for _ in range(5):
        first, second = pool.take(1000), pool.take(1000)
        assert first.raw is not second.raw
        assert first.size == 1024
        del first, second
    assert machine.asked == [1024, 1024]
    assert pool.held == pool.free() == 2048
    assert pool.take(1024).raw is not pool.take(2000).raw
    assert machine.asked == [1024, 1024, 2048]


def test_the_last_array_gives_the_block_back() -> None:
    pool = Pool(Counting())
    block = pool.take(10)
    views = [block, block]
    del block
    assert pool.free() == 0
    views.clear()
    assert pool.free() == 512


def test_what_nobody_uses_is_given_back() -> None:
    machine = Counting()
    pool = Pool(machine)
    kept, gone = pool.take(3 * MIB), [pool.take(MIB) for _ in range(4)]
    assert pool.trim() == 0
    gone.clear()
    assert pool.trim() == 4 * MIB
    assert pool.held == sum(machine.alive) == kept.size
    assert pool.trim() == pool.free() == 0


def test_blocks_of_other_sizes_make_room_before_memory_is_out() -> None:
    machine = Counting(10 * MIB)
    pool = Pool(machine)
    for size in (1, 2, 3):
        pool.take(size * MIB)
    block = pool.take(8 * MIB)
    assert machine.asked == [MIB, 2 * MIB, 3 * MIB, 8 * MIB, 8 * MIB]
    assert pool.held == block.size == 8 * MIB


@pytest.mark.parametrize("nbytes", [9 * MIB, 1 << 50, 1 << 70])
def test_out_of_memory(nbytes: int) -> None:
    pool = Pool(Counting(10 * MIB))
    kept = pool.take(2 * MIB)
    with pytest.raises(DeviceError) as error:
        pool.take(nbytes)
    assert str(error.value) == (
        f"out of device memory: {nbytes / MIB:,.1f} MiB are needed at once, 8.0 MiB of 10.0 MiB "
        "are free and snnr holds 2.0 MiB; use a smaller batch (--batch-size), fewer time steps "
        "(-T), or a larger card"
    )
    assert error.value.__cause__ is None
    assert pool.held == kept.size
    assert pool.take(7 * MIB).size == 7 * MIB


def test_a_recording_keeps_what_it_used() -> None:
    shared = Pool(Counting())
    early = shared.take(1000)
    raw = early.raw
    del early
    own = Pool(shared.machine, parent=shared)
    with private(own):
        first = pool_in_use(shared).take(1000)
        assert first.raw is raw  # what nobody uses need not be asked for again
        second = pool_in_use(shared).take(1000)
        del first
        assert pool_in_use(shared).take(1000).raw is raw
    assert pool_in_use(shared) is shared
    assert shared.free() == 0
    assert own.free() == 1024
    assert shared.held == 2048
    assert shared.take(1000).raw not in (raw, second.raw)


def test_a_closed_recording_leaves_its_blocks() -> None:
    shared = Pool(Counting())
    own = Pool(shared.machine, parent=shared)
    gone, outlives = own.take(1000), own.take(3000)
    raw = outlives.raw
    del gone
    assert shared.free() == 0
    own.close()
    assert shared.free() == 1024
    del outlives
    assert shared.free() == 1024 + size_class(3000)
    assert shared.take(3000).raw is raw
    assert own.free() == 0
    assert shared.trim() == shared.held + 1024 + size_class(3000)
    assert shared.held == 0


def test_two_recordings_share_nothing() -> None:
    shared = Pool(Counting())
    pools = [Pool(shared.machine, parent=shared) for _ in range(2)]
    raws = [pool.take(1000).raw for pool in pools]
    assert raws[0] is not raws[1]
    assert [pool.take(1000).raw for pool in pools] == raws
    pools[0].close()
    assert pools[1].take(1000).raw is raws[1]
    assert shared.take(1000).raw is raws[0]


def test_memory_that_runs_out_in_a_recording_is_made_by_trimming_outside() -> None:
    machine = Counting(4 * MIB)
    shared = Pool(machine)
    shared.take(3 * MIB)
    own = Pool(machine, parent=shared)
    used = own.take(MIB)
    raw = used.raw
    del used
    block = own.take(2 * MIB)
    assert own.take(MIB).raw is raw  # what the recording used was not given away
    assert shared.held == sum(machine.alive) == MIB + block.size


class Cycle:
    """Garbage that only the collector finds, and that asks for a block when it does."""

    def __init__(self, block: Block, pool: Pool | None = None) -> None:
        self.block, self.pool, self.me = block, pool, self

    def __del__(self) -> None:
        if self.pool is not None:
            self.pool.take(300)


def test_a_block_in_a_cycle_comes_back_whole() -> None:
    """The collector runs finalizers of all garbage before any __del__ can save a part of it."""
    machine = Counting()
    pool = Pool(machine)
    Cycle(pool.take(1000))
    gc.collect()
    assert pool.free() == sum(machine.alive) == 1024
    pool.trim()
    assert machine.alive == []


def test_the_collector_may_run_in_the_middle_of_the_pool() -> None:
    """Also when it frees a block, closes a recording, and asks for another block from there."""
    machine = Counting()
    pool = Pool(machine)
    own = Pool(machine, parent=pool)
    Cycle(pool.take(1000), pool)
    Cycle(own.take(2000), own)

    class Greedy(dict):
        """Free blocks; whoever looks for one wakes the collector."""

        def __getitem__(self, size: int) -> list:
            gc.collect()
            own.close()
            return super().__getitem__(size)

    pool._free = Greedy()
    taken = [pool.take(1000) for _ in range(3)]
    assert len({id(block.raw) for block in taken}) == 3
    pool._free = dict(pool._free)
    del taken
    assert pool.free() == pool.held == sum(machine.alive)


def _shuffle(pool: Pool, seed: int, failures: list[str]) -> None:
    rng = random.Random(seed)
    mine: list[Block] = []
    for _ in range(3000):
        if mine and rng.random() < 0.5:
            block = mine.pop(rng.randrange(len(mine)))
            if block.raw.owner != seed:
                failures.append(f"{seed}'s block is {block.raw.owner}'s")
            block.raw.owner = None
            if rng.random() < 0.2:
                Cycle(block)
            del block
        else:
            block = pool.take(rng.choice((100, 600, 1500)))
            if block.raw.owner is not None:
                failures.append(f"{seed} got a block of {block.raw.owner}'s")
            block.raw.owner = seed
            mine.append(block)
            del block
    for block in mine:
        block.raw.owner = None


def test_threads_that_take_and_free_at_once() -> None:
    """Nobody gets what another has, and in the end everything is back; recordings come and go."""
    machine = Counting()
    pool = Pool(machine)
    owns = [Pool(machine, parent=pool) for _ in range(2)]
    failures: list[str] = []
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    threads = [
        threading.Thread(target=_shuffle, args=(of, seed, failures))
        for seed, of in enumerate([pool, pool, *owns])
    ]
    gc.set_threshold(20)
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        owns[0].close()  # in the middle of its thread's work
        for thread in threads:
            thread.join()
        owns[1].close()
    finally:
        gc.set_threshold(*before)
        sys.setswitchinterval(interval)
    gc.collect()
    assert failures == []
    assert pool.free() == pool.held == sum(machine.alive)
    assert pool.trim() > 0
    assert machine.alive == []
