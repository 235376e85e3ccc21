"""Optimizers: who gets which update, and the counts that they keep."""

import math
import re

import numpy as np
import pytest

import snnr
from snnr import nn, optim
from snnr.tensor import Parameter


def parameter(shape: tuple[int, ...], role: str, seed: int = 0) -> Parameter:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Parameter(values, f"0_test.{role}", role)


def gradient(p: Parameter, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=p.shape).astype(np.float32)


def adam(w: np.ndarray, gradients: list[np.ndarray], lr: float) -> np.ndarray:
    """Kingma & Ba in float64."""
    w = w.astype(np.float64)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * np.square(g, dtype=np.float64)
        w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


@pytest.mark.parametrize("role", ["bias", "scale", "shift"])
@pytest.mark.parametrize("method", list(optim.METHODS))
def test_what_is_no_weight_gets_adam_and_is_never_pruned(method: str, role: str) -> None:
    p = parameter((40,), role)
    start = p.data.copy()
    optimizer = optim.METHODS[method]([p], lr=0.05)
    gradients = [gradient(p, seed) for seed in range(5)]
    for g in gradients:
        p.grad = g
        optimizer.step()
    np.testing.assert_allclose(p.data, adam(start, gradients, 0.05), rtol=1e-4, atol=1e-6)
    assert optimizer.counts == {}
    assert list(optimizer.state[p].kept) == list(optimizer.MOMENTS)


def test_dense_is_adam_for_weights_too() -> None:
    p = parameter((7, 6), "weight")
    start = p.data.copy()
    optimizer = optim.Adam([p], lr=0.05)
    gradients = [gradient(p, seed) for seed in range(5)]
    for g in gradients:
        p.grad = g
        optimizer.step()
    np.testing.assert_allclose(p.data, adam(start, gradients, 0.05), rtol=1e-4, atol=1e-6)
    assert optimizer.connectivity() == 1


@pytest.mark.parametrize(("sparsity", "spread"), [(0.9, 1.0), (0.5, 0.2)])
def test_grad_r_follows_its_formula(sparsity: float, spread: float) -> None:
    p = parameter((30, 20), "weight")
    p.data[...] *= spread
    lr, prior = 0.05, 0.4
    mu = math.log(2 - 2 * sparsity) / prior
    optimizer = optim.GradR([p], lr=lr, prior=prior, sparsity=sparsity)
    assert optimizer.mu == mu
    sign, theta = np.sign(p.data), np.abs(p.data).astype(np.float64)
    m, v = np.zeros(p.shape), np.zeros(p.shape)
    crossed = 0
    for t in range(1, 9):
        g = gradient(p, t)
        p.grad = g
        optimizer.step()
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * np.square(g, dtype=np.float64)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        # the prior draws towards mu from where theta stood before the gradient moved it
        moved = theta - sign * lr / c1 * m / (np.sqrt(v) / np.sqrt(c2) + 1e-8)
        crossed += np.count_nonzero((moved > mu) != (theta > mu))
        theta = moved - lr / c1 * prior * np.sign(theta - mu)
        np.testing.assert_allclose(optimizer.state[p].theta, theta, rtol=1e-5, atol=1e-6)
    # only at sparsity 1/2, where mu is 0, do weights stand on either side of it
    assert (crossed > 500) == (mu == 0)
    np.testing.assert_array_equal(
        p.data, optimizer.state[p].sign * np.maximum(optimizer.state[p].theta, 0)
    )
    assert 0 < np.count_nonzero(p.data) < p.data.size


@pytest.mark.parametrize(("sparsity", "spread"), [(0.8, 1.0), (0.5, 0.2)])
def test_plain_form(sparsity: float, spread: float) -> None:
    p = parameter((5, 40), "weight")
    p.data[...] *= spread
    sign, theta = np.sign(p.data), np.abs(p.data).astype(np.float64)
    optimizer = optim.GradR([p], lr=0.1, prior=0.2, sparsity=sparsity, form="sgd")
    for t in range(4):
        p.grad = gradient(p, t)
        theta = theta - 0.1 * sign * p.grad - 0.1 * 0.2 * np.sign(theta - optimizer.mu)
        optimizer.step()
        np.testing.assert_allclose(optimizer.state[p].theta, theta, rtol=1e-5, atol=1e-6)


def test_weights_that_start_at_zero_get_a_sign_from_the_seed() -> None:
    def signs(seed: int) -> np.ndarray:
        p = Parameter(np.zeros((20, 30), np.float32), "0_test.weight")
        found = optim.GradR([p], rng=seed).state[p].sign
        assert found is not None
        return found

    assert set(np.unique(signs(1))) == {-1, 1}
    assert 200 < (signs(1) == 1).sum() < 400
    np.testing.assert_array_equal(signs(1), signs(1))
    assert (signs(1) != signs(2)).any()


def test_a_weight_that_starts_at_zero_can_grow() -> None:
    p = Parameter(np.zeros((4, 5), np.float32), "0_test.weight")
    optimizer = optim.GradR([p], lr=0.1, prior=0)
    sign = optimizer.state[p].sign
    assert sign is not None
    p.grad = -sign.astype(np.float32)
    optimizer.step()
    np.testing.assert_array_equal(np.sign(p.data), sign)
    assert optimizer.take_changes() == {"0_test.weight": (0, 20)}


def test_without_a_prior_a_weight_without_gradient_stays() -> None:
    p = parameter((6, 6), "weight")
    before = p.data.copy()
    optimizer = optim.GradR([p], prior=0)
    p.grad = np.zeros_like(p.data)
    optimizer.step()
    np.testing.assert_array_equal(p.data, before)
    assert optimizer.mu == 0


def test_the_prior_alone_prunes_everything_to_exact_zero() -> None:
    p = parameter((10, 10), "weight")
    optimizer = optim.GradR([p], lr=0.1, prior=1.0)
    for _ in range(60):
        p.grad = np.zeros_like(p.data)
        optimizer.step()
    assert not p.data.any()
    assert optimizer.connectivity() == p.connectivity == 0
    theta = optimizer.state[p].theta
    assert theta is not None
    assert (theta < 0).all()
    # the prior draws theta to mu, and no further
    assert theta.min() > optimizer.mu - 0.5


def test_counts_of_pruned_and_regrown() -> None:
    p = Parameter(np.full((2, 3), 0.05, np.float32), "0_test.weight")
    optimizer = optim.GradR([p], lr=0.1, prior=0, form="sgd")
    p.grad = np.array([[1, 1, 0], [0, 0, 0]], np.float32)
    optimizer.step()
    assert np.count_nonzero(p.data) == 4
    assert p.connectivity == pytest.approx(4 / 6)
    p.grad = np.array([[-2, 0, 1], [0, 0, 0]], np.float32)
    optimizer.step()
    assert optimizer.take_changes() == {"0_test.weight": (3, 1)}
    assert optimizer.take_changes() == {"0_test.weight": (0, 0)}
    assert optimizer.connectivity() == pytest.approx(4 / 6)


def test_layers_get_their_updates_by_role_in_a_network() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=0), nn.BatchNorm2d(3), nn.LIF(), nn.Flatten(),
        nn.Linear(12, 2, rng=1), nn.LIF(), T=2,
    )  # fmt: skip
    optimizer = optim.GradR(net.parameters(), lr=0.02, prior=5.0)
    for _ in range(30):
        for p in net.parameters():
            p.grad = np.zeros_like(p.data)
        optimizer.step()
    assert {p.name for p in optimizer.counts} == {"0_conv2d.weight", "4_linear.weight"}
    assert optimizer.connectivity() == 0
    assert (net[1].scale.data == 1).all()
    assert net[0].bias.data.all()
    assert set(optimizer.take_changes()) == {"0_conv2d.weight", "4_linear.weight"}


def test_gradient_in_another_memory_order_is_the_same_gradient() -> None:
    net = [nn.Linear(6, 5, bias=False, rng=0) for _ in range(2)]
    for layer, order in zip(net, ("C", "F"), strict=True):
        optimizer = optim.GradR(layer.parameters(), lr=0.1)
        layer.weight.grad = np.array(gradient(layer.weight, 1), order=order)
        optimizer.step()
    np.testing.assert_array_equal(net[0].weight.data, net[1].weight.data)


def test_parameters_without_gradient_stay_and_zero_grad_forgets() -> None:
    p, q = parameter((3, 3), "weight"), parameter((3,), "bias")
    before = p.data.copy()
    optimizer = optim.GradR([p, q])
    q.grad = gradient(q, 0)
    optimizer.step()
    np.testing.assert_array_equal(p.data, before)
    optimizer.zero_grad()
    assert q.grad is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1}, r"lr \(=-1\) must be a finite number, at least 0"),
        ({"lr": math.nan}, "lr"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"betas": (0.9, 0.99, 0.999)}, r"betas .* must be 2 numbers"),
        ({"lr": "fast"}, "lr"),
        ({"eps": 0}, "eps"),
        ({"prior": -1}, r"prior \(=-1\)"),
        ({"sparsity": 0.4}, r"sparsity \(=0.4\) must be .* at least 0.5, less than 1"),
        ({"sparsity": 1}, "sparsity"),
        ({"form": "newton"}, "form"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(snnr.ConfigError, match=message):
        optim.GradR([parameter((2, 2), "weight")], **settings)  # type: ignore[arg-type]


def test_no_parameters_and_wrong_gradients() -> None:
    with pytest.raises(snnr.ConfigError, match="at least one parameter"):
        optim.Adam([])
    p = parameter((2, 3), "weight")
    for params in (nn.Sequential(nn.Linear(2, 2)), p, [p.data], [p, p]):
        with pytest.raises(snnr.ConfigError, match=r"net\.parameters\(\)"):
            optim.Adam(params)  # type: ignore[arg-type]
    with pytest.raises(snnr.ShapeError, match=r"\[3, 2\], the tensor \[2, 3\]"):
        p.grad = np.zeros((3, 2), np.float32)
    with pytest.raises(snnr.ShapeError, match=r"\[6\] do not fit .* \[2, 3\]"):
        p.data = np.zeros(6, np.float32)


def test_every_method_is_selectable_by_its_name() -> None:
    assert {"grad-r", "dense"} <= set(optim.METHODS)
    for name, kind in optim.METHODS.items():
        optimizer = kind([parameter((2, 2), "weight")])
        assert name == optimizer.METHOD
        assert kind([parameter((2, 2), "weight")], **optimizer.settings.as_dict()).settings == (
            optimizer.settings
        )


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_weights_set_by_hand_are_believed(device: str) -> None:
    net = nn.Sequential(nn.Linear(4, 3, bias=False, rng=0), device=device)
    optimizer = optim.GradR(net.parameters(), lr=1e-3, prior=0)
    weight = net[0].weight
    weight.data[0] = [1, -2, 0, 4]
    weight.grad = np.ones(weight.shape, np.float32)
    optimizer.step()
    state = optimizer.state[weight]
    np.testing.assert_allclose(weight.data[0, [0, 1, 3]], [1, -2, 4], atol=2e-3)
    assert abs(weight.data[0, 2]) < 2e-3
    np.testing.assert_array_equal(weight.data, state.sign * np.maximum(state.theta, 0))
    weight.assign(np.full((3, 4), -0.5))
    optimizer.reconcile()
    np.testing.assert_array_equal(state.theta, 0.5)
    np.testing.assert_array_equal(state.sign, -1)


def test_the_bias_correction_counts_the_updates_of_each_parameter() -> None:
    early, late = parameter((3, 3), "bias"), parameter((3, 3), "bias")
    start = late.data.copy()
    optimizer = optim.Adam([early, late], lr=0.01)
    for step in range(50):
        early.grad = gradient(early, step)
        optimizer.step()
    late.grad = gradient(late, 7)
    optimizer.step()
    np.testing.assert_allclose(late.data, adam(start, [gradient(late, 7)], 0.01), atol=1e-6)


def test_dense_training_tells_its_connectivity() -> None:
    p = Parameter(np.zeros((4, 5), np.float32), "0_test.weight")
    optimizer = optim.Adam([p], lr=0.1)
    assert optimizer.connectivity() == p.connectivity == 0
    p.grad = np.ones((4, 5), np.float32)
    optimizer.step()
    assert optimizer.connectivity() == p.connectivity == 1


def test_state_follows_a_network_to_another_device() -> None:
    def run(devices: list[str]) -> np.ndarray:
        net = nn.Sequential(nn.Linear(6, 5, rng=0), nn.BatchNorm1d(5), nn.LIF(), T=2)
        optimizer = optim.GradR(net.parameters(), lr=0.03, prior=0.2)
        for step, device in enumerate(devices):
            net.to(device)
            for p in net.parameters():
                p.grad = gradient(p, step)
            optimizer.step()
            assert {p.device for p in net.parameters()} == {device}
            assert net[1].running_mean.device == device
        assert 0 < optimizer.connectivity() < 1
        return net[0].weight.numpy()

    moved = run(["cpu", "reference", "reference", "cpu"])
    np.testing.assert_allclose(moved, run(["cpu"] * 4), atol=1e-6)


def test_the_hooks_are_called_in_order() -> None:
    calls: list[str] = []

    class Hooked(optim.Adam):
        def begin(self, network: object, steps: int) -> None:
            calls.append(f"begin {steps}")

        def update(self, p: Parameter) -> None:
            calls.append(f"update {p.name}")
            super().update(p)

        def after(self) -> None:
            calls.append("after")

    p, q = parameter((2, 2), "weight"), parameter((2,), "bias")
    optimizer = Hooked([p, q])
    optimizer.begin(None, 7)
    p.grad = gradient(p, 0)
    optimizer.step()
    assert calls == ["begin 7", "update 0_test.weight", "after"]


def test_settings_may_change_between_steps_within_their_bounds() -> None:
    optimizer = optim.GradR([parameter((2, 2), "weight")], prior=0.5)
    before = optimizer.mu
    optimizer.prior = 1.0
    assert optimizer.mu == before / 2
    assert optimizer.settings.told()["mu"] == optimizer.mu
    optimizer.lr = -1
    with pytest.raises(snnr.ConfigError, match="lr"):
        optimizer.settings  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 1e300), ("lr", float("nan")), ("lr", "0.1"), ("betas", (0.9, 1.0)), ("prior", -1)],
)
def test_a_setting_out_of_bounds_is_noticed_at_the_next_step(name: str, value: object) -> None:
    p = parameter((2, 2), "weight")
    optimizer = optim.GradR([p])
    p.grad = gradient(p, 0)
    optimizer.step()
    before, good = p.numpy().copy(), getattr(optimizer, name)
    setattr(optimizer, name, value)
    for _ in range(2):
        with pytest.raises(
            snnr.ConfigError, match=rf"{name} \(={re.escape(repr(value))}\) must be"
        ):
            optimizer.step()
    assert (p.numpy() == before).all()
    assert optimizer.step_count == 1
    setattr(optimizer, name, good)
    optimizer.step()
    assert optimizer.step_count == 2
