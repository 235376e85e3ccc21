"""Who works where, for rows and columns of any size: plain functions, no card."""

import itertools

import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.kernels.cuda.geometry import CARD, MOST_BLOCKS_YZ, SIMULATED
from snnr.kernels.cuda.neuron.backward import LONGEST, chunk_of
from snnr.kernels.cuda.parts.columns import BLOCKS, THREADS, plan

SIZES = [0, 1, 2, 3, 5, 31, 32, 33, 130, 255, 256, 257, 800, 4097, 1 << 20, (1 << 32) + 3]


@pytest.mark.parametrize("limits", [CARD, SIMULATED])
@pytest.mark.parametrize("run", [1, 8])
def test_a_plan_covers_everything_within_the_limits(limits, run):
    for columns, rows in itertools.product(SIZES, SIZES):
        made = plan(columns, rows, limits, run)
        (across, down, deep), (lanes, tall, one) = made.grid, made.block
        assert (deep, one) == (1, 1)
        assert across * lanes >= columns
        assert (across - 1) * lanes < columns or columns == 0
        assert 0 < lanes * tall <= limits.threads <= THREADS
        assert across < 1 << 31
        assert 0 < down <= min(MOST_BLOCKS_YZ, 4 * limits.parts)
        assert down == made.parts
        assert across * down <= BLOCKS or down == 1
        # the rows that a block starts with exist
        assert (down - 1) * tall < rows or down == 1


def test_large_sizes_keep_a_card_busy():
    for columns, rows in ((3, 1 << 17), (64, 8 << 14), (256, 1 << 14), (4096, 16), (65536, 1)):
        made = plan(columns, rows, CARD)
        blocks = made.grid[0] * made.grid[1]
        assert blocks >= 256
        assert made.block[0] * made.block[1] == CARD.threads


def test_a_warp_reads_neighbours():
    """32 columns are neighbours in memory; fewer lie row by row behind one another."""
    assert plan(256, 1000, CARD).block == (32, 8, 1)
    assert plan(10, 1000, CARD).block == (16, 16, 1)
    assert plan(102_400, 1, CARD).block == (256, 1, 1)


def test_parts_depend_on_sizes_alone():
    """A larger card has more blocks, and the same sums."""
    larger = CARD._replace(blocks=10 * CARD.blocks)
    for columns, rows in itertools.product(SIZES, SIZES):
        assert plan(columns, rows, CARD) == plan(columns, rows, larger)


def test_chunks_of_time_leave_no_rest_where_they_can():
    lengths = [1, 4, 16, 17, 64, 100, 500, 1000]
    assert [chunk_of(n) for n in lengths] == [1, 4, 16, 16, 16, 10, 10, 10]
    for steps in range(1, 400):
        chunk = chunk_of(steps)
        assert 1 <= chunk <= min(steps, LONGEST)
        possible = [n for n in range(LONGEST // 2 + 1, LONGEST + 1) if steps % n == 0]
        assert steps % chunk == 0 or not possible
