"""Small kernels on paper: how they are launched at odd and very large sizes, and what the compiler
makes of those that run in every step."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.kernels.cuda import OPERATIONS, count, device, geometry, shape
from snnr.kernels.cuda.geometry import CARD, MOST_BLOCKS_YZ, SIMULATED, Limits
from snnr.kernels.cuda.memory import Memory, empty
from snnr.kernels.cuda.parts import reduce

from .compile import assemble, find_ptxas, ptx
from .paper import Launched, Paper

LARGE = (1 << 33) + 5
LIMITS = pytest.mark.parametrize("limits", [CARD, SIMULATED])


@pytest.fixture
def paper() -> Iterator[Paper]:
    machine = Paper()
    device.use(machine)
    yield machine
    device.use(None)


@LIMITS
@pytest.mark.parametrize("size", [0, 1, 255, 8192, 8193, 100_001, LARGE])
def test_blocks_of_a_sum(size: int, limits: Limits) -> None:
    """One block at least, that writes the sum of nothing; no more than one block then adds up."""
    blocks = reduce.blocks(size, limits)
    assert 1 <= blocks <= max(limits.parts, 1)
    assert (blocks == 1) == (size <= 32 * limits.threads)
    assert limits.threads <= reduce.THREADS
    assert limits.threads & (limits.threads - 1) == 0


@LIMITS
@pytest.mark.parametrize("each", [1, 784, 3072, 3 * 1001 * 1001])
@pytest.mark.parametrize("count", [0, 1, 7, 128, 100_000])
def test_blocks_of_images(count: int, each: int, limits: Limits) -> None:
    (across, down, deep), threads = geometry.per_image(count, each, limits)
    assert deep == 1
    assert threads == limits.threads
    assert (across - 1) * threads < each
    assert (down == 0) == (count == 0)
    assert down <= min(count, MOST_BLOCKS_YZ)
    assert across * down <= max(limits.blocks, across)


@LIMITS
@pytest.mark.parametrize("columns", [0, 1, 130, 100_000, 1 << 31])
@pytest.mark.parametrize("rows", [0, 1, 255, 256, 8193, LARGE])
def test_blocks_of_counted_columns(rows: int, columns: int, limits: Limits) -> None:
    """A thread for every column; bytes that are added four at once never overflow."""
    (across, down, _), span = count.columns(rows, columns, limits)
    assert (across - 1) * limits.threads < max(columns, 1) <= max(across, 1) * limits.threads
    assert 1 <= span <= 255
    assert down <= MOST_BLOCKS_YZ
    assert (down == 0) == (rows == 0)
    assert (down - 1) * span < max(rows, 1)


@LIMITS
@pytest.mark.parametrize("size", [(1, 8, 8), (3, 33, 70), (1, LARGE, 8), (100_000, 1024, 512)])
def test_blocks_of_tiles(size: tuple[int, int, int], limits: Limits) -> None:
    blocks, (edge, step, _) = shape.tiles(*size, limits)
    assert 1 <= blocks < 1 << 31
    assert edge <= shape.EDGE
    assert edge * step <= limits.threads
    assert step * 4 == edge  # four values for each thread


@pytest.mark.parametrize(
    ("sizes", "axes", "runs"),
    [
        ((2, 3, 5), (0, 1, 2), [(0, 1, 2)]), ((2, 3, 5), (0, 2, 1), [(0,), (2,), (1,)]),
        ((2, 3, 5, 7), (0, 3, 1, 2), [(0,), (3,), (1, 2)]), ((1, 3, 5), (2, 0, 1), [(2,), (1,)]),
        ((1, 3, 1, 5), (0, 2, 1, 3), [(1, 3)]), ((1, 1), (1, 0), []),
    ],
)  # fmt: skip
def test_axes_in_runs(sizes: Any, axes: Any, runs: Any) -> None:
    assert shape.runs(sizes, axes) == runs


def _of(dtype: Any, *sizes: int) -> Memory:
    return empty(sizes, dtype)


def f4(*sizes: int) -> Memory:
    return _of(np.float32, *sizes)


def u1(*sizes: int) -> Memory:
    return _of(np.uint8, *sizes)


def i8(*sizes: int) -> Memory:
    return _of(np.int64, *sizes)


@pytest.mark.parametrize("size", [1, LARGE])
def test_launches_of_any_size(paper: Paper, size: int) -> None:
    """`Paper` refuses grids and blocks that no card takes."""
    run = OPERATIONS
    x, s = f4(size), u1(size)
    for name in ("add", "multiply"):
        run[name](x, s, x)
    for name in ("subtract", "divide"):
        run[name](x, x, x)
    run["power"](x, 0.5, x)
    run["sum_axes"](x.reshape((1, size)), f4(1, 1))
    run["stretch"](f4(1), x)
    run["window"](x, (size - 1,), (-1,), x)
    run["window_grad"](x, (0,), (1,), x)
    run["accumulate"](x, x)
    run["scale"](x, 2.0, x)
    run["spread"](f4(), x)
    run["total"](x, f4())
    run["mean_time"](x.reshape((1, size)), x)
    run["mean_time_grad"](x, x.reshape((1, size)))
    run["voting"](x.reshape((size, 1)), 1, x.reshape((size, 1)))
    run["voting_grad"](x.reshape((size, 1)), 1, x.reshape((size, 1)))
    run["mask_time"](x.reshape((1, size)), s, 2.0, x.reshape((1, size)))
    run["dropout_mask"](1, _of(np.uint64, 1), 0.5, s)
    run["mse"](x, x, x, f4())
    run["mse_grad"](x, f4(), x)
    run["all_finite"](x, u1(1))
    run["count_nonzero"](x, i8(1))
    run["count_spikes"](s.reshape((1, size)), i8(size))
    run["count_present"](x.reshape((1, 1, size)), i8(1, size), u1(1))
    run["count_present"](x.reshape((1, size, 1)), i8(1, 1), u1(1))
    run["count_spikes"](s.reshape((size, 1)), i8(1))
    run["reorder"](x.reshape((size, 1)), (1, 0), x.reshape((1, size)))
    sign, rates = _of(np.int8, size), _of(np.float64, 1, 4)
    run["grad_r_start"](x, x, sign, 1)
    run["grad_r_believe"](x, x, sign)
    run["grad_r_step"](x, x, sign, x, x, x, rates, 0, 0.9, 0.99, 1e-8, i8(3))
    noisy = (rates, 0, 0.9, 0.99, 1e-8, 0.1, 0.01)
    run["soft_deep_r_step"](x, x, sign, x, x, x, *noisy, -1.0, 5, i8(3))
    run["deep_r_believe"](x, sign)
    run["deep_r_step"](x, sign, x, x, x, *noisy, 0.0, 5, i8(3))
    run["stds_believe"](x, x, 0.5)
    run["stds_step"](x, x, x, x, x, rates, 0, 0.9, 0.99, 1e-8, i8(3))
    run["masked_adam_step"](x, x, x, x, rates, 0, 0.9, 0.99, 1e-8, i8(3))
    run["forget_absent"](x, x, x)
    run["keep_survivors"](x, x)
    run["replace_connected"](x, x)
    run["count_magnitudes"](x, 1, 7, i8(1 << 16))
    run["grow_random"](x, 1, 5, rates, 0, i8(3))
    if size > 1:
        run["keep_largest"](x, 1, i8(3))
        run["grow_largest"](x, x, 3, i8(3))
    run["reorder"](f4(9, size, 9), (0, 2, 1), f4(9, 9, size))
    run["reorder"](f4(3, size, 3), (2, 1, 0), f4(3, size, 3))
    assert paper.launched


def test_nothing_is_launched_for_nothing(paper: Paper) -> None:
    run, none = OPERATIONS, f4(0, 3)
    run["add"](none, none, none)
    run["mean_time"](f4(4, 0), f4(0))
    run["dropout_mask"](1, _of(np.uint64, 1), 0.5, u1(0))
    run["reorder"](none, (1, 0), f4(3, 0))
    run["one_hot"](i8(0), none)
    run["count_correct"](none, i8(0), i8(1))
    run["count_spikes"](u1(0, 3), i8(3))
    run["mask_time"](f4(3, 0), u1(0), 1.0, f4(3, 0))
    assert not paper.launched
    run["total"](none, f4())
    assert [launched.kernel.name for launched in paper.launched] == ["parts.reduce._sum"]


def _compiled(paper: Paper, name: str, capability: tuple[int, int] = (9, 0)) -> str:
    (found,) = (launched for launched in paper.launched if launched.kernel.name == name)
    return ptx(found, capability)


def test_spikes_times_a_float_stay_a_float(paper: Paper) -> None:
    """Integers of 64 bits, which a product of two bytes is, would draw it to float64."""
    OPERATIONS["mask_time"](u1(8, 100), u1(100), 2.0, f4(8, 100))
    OPERATIONS["add"](f4(8, 100), u1(8, 100), f4(8, 100))
    OPERATIONS["scale"](u1(8, 100), 2.0, f4(8, 100))
    OPERATIONS["mean_time"](u1(8, 100), f4(100))
    assert len(paper.launched) == 4
    for launched in paper.launched:
        assert ".f64" not in ptx(launched, (9, 0)), launched.kernel


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_operators_launch_compiles(paper: Paper, dtype: Any) -> None:
    """For images in sequence, of five axes; float32 needs float64 in sums alone."""
    run, x, s = OPERATIONS, _of(dtype, 2, 3, 5, 6, 4), u1(2, 3, 5, 6, 4)
    run["subtract"](x, x, x)
    run["divide"](x, x, x)
    run["power"](x, -1.5, x)
    for source in (x, s):
        run["sum_axes"](source, _of(dtype, 2, 3, 1, 1, 4))
        run["stretch"](_of(source.dtype, 1, 3, 1, 6, 4), source)
        run["window"](source, (0, 2, 0, 5, 1), (1, -1, 1, -2, 1), _of(source.dtype, 2, 3, 5, 3, 1))
    run["window_grad"](_of(dtype, 2, 3, 5, 3, 1), (0, 2, 0, 5, 1), (1, -1, 1, -2, 1), x)
    names = {launched.kernel.name for launched in paper.launched}
    assert {"arithmetic._power", "arithmetic._sum_axes", "shape._gather", "shape._scatter"} < names
    for launched in paper.launched:
        text = ptx(launched, (9, 0))
        wide = ".f64" in text and dtype == np.float32
        assert wide == (launched.kernel.name == "arithmetic._sum_axes" and dtype == np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_convolutions_in_groups_compile(paper: Paper, dtype: Any) -> None:
    """Spikes draw no float32 to float64, but for the sums of the weight gradient."""
    run, same = OPERATIONS, ((2, 1), (1, 1), 6)
    x, w, y = _of(dtype, 4, 8, 8, 12), _of(dtype, 3, 3, 2, 18), _of(dtype, 4, 4, 8, 18)
    for source in (x, u1(4, 8, 8, 12)):
        run["grouped_conv2d"](source, w, None, *same, y)
        run["grouped_conv2d"](source, w, _of(dtype, 18), *same, y)
        run["grouped_conv2d_weight_grad"](source, y, *same, w)
    run["grouped_conv2d_input_grad"](y, w, *same, x)
    assert len(paper.launched) == 5
    for launched in paper.launched:
        text = ptx(launched, (9, 0))
        summed = launched.kernel.name.endswith("_weight_grad")
        assert (".f64" in text) == (summed or dtype == np.float64), launched.kernel
        assert ".local" not in text, launched.kernel


def test_a_pixel_is_found_by_products_that_round(paper: Paper) -> None:
    """A product joined to a sum would round once, and move a pixel on the line between two."""
    images, out = u1(9, 3, 32, 32), f4(5, 32, 32, 3)
    OPERATIONS["random_affine"](images, i8(5), f4(5, 6), f4(3), f4(3), out)
    OPERATIONS["normalise"](images, i8(5), f4(3), f4(3), out)
    for launched in paper.launched:
        text = ptx(launched, (9, 0))
        assert "fma" not in text
        # the assembler joins what has no .rn; half a width is exact
        assert {"0f3F000000"} >= set(re.findall(r"mul\.f32.*, (\S+);", text))
        assert "div.rn.f32" in text
        assert ".f64" not in text
    assert "mul.rn.f32" in _compiled(paper, "input._random_affine")


def test_grad_r_rounds_as_on_the_cpu(paper: Paper) -> None:
    """No sum takes in a product of the prior; divisions and roots are exact."""
    w, sign, rates = f4(800, 784), _of(np.int8, 800, 784), _of(np.float64, 3, 4)
    OPERATIONS["grad_r_sgd_step"](w, w, sign, w, rates, 1, i8(3))
    OPERATIONS["grad_r_step"](w, w, sign, w, w, w, rates, 1, 0.9, 0.999, 1e-8, i8(3))
    assert "fma" not in _compiled(paper, "optim._grad_r_sgd")
    text = _compiled(paper, "optim._grad_r")
    assert {"sqrt.rn.f32", "div.rn.f32"} <= set(re.findall(r"(?:sqrt|div)\.\w+\.f32", text))
    assert not re.search(r"(?:sqrt|div|ex2|rcp)\.approx", text)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_selects_connections_compiles(paper: Paper, dtype: Any) -> None:
    """Numbers of places and of bits meet nothing signed, which would make floats of them."""
    run, w, counts = OPERATIONS, _of(dtype, 800, 784), i8(3)
    paper.read = lambda array: np.full(array.shape, 5, array.dtype)  # type: ignore[method-assign]
    run["keep_largest"](w, 3, counts)
    run["grow_largest"](w, w, 8, counts)
    run["grow_random"](w, 8, 5, _of(np.float64, 1, 4), 0, counts)
    run["replace_connected"](w, w)
    run["forget_absent"](w, w, w)
    names = {launched.kernel.name for launched in paper.launched}
    assert {"masked._digits", "masked._digits_of_places", "masked._cut", "masked._grow"} < names
    for launched in paper.launched:
        text = ptx(launched, (9, 0))
        assert ".local" not in text, launched.kernel
        assert not re.search(r"cvt\.rn\.f64\.[us]64", text), launched.kernel


def _hot(paper: Paper) -> list[Launched]:
    """What runs in every step of training."""
    run = OPERATIONS
    x, s, mask = f4(8, 102_400), u1(8, 102_400), u1(102_400)
    w, sign, rates = f4(800, 784), _of(np.int8, 800, 784), _of(np.float64, 3, 4)
    run["accumulate"](x, x)
    run["add"](s, s, x)
    run["multiply"](s, s, s)
    run["mean_time"](x, f4(102_400))
    run["mean_time_grad"](f4(102_400), x)
    run["mask_time"](x, mask, 2.0, x)
    run["mask_time"](s, mask, 1.0, s)
    run["dropout_mask"](1, _of(np.uint64, 1), 0.5, mask)
    run["reorder"](f4(64, 32, 32, 16), (0, 3, 1, 2), f4(64, 16, 32, 32))
    run["reorder"](u1(64, 32, 32, 16), (0, 3, 1, 2), u1(64, 16, 32, 32))
    run["reorder"](f4(64, 5, 6, 7), (3, 2, 1, 0), f4(7, 6, 5, 64))
    run["cross_entropy"](f4(128, 10), i8(128), f4(128, 10), f4())
    run["mse"](f4(128, 10), f4(128, 10), f4(128, 10), f4())
    run["count_spikes"](s, i8(102_400))
    run["adam_step"](w, w, w, w, rates, 1, 0.9, 0.999, 1e-8)
    run["adam_step"](w, w, w, w, rates, 1, 0.9, 0.999, 1e-8, i8(3))
    run["grad_r_step"](w, w, sign, w, w, w, rates, 1, 0.9, 0.999, 1e-8, i8(3))
    noisy = (rates, 1, 0.9, 0.999, 1e-8, 0.1, 0.01)
    run["soft_deep_r_step"](w, w, sign, w, w, w, *noisy, -1.0, 5, i8(3))
    run["deep_r_step"](w, sign, w, w, w, *noisy, 0.0, 5, i8(3))
    run["stds_step"](w, w, w, w, w, rates, 1, 0.9, 0.999, 1e-8, i8(3))
    run["masked_adam_step"](w, w, w, w, rates, 1, 0.9, 0.999, 1e-8, i8(3))
    run["grow_random"](w, 7, 5, rates, 1, i8(3), sign)
    images, norm, out = u1(99, 3, 32, 32), (f4(3), f4(3)), f4(64, 32, 32, 3)
    run["normalise"](images, i8(64), *norm, out)
    run["random_affine"](images, i8(64), f4(64, 6), *norm, out)
    run["crop_flip"](images, i8(64), i8(64), i8(64), u1(64), *norm, out)
    return list(paper.launched)


@pytest.mark.parametrize("capability", [pytest.param((8, 0), marks=pytest.mark.slow), (9, 0)])
def test_what_is_hot_spills_nothing(paper: Paper, capability: tuple[int, int]) -> None:
    """And leaves room for four blocks on a processor, of 65,536 registers."""
    ptxas = find_ptxas()
    if ptxas is None:
        pytest.skip("ptxas is not installed")
    for launched in _hot(paper):
        text = ptx(launched, capability)
        assert ".local" not in text, launched.kernel
        found = assemble(text, capability, ptxas)
        assert found.spilled == 0, launched.kernel
        assert found.registers * launched.threads * 4 <= 65_536, launched.kernel
