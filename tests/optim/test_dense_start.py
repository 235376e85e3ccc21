"""Magnitude pruning and IMP: step by step beside their rules, and what holds in every step."""

from typing import Any

import numpy as np
import pytest

import snnr
from snnr import optim
from snnr.optim.budget import layer_budgets
from snnr.optim.dense_start import DenseStart
from snnr.tensor import Parameter

from .rules import TINY, Adam, gradient, in_memory, nonzero, weights

BOTH = pytest.mark.parametrize("kind", [optim.Magnitude, optim.IMP])
EVERYWHERE = pytest.mark.parametrize("distribution", ["global", "erk", "uniform"])
STEPS = 40


def begun(kind: type[DenseStart], params: list[Parameter], **settings: Any) -> Any:
    often = {"every": 3} if kind is optim.Magnitude else {"rounds": 3, "rewind": 0.35}
    optimizer: Any = kind(params, **{"lr": 0.02, "target_connectivity": 0.1, **often, **settings})
    optimizer.begin(None, STEPS)
    return optimizer


def step(optimizer: optim.Optimizer, seed: int) -> None:
    for p in optimizer.params:
        p.grad = gradient(p, seed)
    optimizer.step()


def smallest_go(rules: list[Adam], total: int) -> None:
    """Of all weights together; of equal ones the first stays."""
    every = [(-abs(x), k, i) for k, one in enumerate(rules) for i, x in enumerate(one.w.flat)]
    for _, k, i in sorted(every)[total:]:
        rules[k].drop([i])


@EVERYWHERE
@BOTH
def test_what_is_pruned_stays_pruned_and_the_last_count_is_exact(
    kind: type[DenseStart], distribution: str
) -> None:
    params = weights()
    optimizer = begun(kind, params, distribution=distribution)
    assert optimizer.connectivity() == 1
    before = [p.numpy() != 0 for p in params[:2]]
    for seed in range(STEPS):
        step(optimizer, seed)
        now = [p.numpy() != 0 for p in params[:2]]
        for p, was, there in zip(params, before, now, strict=False):
            assert not (there & ~was).any()
            assert not optimizer.state[p].numpy("exp_avg")[~there].any()
        assert optimizer.connectivity() == sum(map(np.count_nonzero, now)) / 510
        before = now
    assert nonzero(params[0]) + nonzero(params[1]) == 51
    if distribution != "global":
        expected = layer_budgets([(12, 20), (6, 5, 3, 3)], 0.1, distribution)
        assert [nonzero(p) for p in params[:2]] == expected
    assert sum(gone for gone, _ in optimizer.take_changes().values()) == 510 - 51


def test_magnitude_step_by_step() -> None:
    params = weights(1)
    optimizer = begun(optim.Magnitude, params, begin_share=0.1, end_share=0.7)
    rules = [Adam(in_memory(p, p.numpy()), 0.02) for p in params[:2]]
    for t in range(1, STEPS + 1):
        step(optimizer, t)
        for p, rule in zip(params, rules, strict=False):
            rule.step(in_memory(p, gradient(p, t)))
        if (t % 3 == 0 and t > 4) or t == 28:
            way = min((t - 4) / (28 - 4), 1)
            smallest_go(rules, round((0.1 + 0.9 * (1 - way) ** 3) * 510))
        for p, rule in zip(params, rules, strict=False):
            found = in_memory(p, p.numpy())
            np.testing.assert_array_equal(found != 0, rule.w != 0)
            np.testing.assert_allclose(found, rule.w, rtol=2e-5, atol=1e-6)
            rule.w = found
    assert optimizer.connectivity() == 0.1


def test_imp_step_by_step() -> None:
    """40 steps in four parts; what is rewound to are the values after round(0.35 * 10)."""
    params = weights(2)
    optimizer = begun(optim.IMP, params)
    assert optimizer.prunings() == [10, 20, 30]
    rules = [Adam(in_memory(p, p.numpy()), 0.02) for p in params]
    start: list[np.ndarray] = []
    for t in range(1, STEPS + 1):
        step(optimizer, t)
        for p, rule in zip(params, rules, strict=True):
            rule.step(in_memory(p, gradient(p, t)))
        if t == 4:
            start = [rule.w.copy() for rule in rules]
        if t in (10, 20, 30):
            smallest_go(rules[:2], round(0.1 ** (t / 30) * 510))
            for i, (rule, values) in enumerate(zip(rules, start, strict=True)):
                w = np.where(rule.w != 0, values, 0)
                rules[i] = Adam(w.astype(np.float32), 0.02)
        for p, rule in zip(params, rules, strict=True):
            found = in_memory(p, p.numpy())
            np.testing.assert_array_equal(found != 0, rule.w != 0)
            np.testing.assert_allclose(found, rule.w, rtol=2e-5, atol=1e-6)
            rule.w = found
            if t >= 4:
                i = params.index(p)
                start[i] = in_memory(p, optimizer.state[p].numpy("start"))
    assert optimizer.connectivity() == 0.1


def test_imp_without_an_early_phase_goes_back_to_the_first_values() -> None:
    params = weights(4)
    first = [p.numpy().copy() for p in params]
    optimizer = begun(optim.IMP, params, rewind=0)
    for t in range(20):
        step(optimizer, t)
    for p, values in zip(params, first, strict=True):
        np.testing.assert_array_equal(p.numpy(), np.where(p.numpy() != 0, values, 0))
        assert optimizer.state[p].steps == 0
        assert not optimizer.state[p].numpy("exp_avg").any()


@pytest.mark.parametrize(("steps", "told"), [(7, [2, 4, 6]), (2, [1, 1, 2]), (1, [1, 1, 1])])
def test_imp_reaches_its_target_in_few_steps(steps: int, told: list[int]) -> None:
    params = weights()
    optimizer = begun(optim.IMP, params)
    optimizer.begin(None, steps)
    assert optimizer.prunings() == told
    for t in range(steps):
        step(optimizer, t)
    assert optimizer.connectivity() == 0.1


@pytest.mark.parametrize(
    ("settings", "steps", "expected"),
    [
        ({"begin_share": 0.0, "end_share": 0.0}, [1, 2], [0.2, 0.2]),
        ({"begin_share": 0.5, "end_share": 0.5}, [19, 20, 21], [1, 0.2, 0.2]),
        ({"begin_share": 0.25, "end_share": 0.75}, [5, 10, 20, 29, 30], [1, 1, 0.3, 0.2001, 0.2]),
        ({"begin_share": 0.0, "end_share": 1.0}, [0, 20, 40], [1, 0.3, 0.2]),
    ],
)
def test_the_cubic_schedule(
    settings: dict[str, float], steps: list[int], expected: list[float]
) -> None:
    optimizer = begun(optim.Magnitude, weights(), target_connectivity=0.2, **settings)
    assert [optimizer.allowed(t) for t in steps] == pytest.approx(expected)


@pytest.mark.parametrize("end", [0.0, 0.01, 0.99, 1.0])
def test_the_last_pruning_is_made_wherever_it_falls(end: float) -> None:
    optimizer = begun(optim.Magnitude, weights(), every=1000, end_share=end)
    for t in range(STEPS):
        step(optimizer, t)
    assert optimizer.connectivity() == 0.1


@BOTH
def test_weights_that_start_at_zero_are_connections_or_pruned_already(
    kind: type[DenseStart],
) -> None:
    for fresh, there in ((True, 600), (False, 60)):
        p = Parameter(np.zeros((20, 30), np.float32), "0_linear.weight")
        p.data[:2] = 1
        optimizer = begun(kind, [p], fresh=fresh)
        assert nonzero(p) == there
        assert set(np.unique(p.numpy())) == ({TINY, 1} if fresh else {0, 1})
        for t in range(STEPS):
            step(optimizer, t)
        assert nonzero(p) == 60


@BOTH
def test_without_begin_nothing_is_pruned(kind: type[DenseStart]) -> None:
    optimizer = kind(weights())
    for t in range(5):
        step(optimizer, t)
    assert optimizer.connectivity() == 1


@BOTH
def test_a_gradient_of_a_pruned_weight_is_not_looked_at(kind: type[DenseStart]) -> None:
    found = []
    for filled in (0.0, 9.0):
        params = weights()
        optimizer = begun(kind, params)
        for t in range(STEPS):
            for p in params:
                p.grad = np.where(p.numpy() != 0, gradient(p, t), np.float32(filled) * t)
            optimizer.step()
        found.append(params[0].numpy().tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (optim.Magnitude, {"begin_share": 0.8, "end_share": 0.7}, "cannot end before it begins"),
        (optim.Magnitude, {"distribution": "even"}, "one of global, erk, uniform"),
        (optim.Magnitude, {"every": 0.5}, "whole number"),
        (optim.IMP, {"rounds": 0}, "rounds"),
        (optim.IMP, {"rewind": 1.0}, r"rewind \(=1.0\) must be .* less than 1"),
    ],
)
def test_settings_are_checked(
    kind: type[DenseStart], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        kind(weights(), **settings)


@BOTH
def test_weights_of_two_dtypes_are_refused(kind: type[DenseStart]) -> None:
    other = Parameter(np.ones((3, 3)), "2_linear.weight")
    with pytest.raises(snnr.ConfigError, match="float32 and float64"):
        kind([*weights(), other])
