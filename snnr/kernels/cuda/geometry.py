"""How many blocks of how many threads: plain functions of sizes, tested without a card."""

from typing import NamedTuple

#: the most blocks in the second and third direction of a grid (CUDA programming guide, table of
#: technical specifications)
MOST_BLOCKS_YZ = 65_535


class Limits(NamedTuple):
    """What a machine is good at.

    threads : of one block, for kernels that go through memory in strides.
    blocks : that keep all its processors busy; kernels in strides get no more.
    blocks_per_processor : how many of them one processor holds at once.
    parts : into how many partial sums a reduction over rows is cut, at most.
    """

    threads: int
    blocks: int
    blocks_per_processor: int
    parts: int


CARD = Limits(threads=256, blocks=8 * 132, blocks_per_processor=8, parts=256)
#: a thread of the simulator is one of the system's: few, and several blocks all the same
SIMULATED = Limits(threads=32, blocks=3, blocks_per_processor=1, parts=3)


def ceil(a: int, b: int) -> int:
    """a/b, rounded up."""
    return -(-a // b)


def strided(count: int, limits: Limits) -> tuple[int, int]:
    """Blocks and threads for `count` elements in a loop with the grid's size as its stride: every
    element has one thread, every thread a run of elements."""
    threads = limits.threads
    return min(ceil(count, threads), limits.blocks), threads


def parts(rows: int, limits: Limits, least: int = 32) -> int:
    """How many parts a sum over rows is cut into: each has at least `least` rows, but the last."""
    return max(1, min(ceil(rows, least), limits.parts))


def per_image(count: int, each: int, limits: Limits) -> tuple[tuple[int, int, int], int]:
    """Blocks and threads for `count` things of `each` values: one of them is never split between
    blocks of different rows of the grid, and both directions go in strides."""
    across = min(ceil(each, limits.threads), limits.blocks)
    down = min(count, max(1, limits.blocks // max(1, across)), MOST_BLOCKS_YZ)
    return (across, down, 1), limits.threads
