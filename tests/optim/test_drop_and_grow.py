"""SET and RigL: step by step beside their rules, and what holds in every step."""

import math
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import optim
from snnr.optim.budget import layer_budgets
from snnr.optim.drop_and_grow import DropAndGrow
from snnr.tensor import Parameter

from .rules import TINY, Adam, gradient, in_memory, nonzero, weights

BOTH = pytest.mark.parametrize("kind", [optim.SET, optim.RigL])
SHAPES = [(12, 20), (6, 5, 3, 3)]


def begun(kind: type[DropAndGrow], params: list[Parameter], **settings: Any) -> DropAndGrow:
    optimizer = kind(params, **{"lr": 0.02, "target_connectivity": 0.2, "every": 3, **settings})
    optimizer.begin(None, 40)
    return optimizer


def step(optimizer: optim.Optimizer, seed: int) -> None:
    for p in optimizer.params:
        p.grad = gradient(p, seed)
    optimizer.step()


@BOTH
@pytest.mark.parametrize("distribution", ["erk", "uniform"])
@pytest.mark.parametrize("connectivity", [0.01, 0.2, 0.77, 1.0])
def test_the_count_is_exact_in_every_step(
    kind: type[DropAndGrow], distribution: str, connectivity: float
) -> None:
    params = weights()
    optimizer = begun(
        kind, params, target_connectivity=connectivity, distribution=distribution, drop=0.6
    )
    expected = layer_budgets(SHAPES, connectivity, distribution)
    assert sum(expected) == round(connectivity * 510)
    for seed in range(33):
        assert [nonzero(p) for p in params[:2]] == expected
        assert optimizer.connectivity() == sum(expected) / 510
        step(optimizer, seed)
    moved = optimizer.take_changes()
    assert all(gone == come for gone, come in moved.values())
    assert any(come for _, come in moved.values()) == (connectivity < 1)


@BOTH
def test_the_first_connections_are_some_of_those_there_were(kind: type[DropAndGrow]) -> None:
    before, sets = weights()[0].numpy(), []
    for rng in (1, 1, 2, np.random.default_rng(2)):
        p = weights()[0]
        begun(kind, [p], rng=rng)
        sets.append(p.numpy())
        there = sets[-1] != 0
        assert there.sum() == 48
        np.testing.assert_allclose(sets[-1][there], before[there] * 5**0.5, rtol=1e-6)
    assert (sets[0] == sets[1]).all()
    assert (sets[2] == sets[3]).all()
    assert (sets[0] != sets[2]).any()
    as_it_is = weights()[0]
    begun(kind, [as_it_is], fresh=False)
    np.testing.assert_array_equal(as_it_is.numpy(), before)


@BOTH
def test_a_weight_that_starts_at_zero_can_be_a_connection(kind: type[DropAndGrow]) -> None:
    p = Parameter(np.zeros((20, 30), np.float32), "0_linear.weight")
    begun(kind, [p])
    assert nonzero(p) == 120
    assert (np.unique(p.numpy() / TINY / np.float32(5**0.5)).round(5) == [-1, 0, 1]).all()


@BOTH
def test_step_by_step(kind: type[DropAndGrow]) -> None:
    """Beside plain NumPy; SET's draws are read off, all else follows from the rule."""
    params = weights(3)
    optimizer = begun(kind, params)
    plain = {p: Adam(in_memory(p, p.numpy()), 0.02) for p in params[:2]}
    rewired = 0
    for t in range(1, 36):
        step(optimizer, t)
        for p, rule in plain.items():
            g = in_memory(p, gradient(p, t))
            rule.step(g)
            found = in_memory(p, p.numpy())
            if t % 3 == 0 and t < 0.75 * 40:
                share = 0.3 / 2 * (1 + math.cos(math.pi * t / 30))
                connections = np.count_nonzero(rule.w)
                rule.keep(connections - round(share * connections))
                absent = np.flatnonzero(rule.w == 0)
                if kind is optim.RigL:
                    best = sorted(absent, key=lambda i: (-abs(g.flat[i]), i))
                    chosen = best[: round(share * connections)]
                else:
                    chosen = [i for i in absent if found.flat[i] != 0]
                    assert len(chosen) == round(share * connections)
                for i in chosen:
                    up = g.flat[i] < 0 if kind is optim.RigL else found.flat[i] > 0
                    rule.w.flat[i] = TINY if up else -TINY
                rewired += len(chosen)
            np.testing.assert_allclose(found, rule.w, rtol=2e-5, atol=1e-6)
            np.testing.assert_array_equal(found != 0, rule.w != 0)
            for name, array in (("exp_avg", rule.m), ("exp_avg_sq", rule.v)):
                kept = in_memory(p, optimizer.state[p].numpy(name))
                np.testing.assert_allclose(kept, array, rtol=2e-5, atol=1e-6)
                assert not kept[found == 0].any()
            # from here on together, so that rounding decides no tie
            rule.w = found
    assert rewired > 60


def test_set_draws_evenly_and_both_signs() -> None:
    """A rewiring that drops all of few connections draws among nearly all places."""
    p = Parameter(np.ones((50, 60), np.float32), "0_linear.weight")
    optimizer = begun(optim.SET, [p], target_connectivity=0.1, every=1, drop=1.0)
    optimizer.begin(None, 10**9)
    hits, ups = np.zeros(p.shape), 0
    for _ in range(100):
        p.grad = np.zeros(p.shape, np.float32)
        optimizer.step()
        hits += p.numpy() != 0
        ups += np.count_nonzero(p.numpy() > 0)
    assert hits.sum() == 100 * 300
    assert abs(ups - 15_000) < 5 * 7_500**0.5
    # 3000 binomials of 100 and 0.1: mean square 9 about 10
    assert 8 < ((hits - 10) ** 2).mean() < 10
    assert hits.max() < 28


@BOTH
def test_a_gradient_where_there_is_no_connection_is_not_looked_at(
    kind: type[DropAndGrow],
) -> None:
    """But by RigL, when it grows."""
    for every, same in ((5, True), (2, kind is optim.SET)):
        found = []
        for filled in (0.0, 7.0):
            p = weights()[0]
            optimizer = begun(kind, [p], every=every)
            for seed in range(4):
                p.grad = np.where(p.numpy() != 0, gradient(p, seed), np.float32(filled) * seed)
                optimizer.step()
            found.append(p.numpy().copy())
        assert (found[0] == found[1]).all() == same


@BOTH
def test_a_weight_without_a_gradient_is_not_rewired(kind: type[DropAndGrow]) -> None:
    params = weights()
    optimizer = begun(kind, params, every=1)
    before = [p.numpy().copy() for p in params]
    params[0].grad = gradient(params[0], 0)
    optimizer.step()
    moved = [(p.numpy() != was).any() for p, was in zip(params, before, strict=True)]
    assert moved == [True, False, False]


@BOTH
def test_when_and_how_much_is_dropped(kind: type[DropAndGrow]) -> None:
    p = Parameter(np.ones((40, 50), np.float32), "0_linear.weight")
    optimizer = begun(kind, [p], target_connectivity=0.5, every=10, stop=0.5, drop=0.4)
    optimizer.begin(None, 100)
    come = []
    for seed in range(70):
        step(optimizer, seed)
        come.append(optimizer.take_changes()[p.name][1])
    shares = [0.2 * (1 + math.cos(math.pi * t / 50)) for t in (10, 20, 30, 40)]
    told = {9 + 10 * i: round(share * 1000) for i, share in enumerate(shares)}
    assert come == [told.get(i, 0) for i in range(70)]
    unbounded = begun(kind, weights()[:1], every=10)
    unbounded.steps = None
    assert unbounded.share(10) == 0.3


@BOTH
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_what_is_set_by_hand_is_believed_until_a_rewiring(
    kind: type[DropAndGrow], device: str
) -> None:
    (p, *_) = weights(device=device)
    optimizer = begun(kind, [p], every=4)
    connections = nonzero(p)
    step(optimizer, 0)
    p.assign(np.where(np.arange(240).reshape(12, 20) < 100, 0.5, 0).astype(np.float32))
    step(optimizer, 1)
    assert nonzero(p) == 100
    absent = p.numpy() == 0
    assert not optimizer.state[p].numpy("exp_avg")[absent].any()
    step(optimizer, 2)
    step(optimizer, 3)
    assert nonzero(p) == connections
    p.data[...] = 0
    p.data[0, :3] = 1
    for seed in range(4):
        step(optimizer, seed)
        assert nonzero(p) == (3 if seed < 3 else connections)


@BOTH
def test_a_target_may_change_between_steps(kind: type[DropAndGrow]) -> None:
    params = weights()
    optimizer = begun(kind, params, every=2)
    step(optimizer, 0)
    optimizer.target_connectivity = 0.1
    step(optimizer, 1)
    assert nonzero(params[0]) + nonzero(params[1]) == 51
    optimizer.target_connectivity = 0.0
    with pytest.raises(snnr.ConfigError, match=r"target_connectivity \(=0.0\) must be .* greater"):
        optimizer.step()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_connectivity": 0}, "greater than 0, at most 1"),
        ({"target_connectivity": 1.1}, "at most 1"),
        ({"distribution": "global"}, r"'global'\) must be one of erk, uniform"),
        ({"every": 2.5}, r"every \(=2.5\) must be a whole number, at least 1"),
        ({"every": 0}, "every"),
        ({"drop": 1.5}, "drop"),
        ({"stop": -1}, "stop"),
    ],
)
@BOTH
def test_settings_are_checked(
    kind: type[DropAndGrow], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        kind(weights(), **settings)
