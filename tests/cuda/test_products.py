"""Products of tiles on paper: every entry of a result made once, at any size, and what the compiler
makes of the inner loops."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.kernels.cuda import OPERATIONS, device
from snnr.kernels.cuda.conv import choose as conv
from snnr.kernels.cuda.geometry import CARD, MOST_BLOCKS_YZ, SIMULATED, Limits
from snnr.kernels.cuda.linear import spikes
from snnr.kernels.cuda.memory import empty
from snnr.kernels.cuda.parts import maps, tiles
from snnr.kernels.cuda.parts.tiles import Tile

from .compile import TARGETS, assemble, find_ptxas, ptx
from .paper import Launched, Paper

TILES = [
    tiles.BIG, tiles.MIDDLE, tiles.NARROW, tiles.SHORT, tiles.DOUBLE, tiles.TINY,
]  # fmt: skip
LIMITS = pytest.mark.parametrize("limits", [CARD, SIMULATED])


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.name)
def test_the_threads_of_a_block_make_its_piece_once(tile: Tile) -> None:
    """The sums of `gemm`, thread by thread, and the copies into shared memory."""
    made = np.zeros((tile.m, tile.n), int)
    warps_n = tile.n // tile.columns // tile.lanes_n
    for t in range(tile.threads):
        group, lane = divmod(t, tile.lanes_m * tile.lanes_n)
        m = (group // warps_n * tile.lanes_m + lane // tile.lanes_n) * tile.run_m
        n = (group % warps_n * tile.lanes_n + lane % tile.lanes_n) * tile.run_n
        apart_m = tile.m // (tile.rows // tile.run_m)
        apart_n = tile.n // (tile.columns // tile.run_n)
        for i, j in product(range(tile.rows), range(tile.columns)):
            row = m + i // tile.run_m * apart_m + i % tile.run_m
            made[row, n + j // tile.run_n * apart_n + j % tile.run_n] += 1
    assert (made == 1).all()
    step = tile.threads // tile.k
    for side in (tile.m, tile.n):
        assert side % step == 0
        copied = np.zeros((tile.k, side), int)
        for t, i in product(range(tile.threads), range(side // step)):
            copied[t % tile.k, t // tile.k + i * step] += 1
        assert (copied == 1).all()
    assert tile.k % 4 == 0, "terms go in fours"
    assert 2 * tile.k * (tile.m + tile.n + 8) * 8 <= 48 << 10


@LIMITS
@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize(
    "size",
    [
        (0, 5, 7), (5, 0, 7), (5, 7, 0), (1, 1, 1), (128, 800, 784), (784, 800, 1024),
        (1024, 10, 800), (800, 10, 1024), (131_072, 256, 2304), (2304, 256, 131_072),
        (9, 128, 100_353), ((1 << 33) + 1, 17, 3), (3, (1 << 31) - 1, 5), (33, 65, (1 << 31) + 9),
        (50_001, 70_001, 129),
    ],
)  # fmt: skip
def test_cuts(size: tuple[int, int, int], itemsize: int, limits: Limits) -> None:
    """Tiles cover the result, parts the sums, nothing twice; all of it can be launched."""
    (m, n, k) = size
    for whole in (False, True):
        cut = tiles.cut(m, n, k, itemsize, limits, whole)
        tile = cut.tile
        down, across = -(-m // tile.m), -(-n // tile.n)
        assert cut.blocks == down * across
        assert (cut.blocks == 0) == (m * n == 0)
        assert cut.parts >= 1
        assert cut.chunk % tile.k == 0
        assert (cut.parts - 1) * cut.chunk < max(k, 1) <= cut.parts * cut.chunk or k == 0
        assert cut.parts == 1 or not whole
        assert cut.parts <= MOST_BLOCKS_YZ
        assert cut.chunk < 1 << 32
        assert whole or k < tiles.LONGEST or cut.chunk <= 2 * tiles.LONGEST
        assert tile.threads <= limits.threads


def test_small_results_fill_a_card() -> None:
    for m, n, k in ((2304, 256, 131_072), (128, 800, 784), (9, 128, 401_408), (1024, 10, 8000)):
        cut = tiles.cut(m, n, k, 4, CARD)
        assert tiles.FULL // 2 <= cut.blocks * cut.parts <= tiles.FULL
    assert tiles.cut(131_072, 256, 2304, 4, CARD)[:3] == (tiles.BIG, 2048, 1)


@pytest.mark.parametrize("divisor", [1, 2, 3, 5, 7, 9, 28, 784, 1024, 65_537, (1 << 31) - 1])
def test_division_by_a_product(divisor: int) -> None:
    factor, shift = tiles.division(divisor)
    assert factor < 1 << 32
    top = (1 << 31) - 1
    edges = [e + d for e in range(0, top, max(top // 97 // divisor, 1) * divisor) for d in (-1, 0)]
    for n in (*range(1000), *edges, top - 1, top):
        if n >= 0:
            assert n * factor < 1 << 64
            assert (n * factor) >> shift == n // divisor


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2), (4, 0)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 5)])
def test_phases_of_an_input_gradient(
    kernel: tuple[int, int], padding: tuple[int, int], stride: tuple[int, int]
) -> None:
    """Of every pair of an input and an output pixel, and the tap between them, each is met once."""
    for axis in (0, 1):
        taps, step, pad = kernel[axis], stride[axis], padding[axis]
        for size in range(1, 9):
            windows = (size + 2 * pad - taps) // step + 1
            met = []
            for phase in conv.phases(size, taps, step, pad):
                for u, t in product(range(phase.pixels), range(phase.taps)):
                    at = u + t - phase.padding  # of dy, as a convolution with mirrored taps
                    tap = phase.tap + step * (phase.taps - 1 - t)
                    if 0 <= at < windows:
                        met.append((phase.first + step * u, at, tap))
            expected = [
                (y * step + i - pad, y, i)
                for y, i in product(range(windows), range(taps))
                if 0 <= y * step + i - pad < size
            ]
            assert sorted(met) == sorted(expected)


def test_numbers_of_maps_are_words() -> None:
    """Negative steps wrap around; nothing is larger than the words that hold it."""
    for word, bits in ((np.uint32, 32), (np.uint64, 64)):
        shape = maps.pixel_shape((5, 7), 210, (42, 6), -48, (1, 1), (-1, 2), word)
        assert shape[9] == (1 << bits) - 48
        assert shape[12] == (1 << 32) - 1
        shape = maps.tap_shape(3, 2, (1, -12, -6), 18, word)
        assert shape[7] == (1 << bits) - 12
        assert all(type(value) is np.uint32 for value in shape[:6])
        assert all(type(value) is word for value in shape[6:])


@LIMITS
@pytest.mark.parametrize("outputs", [0, 1, 255, 257, 100_000_000])
@pytest.mark.parametrize("rows", [0, 1, 130, 1 << 31])
def test_blocks_of_a_walk(rows: int, outputs: int, limits: Limits) -> None:
    block = spikes.shape(limits)
    assert block.groups * block.lanes <= limits.threads
    (down, across, deep) = spikes.grid(rows, outputs, block)
    span = block.lanes * block.columns
    assert down * block.groups >= rows
    assert across * deep * span >= outputs
    assert down < 1 << 31
    assert across <= MOST_BLOCKS_YZ
    assert deep <= MOST_BLOCKS_YZ


@pytest.fixture
def paper() -> Iterator[Paper]:
    machine = Paper()
    device.use(machine)
    yield machine
    device.use(None)


def memory(*shape: int, dtype: Any = np.float32) -> Any:
    return empty(shape, dtype)


@pytest.mark.parametrize("rows", [1 << 20, (1 << 32) + 3])
def test_more_than_a_word_can_count(paper: Paper, rows: int) -> None:
    """Places go into 64 bits where an array is that large, and only there."""
    x, w, y = memory(rows, 33), memory(33, 10), memory(rows, 10)
    OPERATIONS["linear"](x, w, None, y)
    OPERATIONS["linear_input_grad"](y, w, x)
    OPERATIONS["linear_weight_grad"](x, y, w)
    OPERATIONS["bias_grad"](y, memory(10))
    names = [launched.kernel.name for launched in paper.launched if "gemm" in launched.kernel.name]
    assert len(names) == 3
    assert all(name.endswith("_wide") == (rows > 1 << 31) for name in names)


@pytest.mark.parametrize("side", [1000, 40_000])
def test_images_longer_than_half_a_word_holds(paper: Paper, side: int) -> None:
    x, w, y = memory(1, 1, side, 2), memory(1, 3, 2, 3), memory(1, 1, side, 3)
    same = ((1, 1), (0, 1))
    OPERATIONS["conv2d"](x, w, None, *same, y)
    OPERATIONS["conv2d_input_grad"](y, w, *same, x)
    OPERATIONS["conv2d_weight_grad"](x, y, *same, w)
    names = [launched.kernel.name for launched in paper.launched if "gemm" in launched.kernel.name]
    assert len(names) == 3
    assert all(name.endswith("_wide") == (side > 1000) for name in names)


def conv_of_the_paper(paper: Paper) -> dict[str, Launched]:
    """The 256 to 256 channels of cifar10_conv, and a large dense layer."""
    x, w = memory(16 * 8, 32, 32, 256, dtype=np.uint8), memory(3, 3, 256, 256)
    y, same = memory(16 * 8, 32, 32, 256), ((1, 1), (1, 1))
    OPERATIONS["conv2d"](x, w, None, *same, y)
    OPERATIONS["conv2d_input_grad"](y, w, *same, memory(*x.shape))
    OPERATIONS["conv2d_weight_grad"](x, y, *same, w)
    a, b = memory(4096, 2048), memory(2048, 2048)
    OPERATIONS["matmul"](a, b, memory(4096, 2048))
    found = [launched for launched in paper.launched if "gemm_128" in launched.kernel.name]
    return {re.sub(r".*gemm_128x128x8_", "", f.kernel.name): f for f in found}


@pytest.mark.parametrize(
    "name",
    [
        "rows_columns_float32_scaled", "pixels_columns_float32_scaled_spikes",
        pytest.param("pixels_mirrored_float32_scaled", marks=pytest.mark.slow),
        pytest.param("taps_columns_float32_part_spikes", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_inner_loops(paper: Paper, name: str) -> None:
    """Multiply-adds in runs between loads, sums in registers, all of it in 128 of them, no float64
    by accident; two blocks fit on a processor."""
    launched = conv_of_the_paper(paper)[name]
    assert launched.threads == 256
    for capability in TARGETS:
        text = ptx(launched, capability)
        assert ".local" not in text
        assert ".f64" not in text
        assert len(re.findall(r"fma\.rn\.f32", text)) >= 4 * 64
        # neighbours lie at constants from one address: the assembler makes one load of four
        places: dict[str, set[int]] = {}
        for base, shift in re.findall(r"ld\.shared\.f32\s+%f\d+, \[(%rd\d+)(?:\+(\d+))?\]", text):
            places.setdefault(base, set()).add(int(shift or 0))
        for found in places.values():
            assert found == {p // 16 * 16 + n for p in found for n in (0, 4, 8, 12)}
        assert sum(map(len, places.values())) >= 4 * 16
        ptxas = find_ptxas()
        if ptxas is not None:
            used = assemble(text, capability, ptxas)
            assert used.spilled == 0
            assert used.registers <= 128
            assert used.shared <= 24 << 10
