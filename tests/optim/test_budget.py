"""Shares of the layers: exact sums, bounds, and the proportions of the paper."""

from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnr.optim.budget import budgets_by_magnitude, layer_budgets, total_budget
from snnr.tensor import Parameter

SHAPES = st.lists(
    st.one_of(
        st.tuples(*[st.integers(1, 40)] * 2),
        st.tuples(*[st.integers(1, 9)] * 2, *[st.integers(1, 5)] * 2),
    ),
    min_size=1, max_size=7,
)  # fmt: skip


def waterfilled(total: int, parts: list[int], sizes: list[int]) -> list[Fraction]:
    """The exact shares: one factor for all, cut where a layer is full, found by bisection."""
    low, high = Fraction(0), Fraction(sum(sizes) + 1)
    for _ in range(90):
        middle = (low + high) / 2
        if sum(min(middle * p, Fraction(s)) for p, s in zip(parts, sizes, strict=True)) < total:
            low = middle
        else:
            high = middle
    return [min(high * p, Fraction(s)) for p, s in zip(parts, sizes, strict=True)]


@given(SHAPES, st.floats(0.001, 1), st.sampled_from(["erk", "uniform"]))
def test_the_sum_is_exact_and_shares_are_proportional(
    shapes: list[tuple[int, ...]], connectivity: float, distribution: str
) -> None:
    sizes = [prod(shape) for shape in shapes]
    total = total_budget(shapes, connectivity)
    found = layer_budgets(shapes, connectivity, distribution)
    assert sum(found) == total == round(connectivity * sum(sizes))
    assert all(0 <= n <= size for n, size in zip(found, sizes, strict=True))
    assert min(found) >= 1 or total < len(shapes)
    parts = [sum(shape) for shape in shapes] if distribution == "erk" else sizes
    moved = sum(n == 1 for n in found)  # given to layers that would have had none
    for n, exact in zip(found, waterfilled(total, parts, sizes), strict=True):
        assert abs(n - exact) < 1 + moved + Fraction(1, 1000)


def test_the_paper_s_network() -> None:
    """mnist_fc at 2 %: 12,704 connections, in proportion to 1584 and 810."""
    assert layer_budgets([(800, 784), (10, 800)], 0.02) == [8406, 4298]
    assert layer_budgets([(800, 784), (10, 800)], 0.02, "uniform") == [12544, 160]


@pytest.mark.parametrize("distribution", ["erk", "uniform"])
def test_ends(distribution: str) -> None:
    shapes = [(3, 4), (2, 3, 1, 1), (5, 2)]
    assert layer_budgets(shapes, 1, distribution) == [12, 6, 10]
    assert sorted(layer_budgets(shapes, 0.1, distribution)) == [1, 1, 1]
    assert sum(layer_budgets(shapes, 0.05, distribution)) == 1
    assert layer_budgets([], 0.5, distribution) == []


def test_a_full_layer_leaves_the_rest_to_the_others() -> None:
    """The small one would get 40*13/(13 + 203), more than its 12."""
    assert layer_budgets([(1, 12), (103, 100)], 240 / 10312) == [12, 228]


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_all_weights(device: str, dtype: type) -> None:
    """Beside a sort of all magnitudes; many are equal, and so are some of different weights."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(scale=scale, size=shape).astype(dtype)
        for scale, shape in ((1.0, (7, 9)), (0.1, (4, 3, 2, 2)), (3.0, (5, 8)))
    ]
    for array in arrays:
        array[..., 0] = np.round(array[..., 0])
    weights = [Parameter(a, f"{i}_test.weight", device=device) for i, a in enumerate(arrays)]
    every = [(abs(x), -i) for i, a in enumerate(arrays) for x in a.ravel().tolist()]
    every.sort(reverse=True)
    for total in range(len(every) + 2):
        expected = [sum(-i == k for _, i in every[:total]) for k in range(3)]
        assert budgets_by_magnitude(weights, total) == expected
