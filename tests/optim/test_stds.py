"""STDS: against its rule in plain NumPy, its schedule, and its promises."""

from pathlib import Path

import numpy as np
import pytest

import snnr
from snnr import nn, optim

from .rules import gradient, in_memory, weights


class Rule:
    """One weight, in float32 arrays of one axis."""

    def __init__(self, w: np.ndarray, lr: float, threshold: float, steps: int) -> None:
        self.theta, self.lr, self.threshold, self.steps, self.t = w, lr, threshold, steps, 0
        self.m, self.v = np.zeros_like(w), np.zeros_like(w)

    def step(self, g: np.ndarray) -> np.ndarray:
        self.t += 1
        self.m = np.float32(0.9) * self.m + np.float32(0.1) * g
        self.v = np.float32(0.999) * self.v + np.float32(1 - 0.999) * g * g
        c1, c2 = 1 - 0.9**self.t, 1 - 0.999**self.t
        delta = self.lr / c1 * self.m / (np.sqrt(self.v / c2) + 1e-8)
        self.theta = (self.theta - delta).astype(np.float32)
        d = np.float32(self.threshold * 0.5 * (1 + np.sin(np.pi * (self.t / self.steps - 0.5))))
        return np.sign(self.theta) * np.maximum(abs(self.theta) - d, 0)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_it_follows_its_rule(device: str) -> None:
    params = weights(device=device)
    optimizer = optim.STDS(params, lr=0.1, threshold=1.5)
    optimizer.begin(None, 20)
    rule = {p: Rule(in_memory(p, p.numpy()).ravel(), 0.1, 1.5, 20) for p in params[:2]}
    before = {p: p.numpy() != 0 for p in rule}
    lost = grown = 0
    for t in range(20):
        for p in params:
            p.grad = gradient(p, t)
        optimizer.step()
        for p, own in rule.items():
            expected = own.step(in_memory(p, gradient(p, t)).ravel())
            found = in_memory(p, p.numpy()).ravel()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)
            theta = in_memory(p, optimizer.state[p].numpy("theta")).ravel()
            np.testing.assert_allclose(theta, own.theta, rtol=1e-4, atol=2e-6)
            there = p.numpy() != 0
            lost += int((before[p] & ~there).sum())
            grown += int((there & ~before[p]).sum())
            before[p] = there
    counted = optimizer.take_changes().values()
    assert (lost, grown) == tuple(map(sum, zip(*counted, strict=True)))
    assert lost > grown > 0
    assert 0 < optimizer.connectivity() < 0.5


def test_the_threshold_grows_from_0_along_a_sine() -> None:
    optimizer = optim.STDS(weights(), threshold=0.4)
    assert optimizer.scheduled(10) == 0  # nobody said how many steps there are
    optimizer.begin(None, 100)
    found = [optimizer.scheduled(step) for step in (0, 25, 50, 75, 100, 1000)]
    low = 0.2 * (1 - np.sqrt(0.5))
    np.testing.assert_allclose(found, [0, low, 0.2, 0.4 - low, 0.4, 0.4], atol=1e-15)
    assert found[0] == 0


def test_what_is_far_from_the_plan_is_answered_more_than_in_proportion() -> None:
    optimizer = optim.STDS(weights(), threshold=0.4, target_connectivity=0.05)
    near, far = (optimizer.move(lag, 0.5, 0.1, 0.05) for lag in (0.01, 1.0))
    assert 0 < 100 * near < far
    assert optimizer.move(-1.0, 0.5, 0.1, 0.05) == -far


def test_a_pruned_connection_keeps_learning_and_comes_back() -> None:
    """Straight through: theta gets the gradient of w, also where w is 0."""
    p = weights()[0]
    p.assign(np.where(p.numpy() > 0, 0.01, -0.01))
    optimizer = optim.STDS([p], lr=0.01, threshold=0.1)
    optimizer.begin(None, 1)
    p.grad = np.zeros(p.shape, np.float32)
    optimizer.step()
    assert not p.numpy().any()
    np.testing.assert_array_equal(abs(optimizer.state[p].numpy("theta")), np.float32(0.01))
    for _ in range(15):
        p.grad = np.full(p.shape, -1, np.float32)
        optimizer.step()
    # all move up, also those that were below 0: the sign is that of theta, and no state
    assert (p.numpy() > 0).all()
    assert optimizer.take_changes() == {p.name: (p.size, p.size)}


def test_more_steps_in_all_lower_the_threshold() -> None:
    """As after a resume with more epochs: from the next step on."""
    p = weights()[0]
    optimizer = optim.STDS([p], threshold=1.0)
    optimizer.begin(None, 4)
    p.grad = np.zeros(p.shape, np.float32)
    for _ in range(4):
        optimizer.step()
    few = optimizer.connectivity()
    optimizer.begin(None, 8)
    p.data  # noqa: B018  (from now on values may change unseen)
    before = optimizer.state[p].numpy("theta").copy()
    optimizer.step()
    np.testing.assert_array_equal(optimizer.state[p].numpy("theta"), before)
    assert optimizer.connectivity() > few


def test_weights_set_by_hand_are_believed() -> None:
    p = weights()[0]
    optimizer = optim.STDS([p], lr=1e-3, threshold=0.5, steps=2)
    p.grad = gradient(p, 0)
    optimizer.step()
    before, theta = p.numpy().copy(), optimizer.state[p].numpy("theta").copy()
    values = before * -2
    values[:, ::3] = 0
    p.assign(values)
    optimizer.reconcile()
    expected = values + np.sign(values) * np.float32(0.25)
    expected[before == 0] = theta[before == 0]
    np.testing.assert_allclose(optimizer.state[p].numpy("theta"), expected, atol=1e-6)
    assert (theta[before == 0] != 0).all()
    p.grad = np.zeros(p.shape, np.float32)
    optimizer.step()
    assert not p.numpy()[values == 0].any()


def test_a_file_remembers_how_many_steps_there_are(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(12, 10, rng=0), nn.LIF(), T=2)
    optimizer = optim.STDS(net.parameters(), threshold=0.1)
    optimizer.begin(net, 10)
    for t in range(6):
        for p in net.parameters():
            p.grad = gradient(p, t)
        optimizer.step()
    path = snnr.save(tmp_path / "c.h5", net, optimizer)
    again = snnr.load(path).optimizer
    assert isinstance(again, optim.STDS)
    p, q = net.parameters()[0], again.params[0]
    assert again.made_with(q) == optimizer.made_with(p) == optimizer.scheduled(6)
    before = again.state[q].numpy("theta").copy()
    q.data  # noqa: B018  (from now on values may change unseen)
    again.reconcile()
    np.testing.assert_array_equal(again.state[q].numpy("theta"), before)


def test_what_a_file_may_not_say() -> None:
    p = weights()[0]
    optimizer = optim.STDS([p], lr=0.01, threshold=0.5, steps=4)
    for t in range(3):
        p.grad = gradient(p, t)
        optimizer.step()
    arrays = {"theta": optimizer.state[p].numpy("theta")}
    w = p.numpy()
    assert 0 < np.count_nonzero(w) < w.size
    assert optimizer.disagreement(p, w, arrays) is None
    # one that was never stepped, and one of which nothing is left
    assert optimizer.disagreement(p, w, {"theta": w}) is None
    assert optimizer.disagreement(p, np.zeros_like(w), arrays) is None
    for theta, told in (
        (-arrays["theta"], "sign"),
        (arrays["theta"] * 1.01, "no threshold"),
        (w * 0.5, "no threshold"),
        (np.where(w == 0, 9, arrays["theta"]), "no threshold"),
    ):
        wrong = optimizer.disagreement(p, w, {"theta": theta.astype(np.float32)})
        assert told in str(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"threshold": -1}, r"threshold \(=-1\)"), ({"steps": -1}, "steps")]
)
def test_settings_are_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        optim.STDS(weights(), **wrong)  # type: ignore[arg-type]
