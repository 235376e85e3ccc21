"""Soft Deep R: against its rule in plain NumPy, its stationary distribution, and its promises."""

import math

import numpy as np
import pytest

import snnr
from snnr import optim
from snnr.kernels.reference.rewiring import gaussians
from snnr.tensor import Parameter

from .rules import gradient, in_memory, weights

OWN = {"lr": 0.05, "l1": 0.5, "temperature": 0.3, "sparsity": 0.6}


class Rule:
    """Algorithm 2 for one weight, in float32 arrays of one axis, element by element."""

    def __init__(self, w: np.ndarray, key: int, floor: float) -> None:
        self.theta, self.sign = abs(w), np.sign(w).astype(np.int8)
        self.key, self.floor, self.t = key, np.float32(floor), 0
        self.m, self.v = np.zeros_like(w), np.zeros_like(w)

    def step(self, g: np.ndarray) -> None:
        self.t += 1
        lr, l1, temperature = OWN["lr"], OWN["l1"], OWN["temperature"]
        noise = (temperature * np.sqrt(lr) * gaussians(self.key, self.t, g.size)).astype("f4")
        c1, c2 = 1 - 0.9**self.t, 1 - 0.999**self.t
        for i in range(g.size):
            if self.theta[i] > 0:
                self.m[i] = np.float32(0.9) * self.m[i] + np.float32(0.1) * g[i]
                self.v[i] = np.float32(0.999) * self.v[i] + np.float32(1 - 0.999) * g[i] ** 2
                step = lr / c1 * self.m[i] / (np.sqrt(self.v[i] / c2) + 1e-8)
                self.theta[i] -= self.sign[i] * np.float32(step)
                self.theta[i] -= np.float32(lr * l1)
            self.theta[i] = max(self.theta[i] + noise[i], self.floor)
            if self.theta[i] <= 0:
                self.m[i] = self.v[i] = 0


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_it_follows_its_rule(device: str) -> None:
    params = weights(device=device)
    optimizer = optim.SoftDeepR(params, rng=4, **OWN)
    assert optimizer.floor == pytest.approx(-(0.3**2) / 2 * 0.6 / (0.5 * 0.4))
    rule = {}
    for p in params[:2]:
        key = optimizer._keys.of(optimizer.row[p])
        rule[p] = Rule(in_memory(p, p.numpy()).ravel(), key, optimizer.floor)
    for t in range(12):
        for p in params:
            p.grad = gradient(p, t)
        optimizer.step()
        for p, own in rule.items():
            own.step(in_memory(p, gradient(p, t)).ravel())
            kept = optimizer.state[p]
            theta = in_memory(p, kept.numpy("theta")).ravel()
            np.testing.assert_allclose(theta, own.theta, rtol=1e-4, atol=1e-6)
            found = in_memory(p, p.numpy()).ravel()
            np.testing.assert_array_equal(found, own.sign * np.maximum(theta, 0))
            for name, expected in (("exp_avg", own.m), ("exp_avg_sq", own.v)):
                array = in_memory(p, kept.numpy(name)).ravel()
                np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(in_memory(p, kept.numpy("sign")).ravel(), own.sign)
    lost, grown = map(sum, zip(*optimizer.take_changes().values(), strict=True))
    assert lost > 100
    assert grown > 100


@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_without_gradients_the_share_of_dormant_connections_is_that_of_the_prior(
    sparsity: float,
) -> None:
    """What `floor` is made for: exponential above 0, uniform from there to the floor."""
    p = Parameter(np.full((40, 50), 0.05, np.float32), "0_test.weight")
    # a step is short beside 0.1, the mean of the exponential
    own = {"lr": 0.01, "l1": 5.0, "temperature": 1.0}
    optimizer = optim.SoftDeepR([p], sparsity=sparsity, **own)
    shares = []
    rates = optimizer.floor
    assert rates == pytest.approx(-0.1 * sparsity / (1 - sparsity))
    p.grad = np.zeros(p.shape, np.float32)
    optimizer.lr = 1e-4
    for t in range(6000):
        optimizer.step()
        if t >= 3000 and t % 50 == 0:
            shares.append(1 - optimizer.connectivity())
    assert np.mean(shares) == pytest.approx(sparsity, abs=0.04)


def test_gradients_of_dormant_connections_are_not_read_and_signs_never_flip() -> None:
    found = []
    for filler in (0.0, np.nan):
        params = weights()
        signs = [np.sign(p.numpy()) for p in params]
        optimizer = optim.SoftDeepR(params, **OWN)
        for t in range(8):
            for p in params:
                g = gradient(p, t)
                p.grad = (
                    np.where(p.numpy() == 0, np.float32(filler), g) if p.role == "weight" else g
                )
            optimizer.step()
            for p, sign in zip(params[:2], signs, strict=False):
                assert set(np.unique(sign * np.sign(p.numpy()))) <= {0, 1}
                np.testing.assert_array_equal(optimizer.state[p].numpy("sign"), sign)
                assert optimizer.state[p].numpy("theta").min() >= np.float32(optimizer.floor)
        found.append([p.numpy().copy() for p in params])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dormant_connection_does_not_come_back_by_its_momentum() -> None:
    p = Parameter(np.full((1, 40), 0.01, np.float32), "0_test.weight")
    optimizer = optim.SoftDeepR([p], lr=0.1, l1=0, temperature=0)
    assert optimizer.floor == -math.inf
    p.grad = np.ones_like(p.numpy())
    optimizer.step()
    for g in (-1, -1, 0):
        p.grad = np.full(p.shape, g, np.float32)
        optimizer.step()
        assert not p.numpy().any()


def test_weights_set_by_hand_are_believed() -> None:
    p = weights()[0]
    optimizer = optim.SoftDeepR([p], lr=1e-4, temperature=0)
    values = p.numpy() * -2
    values[:, ::3] = 0
    p.assign(values)
    optimizer.reconcile()
    np.testing.assert_array_equal(optimizer.state[p].numpy("theta"), abs(values))
    there = values != 0
    np.testing.assert_array_equal(optimizer.state[p].numpy("sign")[there], np.sign(values)[there])


def test_what_a_file_may_not_say() -> None:
    p = weights()[0]
    optimizer = optim.SoftDeepR([p], **OWN)
    for t in range(5):
        p.grad = gradient(p, t)
        optimizer.step()
    arrays = {name: optimizer.state[p].numpy(name) for name in optimizer.state[p].kept}
    assert optimizer.disagreement(p, p.numpy(), arrays) is None
    assert "do not make" in str(optimizer.disagreement(p, p.numpy() * 2, arrays))
    for name in ("exp_avg", "exp_avg_sq"):
        wrong = {**arrays, name: np.ones_like(p.numpy())}
        assert "dormant connection has moments" in str(optimizer.disagreement(p, p.numpy(), wrong))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sparsity": 1.0}, r"sparsity \(=1.0\).*less than 1"),
        ({"l1": -1}, "l1"),
        ({"temperature": float("inf")}, "temperature"),
    ],
)
def test_settings_are_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        optim.SoftDeepR(weights(), **wrong)  # type: ignore[arg-type]
