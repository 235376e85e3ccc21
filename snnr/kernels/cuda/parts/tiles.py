"""How a product is cut into tiles and parts: plain functions of sizes, tested without a card."""

from typing import NamedTuple

from snnr.kernels.cuda.geometry import MOST_BLOCKS_YZ, Limits, ceil


class Tile(NamedTuple):
    """A block's piece of the result, and a thread's.

    m, n : rows and columns of the block's piece; k : terms of the sum per step.
    rows, columns : of a thread's piece.
    run_m, run_n : how many of a thread's rows and columns are neighbours; runs of 16 bytes are one
        load from shared memory. The runs of a thread lie m/(rows/run_m) apart.
    lanes_m, lanes_n : how the threads of a warp lie.
    """

    m: int
    n: int
    k: int
    rows: int
    columns: int
    run_m: int
    run_n: int
    lanes_m: int
    lanes_n: int

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.m // self.rows * (self.n // self.columns)

    @property
    def name(self) -> str:
        """For the table of kernels."""
        return f"{self.m}x{self.n}x{self.k}"


#: 64 sums a thread: 4 loads of 16 bytes from shared memory for 64 multiply-adds
BIG = Tile(128, 128, 8, 8, 8, 4, 4, 4, 8)
#: four times the blocks
MIDDLE = Tile(64, 64, 8, 8, 4, 4, 4, 4, 8)
#: few columns (the outputs of a classifier), few rows (the taps of one input channel)
NARROW = Tile(128, 16, 8, 4, 4, 4, 4, 8, 4)
SHORT = Tile(16, 128, 8, 4, 4, 4, 4, 2, 16)
#: of float64, which fill twice the registers
DOUBLE = Tile(64, 64, 8, 4, 4, 2, 2, 4, 8)
#: for the simulator: a thread costs 150 us there
TINY = Tile(8, 8, 4, 2, 2, 2, 2, 4, 4)

#: blocks that a card of 132 processors runs at once, two on each; smaller cards get as many, so
#: that the order of sums depends on the sizes alone
FULL = 256
#: terms of a part at least, by the tile: below that writing the parts costs more than it spreads
LEAST = {BIG: 512, MIDDLE: 128, NARROW: 128, SHORT: 128, DOUBLE: 128, TINY: 8}
#: terms of a float32 sum at most, for its precision
LONGEST = 1 << 15
#: terms up to which storing the result takes longer than summing it (a network's first convolution)
SHALLOW = 32
#: rows or columns that still go into a tile for few
FEW = 16


class Cut(NamedTuple):
    """A product of [m, k] and [k, n] in tiles, each sum in `parts` of `chunk` terms."""

    tile: Tile
    blocks: int
    parts: int
    chunk: int


def _blocks(m: int, n: int, tile: Tile) -> int:
    return ceil(m, tile.m) * ceil(n, tile.n)


def _tile(m: int, n: int, k: int, itemsize: int, limits: Limits) -> Tile:
    if limits.threads < DOUBLE.threads:
        return TINY
    if itemsize == 8:
        return DOUBLE
    if n <= FEW:
        return NARROW
    if m <= FEW:
        return SHORT
    if k <= SHALLOW:
        return MIDDLE
    return BIG if _blocks(m, n, BIG) * max(k // LEAST[BIG], 1) >= FULL // 2 else MIDDLE


def cut(m: int, n: int, k: int, itemsize: int, limits: Limits, whole: bool = False) -> Cut:
    """Tile and parts, of whole steps, for enough blocks to fill a card.

    whole : in one part.
    """
    tile = _tile(m, n, k, itemsize, limits)
    blocks = _blocks(m, n, tile)
    most = FULL if tile is not TINY else limits.parts * 2
    wanted = min(most // max(blocks, 1), k // LEAST[tile])
    parts = 1 if whole else min(max(wanted, ceil(k, LONGEST), 1), MOST_BLOCKS_YZ)
    chunk = max(ceil(ceil(k, parts), tile.k), 1) * tile.k
    return Cut(tile, blocks, max(ceil(k, chunk), 1), chunk)


def division(divisor: int) -> tuple[int, int]:
    """Factor and shift with n // divisor == (n * factor) >> shift for 0 <= n < 2**31 (Granlund &
    Montgomery, PLDI 1994): a division by what a launch knows costs three instructions."""
    bits = max(divisor - 1, 0).bit_length()
    return ceil(1 << (31 + bits), divisor), 31 + bits
