"""Deep R: against its rule in plain NumPy, and what must hold after every step."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnr
from snnr import nn, optim
from snnr.kernels import rules
from snnr.kernels.reference.rewiring import gaussians
from snnr.tensor import Parameter

from .rules import TINY, gradient, in_memory, nonzero, weights

Keys = tuple[int, int]


class Rule:
    """Algorithm 1 for one weight, in float32 arrays of one axis, element by element."""

    def __init__(
        self, w: np.ndarray, sign: np.ndarray, keys: tuple[int, int], **own: float
    ) -> None:
        self.w, self.sign, self.keys, self.own, self.t = w, sign, keys, own, 0
        self.m, self.v = np.zeros_like(w), np.zeros_like(w)
        self.connections = np.count_nonzero(w)

    def step(self, g: np.ndarray) -> None:
        lr, l1, temperature = (self.own[name] for name in ("lr", "l1", "temperature"))
        self.t += 1
        noise = (temperature * np.sqrt(lr) * gaussians(self.keys[0], self.t, g.size)).astype("f4")
        m = np.float32(0.9) * self.m + np.float32(0.1) * g
        v = np.float32(0.999) * self.v + np.float32(1 - 0.999) * g * g
        rate = lr / (1 - 0.9**self.t)
        delta = rate * m / (np.sqrt(v) / np.sqrt(1 - 0.999**self.t) + 1e-8)
        for i in np.flatnonzero(self.w):
            theta = abs(self.w[i]) - self.sign[i] * np.float32(delta[i]) - np.float32(lr * l1)
            theta += noise[i]
            there = theta > 0
            self.w[i] = self.sign[i] * theta if there else 0
            self.m[i], self.v[i] = (m[i], v[i]) if there else (0, 0)
        self.grow()

    def grow(self) -> None:
        draw = 0
        while np.count_nonzero(self.w) < self.connections:
            words = rules.philox(np.uint64(draw // 2), np.uint64(self.t), np.uint64(self.keys[1]))
            high, low = words[2 * (draw % 2) : 2 * (draw % 2) + 2]
            place = (int(high) * 2**32 + int(low)) * self.w.size >> 64
            if self.w[place] == 0:
                self.w[place] = self.sign[place] * TINY
            draw += 1


OWN = {"lr": 0.05, "l1": 0.5, "temperature": 0.3}


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_it_follows_its_rule(device: str) -> None:
    params = weights(device=device)
    optimizer = optim.DeepR(params, target_connectivity=0.3, rng=4, **OWN)
    rule = {}
    for p in params[:2]:
        keys = optimizer._noise_key(p), optimizer._growth_key(p)
        sign = in_memory(p, optimizer.state[p].numpy("sign")).ravel()
        rule[p] = Rule(in_memory(p, p.numpy()).ravel(), sign, keys, **OWN)
    turnover = 0
    for t in range(12):
        for p in params:
            p.grad = gradient(p, t)
        optimizer.step()
        for p, own in rule.items():
            own.step(in_memory(p, gradient(p, t)).ravel())
            found = in_memory(p, p.numpy()).ravel()
            np.testing.assert_array_equal(found == 0, own.w == 0)
            np.testing.assert_allclose(found, own.w, rtol=1e-4, atol=1e-6)
            moments = optimizer.state[p]
            for name, expected in (("exp_avg", own.m), ("exp_avg_sq", own.v)):
                array = in_memory(p, moments.numpy(name)).ravel()
                np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)
        turnover += sum(lost for lost, _ in optimizer.take_changes().values())
    assert turnover > 50


def total(optimizer: optim.Optimizer) -> int:
    return sum(nonzero(p) for p in optimizer.counts)


@pytest.mark.parametrize("distribution", ["erk", "uniform"])
@pytest.mark.parametrize("connectivity", [0.002, 0.05, 0.37, 0.97, 1.0])
def test_connections_are_as_many_as_they_should_be_after_every_step(
    connectivity: float, distribution: str
) -> None:
    params = weights()
    optimizer = optim.DeepR(
        params, target_connectivity=connectivity, distribution=distribution, **OWN
    )
    size = sum(p.size for p in params[:2])
    shares = [nonzero(p) for p in params[:2]]
    assert sum(shares) == round(connectivity * size)
    signs = [optimizer.state[p].numpy("sign").copy() for p in params[:2]]
    for t in range(20):
        for p in params:
            p.grad = gradient(p, t)
        optimizer.step()
        assert [nonzero(p) for p in params[:2]] == shares
        assert optimizer.connectivity() * size == pytest.approx(sum(shares))
        for p, sign in zip(params, signs, strict=False):
            np.testing.assert_array_equal(optimizer.state[p].numpy("sign"), sign)
            assert set(np.unique(sign * np.sign(p.numpy()))) <= {0, 1}
            absent = p.numpy() == 0
            for name in ("exp_avg", "exp_avg_sq"):
                assert not optimizer.state[p].numpy(name)[absent].any()
    for lost, grown in optimizer.take_changes().values():
        assert lost == grown


def test_dormant_connections_keep_the_sign_that_they_started_with() -> None:
    params = weights()
    before = [np.sign(p.numpy()) for p in params]
    optimizer = optim.DeepR(params, target_connectivity=0.1)
    for p, sign in zip(params[:2], before, strict=False):
        np.testing.assert_array_equal(optimizer.state[p].numpy("sign"), sign)


def test_weights_that_start_at_zero_are_connections_too() -> None:
    p = Parameter(np.zeros((20, 30), np.float32), "0_test.weight")
    optimizer = optim.DeepR([p], target_connectivity=0.25, rng=1)
    assert nonzero(p) == 150
    sign = optimizer.state[p].numpy("sign")
    # as all that is there at first, divided by the root of its share
    np.testing.assert_array_equal(p.numpy(), np.where(p.numpy() == 0, 0, sign * 2 * TINY))
    assert 200 < (sign == 1).sum() < 400


def test_a_dropped_weight_does_not_come_back_by_its_momentum() -> None:
    """Neither where it stays dormant, nor where it is chosen again: then it moves as if new."""
    p = Parameter(np.full((1, 400), 0.01, np.float32), "0_test.weight")
    optimizer = optim.DeepR([p], lr=0.1, target_connectivity=0.5, l1=0, temperature=0)
    there = p.numpy() != 0
    p.grad = np.where(there, 1, 0).astype(np.float32)  # all are dropped
    optimizer.step()
    assert optimizer.take_changes() == {"0_test.weight": (200, 200)}
    np.testing.assert_array_equal(np.unique(p.numpy()), [0, TINY])
    chosen = p.numpy() != 0
    assert 20 < (chosen & there).sum() < 180
    p.grad = np.zeros_like(p.numpy())
    for _ in range(3):
        optimizer.step()
        np.testing.assert_array_equal(p.numpy() != 0, chosen)
        np.testing.assert_array_equal(np.unique(p.numpy()), [0, TINY])


def test_every_dormant_connection_is_as_likely_to_be_chosen() -> None:
    p = Parameter(np.ones((1, 50), np.float32), "0_test.weight")
    optimizer = optim.DeepR([p], lr=0.1, target_connectivity=0.2, l1=0, temperature=0)
    often = np.zeros(50)
    for _ in range(2000):
        p.grad = np.full(p.shape, 1e3, np.float32)
        optimizer.step()
        often += p.numpy()[0] != 0
    # ten of fifty each time
    assert abs(often - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_gradients_of_dormant_connections_are_not_read() -> None:
    found = []
    for filler in (0.0, np.nan):
        params = weights()
        optimizer = optim.DeepR(params, target_connectivity=0.2, **OWN)
        for t in range(5):
            for p in params:
                g = gradient(p, t)
                p.grad = (
                    np.where(p.numpy() == 0, np.float32(filler), g) if p.role == "weight" else g
                )
            optimizer.step()
        found.append([p.numpy().copy() for p in params])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_seed_and_nothing_else_says_what_is_drawn() -> None:
    def run(rng: object) -> np.ndarray:
        params = weights()
        optimizer = optim.DeepR(params, target_connectivity=0.2, rng=rng, **OWN)  # type: ignore[arg-type]
        for t in range(3):
            for p in params:
                p.grad = gradient(p, t)
            optimizer.step()
        return params[0].numpy()

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()
    generator = np.random.default_rng(1)
    assert (run(generator) != run(generator)).any()


@given(
    connectivity=st.floats(0.01, 1), lr=st.floats(0, 1), l1=st.floats(0, 10),
    temperature=st.floats(0, 3), seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None)
def test_counts_and_signs_hold_whatever_the_settings(
    connectivity: float, lr: float, l1: float, temperature: float, seed: int
) -> None:
    p = Parameter(np.random.default_rng(seed).normal(size=(9, 8)).astype(np.float32), "0.weight")
    optimizer = optim.DeepR(
        [p], lr=lr, target_connectivity=connectivity, l1=l1, temperature=temperature, rng=seed
    )
    sign = optimizer.state[p].numpy("sign").copy()
    for t in range(4):
        p.grad = gradient(p, t)
        optimizer.step()
        assert nonzero(p) == round(connectivity * 72)
        assert set(np.unique(sign * np.sign(p.numpy()))) <= {0, 1}


def test_weights_set_by_hand_are_believed_but_for_the_smallest_of_too_many() -> None:
    net = nn.Sequential(nn.Linear(10, 10, bias=False, rng=0))
    optimizer = optim.DeepR(net.parameters(), lr=1e-4, target_connectivity=0.2, l1=0, temperature=0)
    p = net[0].weight
    values = np.linspace(-1, 1, 100).reshape(10, 10)
    p.assign(values)
    p.grad = np.ones(p.shape, np.float32)
    optimizer.step()
    assert nonzero(p) == 20
    largest = abs(values) >= np.sort(abs(values).ravel())[-20]
    np.testing.assert_allclose(p.numpy(), np.where(largest, values, 0), atol=2e-4)
    there = p.numpy() != 0
    np.testing.assert_array_equal(optimizer.state[p].numpy("sign")[there], np.sign(values)[there])
    few = np.zeros((10, 10))
    few[3, 4] = -0.5
    p.data[...] = few
    optimizer.step()
    assert nonzero(p) == 20
    assert p.numpy()[3, 4] == pytest.approx(-0.5, abs=1e-3)


def test_the_target_may_change_between_steps() -> None:
    params = weights()
    optimizer = optim.DeepR(params, target_connectivity=0.5, **OWN)
    size = sum(p.size for p in params[:2])
    for target in (0.5, 0.1, 0.7):
        optimizer.target_connectivity = target
        for p in params:
            p.grad = gradient(p, 0)
        optimizer.step()
        assert total(optimizer) == round(target * size)


def test_a_file_whose_signs_or_connections_are_wrong_is_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(12, 10, rng=0), nn.LIF(), T=2)
    optimizer = optim.DeepR(net.parameters(), target_connectivity=0.2, rng=3)
    p = net[0].weight
    for q in net.parameters():
        q.grad = gradient(q, 1)
    optimizer.step()
    path = snnr.save(tmp_path / "c.h5", net, optimizer)
    arrays = {name: optimizer.state[p].numpy(name) for name in optimizer.state[p].kept}
    assert optimizer.disagreement(p, p.numpy(), arrays) is None
    turned = {**arrays, "sign": -arrays["sign"]}
    assert "sign is not that" in str(optimizer.disagreement(p, p.numpy(), turned))
    full = arrays["sign"].astype(np.float32)
    assert "120 connections, its share is 24" in str(optimizer.disagreement(p, full, arrays))
    moving = {**arrays, "exp_avg": np.ones_like(full)}
    assert "exp_avg must be 0" in str(optimizer.disagreement(p, p.numpy(), moving))
    snnr.load(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1  # as another program may write it, without digests
        inside = file["optimizer/0_linear/weight"]
        signs = -inside["sign"][()]
        del inside["sign"]
        inside["sign"] = signs
    with pytest.raises(snnr.CheckpointError, match=r"contradicts the weight .* sign is not that"):
        snnr.load(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target_connectivity": 0}, r"target_connectivity \(=0\).*greater than 0"),
        ({"target_connectivity": 1.5}, "at most 1"),
        ({"distribution": "even"}, "one of erk, uniform"),
        ({"l1": -1}, "l1"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_settings_are_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        optim.DeepR(weights(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_where_all_may_be_active_none_is_ever_dormant(device: str) -> None:
    """A weight that would change its sign stays at a tiny value: nothing is pruned or regrown."""
    params = weights(device=device)
    optimizer = optim.DeepR(params, lr=0.5, target_connectivity=1.0)
    optimizer.begin(None, 8)
    for t in range(8):
        for p in params:
            p.grad = gradient(p, t)
        optimizer.step()
    assert optimizer.connectivity() == 1
    assert set(optimizer.take_changes().values()) == {(0, 0)}
    assert any((abs(p.numpy()) < 1e-6).any() for p in params[:2])
