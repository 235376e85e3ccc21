"""One floating type per operation: another one is converted or refused, never misread."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import models, nn
from snnr.tensor import Tensor


@pytest.fixture(params=["cpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def spikes(*shape: int, share: float = 0.4, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < share).astype(np.uint8)


# Gradients and targets of another type


def test_a_gradient_of_another_type_is_converted(device: str) -> None:
    """`y.backward(np.ones(y.shape))` is what people type."""
    found = []
    for kind in (np.float32, np.float64):
        net = nn.Sequential(nn.Linear(7, 5, rng=0), device=device)
        x = Tensor(normal(6, 7).astype(np.float32), True, device=device)
        y = net(x)
        y.backward(normal(6, 5, seed=1).astype(np.float32).astype(kind))
        found.append([x.grad, *(p.grad for p in net.parameters())])
    for single, double in zip(*found, strict=True):
        assert double.dtype == np.float32
        np.testing.assert_array_equal(double, single)


def test_a_gradient_of_another_type_reaches_a_leaf_in_its_own(device: str) -> None:
    x = Tensor(np.zeros(3, np.float32), True, device=device)
    x.backward(np.ones(3))
    assert x.grad.dtype == np.float32
    y = Tensor(np.zeros(3), True, device=device)
    F.multiply(y, y).backward(np.ones(3, np.float32))
    assert y.grad.dtype == np.float64


def test_gradients_of_spikes_are_converted_to_the_current(device: str) -> None:
    found = []
    for kind in (np.float32, np.float64):
        x = Tensor(2 * normal(4, 3, 5).astype(np.float32), True, timesteps=4, device=device)
        s = F.spiking(x, F.lif_neuron())
        s.backward(normal(4, 3, 5, seed=1).astype(np.float32).astype(kind))
        found.append(x.grad)
    assert found[1].dtype == np.float32
    np.testing.assert_array_equal(*found)


def test_targets_of_another_type_are_converted(device: str) -> None:
    """`mse_loss(rate, np.eye(10)[labels])`: NumPy's identity is float64."""
    labels = np.array([1, 0, 2, 2])
    found = []
    for target in (F.one_hot(labels, 3), np.eye(3)[labels], np.eye(3, dtype=np.uint8)[labels]):
        net = nn.Sequential(nn.Linear(6, 3, rng=0), nn.LIF(), T=4, device=device)
        rate = F.mean_time(net(Tensor(3 * normal(4, 6).astype(np.float32), device=device)))
        loss = F.mse_loss(rate, target)
        loss.backward()
        found.append((loss.item(), net.parameters()[0].grad))
        assert loss.dtype == np.float32
    for value, gradient in found[1:]:
        assert value == found[0][0]
        assert gradient.dtype == np.float32
        np.testing.assert_array_equal(gradient, found[0][1])


# Inputs of another type than the weights


def test_mnist_fc_takes_doubles(device: str) -> None:
    """As a Tensor too, which the network does not convert by itself."""
    net = models.mnist_fc(T=4, hidden=50, device=device)
    net.parameters()[1].data[...] = 0.2
    images = 5 * normal(8, 1, 28, 28).astype(np.float32)
    expected = net(images).numpy()
    assert expected.any()
    doubles = Tensor(images.astype(np.float64), device=device)
    np.testing.assert_array_equal(net(doubles).numpy(), expected)


LAYERS: dict[str, tuple[Callable[[], nn.Layer], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4, rng=0), (3, 6)),
    "conv": (lambda: nn.Conv2d(2, 3, 3, padding=1, rng=0), (3, 2, 5, 5)),
    "norm": (lambda: nn.BatchNorm1d(6), (3, 6)),
    "norm of images": (lambda: nn.BatchNorm2d(2), (3, 2, 5, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_converts_its_input_and_hands_the_gradient_back(device: str, name: str) -> None:
    make, shape = LAYERS[name]
    values = normal(*shape).astype(np.float32)
    found: list[list[Any]] = []
    for kind in (np.float32, np.float64):
        net = nn.Sequential(make(), device=device)
        x = Tensor(values.astype(kind), True, device=device)
        y = net(x)
        assert y.dtype == np.float32
        y.backward(normal(*y.shape, seed=1).astype(np.float32))
        assert x.grad.dtype == kind
        found.append([y.numpy(), x.grad, *(p.grad for p in net.parameters())])
    for single, double in zip(*found, strict=True):
        np.testing.assert_array_equal(double, single)


def weights(dtype: Any, device: str) -> list[Tensor]:
    shapes = ((3, 1, 3, 3), (3,), (3,), (4, 48))
    return [
        Tensor(normal(*shape, seed=seed).astype(dtype), True, device=device)
        for seed, shape in enumerate(shapes)
    ]


def pooled(device: str, dtype: Any, pool: Callable[[Tensor], Tensor]) -> list[np.ndarray]:
    """conv - norm - LIF - pool - linear: pooled spikes are float32 whatever the weights are."""
    kernel, scale, shift, last = weights(dtype, device)
    running = F.RunningStatistics(np.zeros(3, dtype), np.ones(3, dtype))
    x = Tensor(normal(2, 1, 8, 8, seed=9).astype(dtype), device=device)
    h = F.batch_norm(F.conv2d(x, kernel, padding=1), scale, shift, running, True)
    y = F.linear(F.flatten(pool(F.spiking(h, F.lif_neuron(), T=3))), last)
    assert y.dtype == dtype
    y.backward(np.ones(y.shape, dtype))
    leaves = (kernel, scale, shift, last)
    assert all(leaf.grad.dtype == dtype for leaf in leaves)
    return [y.numpy(), *(leaf.grad for leaf in leaves)]


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "average": F.avg_pool2d,
    "dropout": lambda s: F.dropout(F.max_pool2d(s), 0.5, np.ones((2, 3, 4, 4), np.uint8)),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_network_of_doubles_has_double_precision(name: str) -> None:
    """Quick, so on the oracle alone: float64 kernels take long to compile."""
    double = pooled("reference", np.float64, POOLS[name])
    single = pooled("reference", np.float32, POOLS[name])
    for one, other in zip(double, single, strict=True):
        scale = np.abs(one).max()
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-4 * scale)


def test_pooled_spikes_meet_a_layer_of_doubles(device: str) -> None:
    s = Tensor(spikes(3, 2, 3, 4, 4), timesteps=3, device=device)
    w = Tensor(normal(5, 12), True, device=device)
    rates = F.flatten(F.avg_pool2d(s))
    y = F.linear(rates, w)
    assert y.dtype == np.float64
    expected = rates.numpy().astype(float) @ w.numpy().T
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(
        w.grad, np.broadcast_to(rates.numpy().astype(float).sum(axis=(0, 1)), (5, 12)), rtol=1e-12
    )


@pytest.mark.parametrize("operation", [F.add, F.multiply])
def test_sums_and_products_of_two_precisions_are_refused(device: str, operation: Any) -> None:
    single = Tensor(np.ones((2, 3), np.float32), device=device)
    double = Tensor(np.ones((2, 3)), device=device)
    with pytest.raises(snnr.ShapeError, match=r"float32.*float64|float64.*float32"):
        operation(single, double)


# Spikes are 0 or 1


@pytest.mark.parametrize("value", [2, 3, 255])
def test_whole_numbers_above_one_are_no_spikes(device: str, value: int) -> None:
    array = spikes(4, 3)
    array[2, 1] = value
    with pytest.raises(snnr.ShapeError, match=rf"{value}.*float32"):
        Tensor(array, device=device)
    np.testing.assert_array_equal(Tensor(spikes(4, 3), device=device).numpy(), spikes(4, 3))


def test_the_sum_of_spikes_is_a_float(device: str) -> None:
    a, b = spikes(5, 3, 8), spikes(5, 3, 8, seed=1)
    x, y = (Tensor(array, timesteps=5, device=device) for array in (a, b))
    total = F.add(x, y)
    assert total.dtype == np.float32
    np.testing.assert_array_equal(total.numpy(), a.astype(int) + b)
    assert total.numpy().max() == 2


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_residual_sum_counts_twice_in_the_next_layer(device: str, share: float) -> None:
    """Sparse or not, a 2 weighs two: in the output and in the gradient of the weights."""
    a, b = spikes(5, 3, 40, share=share), spikes(5, 3, 40, share=share, seed=1)
    x, y = (Tensor(array, timesteps=5, device=device) for array in (a, b))
    w = Tensor(normal(6, 40).astype(np.float32), True, device=device)
    out = F.linear(F.add(x, y), w)
    total = a.astype(float) + b
    np.testing.assert_allclose(out.numpy(), total @ w.numpy().T, rtol=1e-4, atol=1e-5)
    dy = normal(5, 3, 6, seed=2).astype(np.float32)
    out.backward(dy)
    expected = np.einsum("tno,tni->oi", dy, total)
    np.testing.assert_allclose(w.grad, expected, rtol=1e-4, atol=1e-4)


def test_many_sums_do_not_wrap(device: str) -> None:
    x = Tensor(np.ones((2, 3), np.uint8), device=device)
    y = F.add(x, x)
    for _ in range(8):
        y = F.add(y, y)
    np.testing.assert_array_equal(y.numpy(), np.full((2, 3), 512))


def test_the_sum_of_all_spikes_does_not_wrap(device: str) -> None:
    assert F.total(Tensor(np.ones((10, 100), np.uint8), device=device)).item() == 1000
