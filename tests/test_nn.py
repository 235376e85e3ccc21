"""Layers: each setting reaches the mathematics, and fused layers do what single ones do."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import nn
from snnr.tensor import Tensor


@pytest.fixture(params=["cpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def host(values: Any) -> np.ndarray:
    """Running statistics as an array, whatever holds them."""
    return values.numpy() if isinstance(values, Tensor) else np.asarray(values)


def alone(layer: nn.Layer, device: str) -> nn.Sequential:
    """A network of one layer, which puts it on the device."""
    return nn.Sequential(layer, device=device)


# Neurons, step by step in Python


def neurons(x: np.ndarray, layer: nn.IF, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes for currents ``x[T, N]``, and the gradient of x for that of the spikes."""
    tau = layer.tau if isinstance(layer, nn.LIF) else math.inf
    drive = 1 / tau if isinstance(layer, nn.LIF) and layer.decay_input else 1.0
    threshold, reset = layer.v_threshold, layer.v_reset
    rest = 0.0 if reset is None else reset
    v = np.full(x.shape[1:], rest)
    potentials, spikes = [], []
    for current in x.astype(float):
        h = v - (v - rest) / tau + drive * current
        s = (h >= threshold).astype(float)
        v = h - threshold * s if reset is None else h * (1 - s) + rest * s
        potentials.append(h)
        spikes.append(s)
    dx, dv = np.zeros(x.shape), np.zeros(x.shape[1:])
    for t in reversed(range(len(x))):
        h, s = potentials[t], spikes[t]
        slope = layer.surrogate.derivative(h - threshold)
        through = (
            ds[t]
            if layer.detach_reset
            else (ds[t] - dv * threshold if reset is None else ds[t] + dv * (rest - h))
        )
        dh = dv * (1.0 if reset is None else 1 - s) + through * slope
        dx[t] = drive * dh
        dv = dh * (1 - 1 / tau)
    return np.array(spikes), dx


NEURONS: dict[str, Callable[[], nn.IF]] = {
    "default": nn.LIF,
    "tau": lambda: nn.LIF(tau=3.5),
    "whole input": lambda: nn.LIF(decay_input=False),
    "reset not detached": lambda: nn.LIF(detach_reset=False),
    "soft, not detached": lambda: nn.LIF(v_reset=None, detach_reset=False),
    "soft": lambda: nn.LIF(v_reset=None),
    "thresholds": lambda: nn.LIF(v_threshold=0.6, v_reset=-0.2, decay_input=False),
    "surrogate": lambda: nn.LIF(surrogate=snnr.surrogate.FACTORIES["sigmoid"](3.0)),
    "without leak": nn.IF,
    "without leak, not detached": lambda: nn.IF(detach_reset=False),
    "without leak, soft": lambda: nn.IF(v_threshold=1.5, v_reset=None, surrogate="gaussian"),
}


@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_follows_its_settings(device: str, name: str) -> None:
    layer = NEURONS[name]()
    values, ds = 2 * normal(6, 4) + 1, normal(6, 4, seed=1)
    expected, dx = neurons(values, layer, ds)
    assert 0.1 < expected.mean() < 0.9
    x = Tensor(values.reshape(6, 2, 2), True, timesteps=6, device=device)
    s = alone(layer, device)(x)
    assert s.dtype == np.uint8
    np.testing.assert_array_equal(s.numpy().reshape(6, 4), expected)
    s.backward(ds.reshape(6, 2, 2))
    np.testing.assert_allclose(x.grad.reshape(6, 4), dx, rtol=1e-4, atol=1e-5)


def test_a_static_current_is_repeated_and_its_gradients_are_added(device: str) -> None:
    values, ds = 2 * normal(4) + 1, normal(5, 4, seed=1)
    expected, dx = neurons(np.tile(values, (5, 1)), nn.LIF(), ds)
    x = Tensor(values.reshape(2, 2), True, device=device)
    s = nn.Sequential(nn.LIF(), T=5, device=device)(x)
    assert (s.shape, s.timesteps) == ((5, 2, 2), 5)
    np.testing.assert_array_equal(s.numpy().reshape(5, 4), expected)
    s.backward(ds.reshape(5, 2, 2))
    np.testing.assert_allclose(x.grad.reshape(4), dx.sum(axis=0), rtol=1e-4, atol=1e-5)


# BatchNorm


@pytest.mark.parametrize("momentum", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("images", [False, True])
def test_running_statistics_follow_momentum(
    device: str, momentum: float, fused: bool, images: bool
) -> None:
    kind = nn.BatchNorm2d if images else nn.BatchNorm1d
    layer = kind(3, momentum=momentum)
    layers: list[nn.Layer] = [layer, nn.LIF()] if fused else [layer]
    net = nn.Sequential(*layers, device=device)
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = normal(4, 5, 3, seed=seed) * 2 + 1
        x = x.reshape(1, 4, 5, 3).transpose(0, 1, 3, 2)[..., None] if images else x
        net(Tensor(np.ascontiguousarray(x), timesteps=len(x), device=device))
        rows = np.moveaxis(x, 2, -1).reshape(-1, 3).astype(float)
        mean += momentum * (rows.mean(axis=0) - mean)
        var += momentum * (rows.var(axis=0, ddof=1) - var)
        np.testing.assert_allclose(host(layer.running_mean), mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(host(layer.running_var), var, rtol=1e-5)
    net.eval()
    net(Tensor(np.ascontiguousarray(x), timesteps=len(x), device=device))
    np.testing.assert_allclose(host(layer.running_mean), mean, rtol=1e-5, atol=1e-6)


def test_eps_reaches_the_normalisation() -> None:
    layer = nn.BatchNorm1d(2, eps=9.0)
    x = np.array([[[4.0, -4]], [[-4, 4]]], np.float32)
    y = alone(layer, "reference")(Tensor(x, timesteps=2, device="reference"))
    np.testing.assert_allclose(y.numpy(), x / 5, rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tail", [[], [nn.MaxPool2d]])
@pytest.mark.parametrize("steps", [3, None])
def test_fused_layers_have_the_gradients_of_the_layers_one_by_one(
    device: str, training: bool, tail: list[type[nn.Layer]], steps: int | None
) -> None:
    """BatchNorm, spikes and pooling in one pass over memory, training and evaluating."""
    found = []
    for together in (True, False):
        net = nn.Sequential(
            nn.BatchNorm2d(4, momentum=0.6), nn.LIF(detach_reset=False), *[kind() for kind in tail],
            T=3, device=device,
        )  # fmt: skip
        norm = net[0]
        assert isinstance(norm, nn.BatchNorm2d)
        norm.scale.data[...] = [1, 2, -1.5, 0.7]
        norm.shift.data[...] = [0.5, 1, 0.2, -0.3]
        shape = (2, 4, 5, 6) if steps is None else (steps, 2, 4, 5, 6)
        # running statistics that are those of no batch below
        net(Tensor(3 * normal(*shape, seed=9) - 1, timesteps=steps, device=device))
        net.train(training)
        x = Tensor(2 * normal(*shape) + 1, True, timesteps=steps, device=device)
        y = x
        for layer in [net] if together else net:
            y = layer(y)
        y.backward(normal(*y.shape, seed=5))
        arrays = [x.grad, norm.scale.grad, norm.shift.grad]
        found.append([y.numpy(), host(norm.running_mean), *arrays])
    assert found[0][0].any()
    for fused, separate in zip(*found, strict=True):
        np.testing.assert_allclose(fused, separate, rtol=2e-4, atol=2e-5)


# Dropout


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_dropout_drops_a_share_p_and_keeps_the_mean(device: str, p: float) -> None:
    net = alone(nn.Dropout(p, rng=0), device)
    x = Tensor(np.ones((3, 40, 50), np.float32), True, timesteps=3, device=device)
    y = net(x)
    values = y.numpy()
    kept = values[0] != 0
    assert abs(kept.mean() - (1 - p)) < 0.03
    np.testing.assert_allclose(values[0][kept], 1 / (1 - p), rtol=1e-6)
    np.testing.assert_array_equal(values, np.broadcast_to(values[0], values.shape))
    F.total(y).backward()
    np.testing.assert_array_equal(x.grad, values)
    assert (net(x).numpy() != values).any()
    net.eval()
    np.testing.assert_array_equal(net(x).numpy(), x.numpy())


def test_dropout_of_nothing_and_its_seed() -> None:
    x = Tensor(normal(4, 6, 5), timesteps=4)
    np.testing.assert_array_equal(alone(nn.Dropout(0.0), "cpu")(x).numpy(), x.numpy())
    one, same, other = (alone(nn.Dropout(0.5, rng=seed), "cpu")(x).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_dropout_fused_with_a_linear_layer_is_the_same(device: str, p: float) -> None:
    outputs = []
    for together in (True, False):
        net = nn.Sequential(nn.Dropout(p, rng=3), nn.Linear(30, 7, rng=1), device=device)
        x = Tensor(normal(4, 5, 30), True, timesteps=4, device=device)
        y = x
        for layer in [net] if together else net:
            y = layer(y)
        y.backward(normal(4, 5, 7, seed=1))
        weight, bias = net.parameters()
        outputs.append((y.numpy(), x.grad, weight.grad, bias.grad))
    assert 0.5 * p < (outputs[0][1] == 0).mean() < 1.5 * p
    for fused, separate in zip(*outputs, strict=True):
        np.testing.assert_allclose(fused, separate, rtol=1e-4, atol=1e-5)


# Weights


def by_hand(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwyx,ocyx->nohw", windows[:, :, ::stride, ::stride], w)


@pytest.mark.parametrize(("stride", "padding", "taps"), [(1, 1, 3), (2, 1, 3), (3, 0, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_follows_its_settings(
    device: str, stride: int, padding: int, taps: int, bias: bool
) -> None:
    layer = nn.Conv2d(2, 4, taps, stride, padding, bias, rng=0)
    net = alone(layer, device)
    x = normal(3, 2, 8, 7)
    y = net(x)
    expected = by_hand(x, layer.weight.numpy(), stride, padding)
    assert [p.name for p in net.parameters()] == ["0_conv2d.weight", "0_conv2d.bias"][: 1 + bias]
    if bias:
        assert layer.bias.numpy().all()
        expected += layer.bias.numpy()[:, None, None]
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)
    dy = normal(*y.shape, seed=1)
    y.backward(dy)
    if bias:
        np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_follows_its_settings(device: str, bias: bool) -> None:
    layer = nn.Linear(6, 4, bias, rng=0)
    net = alone(layer, device)
    x = normal(3, 6)
    expected = x @ layer.weight.numpy().T + (layer.bias.numpy() if bias else 0)
    assert len(net.parameters()) == 1 + bias
    y = net(x)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)
    dy = normal(3, 4, seed=1)
    y.backward(dy)
    np.testing.assert_allclose(layer.weight.grad, dy.T @ x, rtol=1e-4, atol=1e-5)
    if bias:
        np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=0), rtol=1e-4, atol=1e-5)


def test_weights_start_uniform_by_their_inputs() -> None:
    for layer, inputs in ((nn.Linear(64, 80, rng=0), 64), (nn.Conv2d(4, 50, 4, rng=0), 64)):
        for p in layer.parameters():
            bound = 1 / math.sqrt(inputs)
            assert 0.8 * bound < abs(p.numpy()).max() <= bound
            assert abs(p.numpy().mean()) < 0.2 * bound
            assert p.dtype == np.float32
    same, other = (nn.Linear(5, 6, rng=seed).weight.numpy() for seed in (0, 1))
    np.testing.assert_array_equal(nn.Linear(5, 6, rng=0).weight.numpy(), same)
    assert (same != other).any()


def test_pools_follow_their_settings() -> None:
    x = normal(2, 3, 7, 8)
    for kind, f in ((nn.MaxPool2d, F.max_pool2d), (nn.AvgPool2d, F.avg_pool2d)):
        for size, stride in ((2, None), (3, 2), (2, 1)):
            expected = f(Tensor(x), size, stride).numpy()
            np.testing.assert_array_equal(alone(kind(size, stride), "cpu")(x).numpy(), expected)


def test_a_pool_that_overlaps_is_not_taken_for_one_that_halves(device: str) -> None:
    for pool in (nn.MaxPool2d(3), nn.MaxPool2d(2, 1), nn.AvgPool2d(2)):
        net = nn.Sequential(nn.BatchNorm2d(2), nn.LIF(), pool, T=2, device=device)
        x = Tensor(3 * normal(4, 2, 7, 7), device=device)
        expected = net[2](net[1](net[0](x)))
        np.testing.assert_array_equal(net(x).numpy(), expected.numpy())
