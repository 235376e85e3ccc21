"""Questions whose answers are integers, against the reference."""

import numpy as np
import pytest

from .harness import compare, normal, pruned, sized, spikes

SHAPES = sized([(0,), (1,), (3, 17), (70, 2001)], [(0,), (1,), (3, 67)])
#: the columns of the last two are counted four at a time on a GPU
COLUMNS = sized(
    [(1, 1), (0, 3), (3, 130), (700, 65), (2000, 3), (700, 64), (5, 132)],
    [(1, 1), (0, 3), (300, 3), (600, 4), (5, 132)],
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("odd", sized([None, np.nan, np.inf, -np.inf], [None, np.nan, -np.inf]))
def test_all_finite(kernels, shape, odd, dtype):
    x = normal(np.random.default_rng(0), shape, dtype)
    x.reshape(-1)[: min(1, x.size)] = np.finfo(dtype).max
    if odd is not None and x.size:
        x.reshape(-1)[-1] = odd
    for before in (0, 1):
        flag = np.array([before], np.uint8)
        compare(kernels, "all_finite", (), updated=("flag",), x=x, flag=flag)


@pytest.mark.parametrize("shape", [(1, 1), (0, 3), (129, 10)])
def test_count_correct(kernels, shape):
    generator = np.random.default_rng(1)
    rate = generator.integers(0, 3, shape).astype(np.float32)  # with ties
    labels = generator.integers(0, shape[1], shape[0])
    count = np.array([5], np.int64)
    compare(kernels, "count_correct", (), updated=("count",), rate=rate, labels=labels, count=count)


@pytest.mark.parametrize("shape", COLUMNS)
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_count_spikes(kernels, shape, density):
    x = spikes(np.random.default_rng(2), shape, density)
    count = np.arange(shape[1])
    compare(kernels, "count_spikes", (), updated=("count",), spikes=x, count=count)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", COLUMNS)
@pytest.mark.parametrize("odd", sized([None, 0.5, 2.0, np.nan, -np.inf], [None, 0.5, np.nan]))
def test_count_present(kernels, shape, odd, dtype):
    x = np.random.default_rng(4).integers(-1, 2, (2, *shape)).astype(dtype)
    x.reshape(-1)[: min(1, x.size)] = -0.0
    if odd is not None and x.size:
        x.reshape(-1)[-1] = odd
    count = np.arange(2 * shape[1]).reshape(2, -1)
    for before in (0, 1):
        graded = np.array([before, 0], np.uint8)
        compare(
            kernels, "count_present", (), updated=("count", "graded"), x=x, count=count,
            graded=graded,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_count_nonzero(kernels, shape, dtype):
    x = pruned(np.random.default_rng(3), shape, 0.3, dtype)
    x.reshape(-1)[: min(1, x.size)] = -0.0
    compare(kernels, "count_nonzero", ("count",), x=x, count=np.empty(1, np.int64))
    s = spikes(np.random.default_rng(3), shape, 0.3)
    compare(kernels, "count_nonzero", ("count",), x=s, count=np.empty(1, np.int64))
