"""Small versions of the three networks: a step on device "cuda" is a step of the oracle."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import models, nn, optim
from snnr.gradient_check import gradcheck
from snnr.tensor import Tensor

#: name -> shape of an image, and the network of a device
NETWORKS: dict[str, tuple[tuple[int, int, int], Callable[[str], nn.Sequential]]] = {
    "mnist_fc": (
        (1, 6, 6),
        lambda device: models.mnist_fc(4, 6, device, (1, 6, 6), classes=4, hidden=9),
    ),
    "csnn": (
        (1, 6, 5),
        lambda device: models.csnn(2, 7, device, (1, 6, 5), 3, channels=3, hidden=11),
    ),
    "cifar10_conv": (
        (3, 4, 5),
        lambda device: models.cifar10_conv(2, 4, device, (3, 4, 5), 3, channels=3, hidden=10),
    ),
}
IMAGES = 3


def step(name: str, device: str, loss: str) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
    """Loss, gradients and weights of one step."""
    shape, make = NETWORKS[name]
    net = make(device)
    for p in net.parameters():
        if p.role == "weight":
            p.assign(6 * p.numpy())  # so narrow a network is silent behind its first layers
    optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.5)
    x = 2 * np.random.default_rng(0).standard_normal((IMAGES, *shape)).astype(np.float32)
    rate = F.mean_time(net(x))
    labels = np.array([0, 2, 1])
    value = (F.label_mse_loss if loss == "mse" else F.cross_entropy)(rate, labels)
    value.backward()
    gradients = [np.array(p.grad_numpy()) for p in net.parameters()]
    optimizer.step()
    assert 0 < optimizer.connectivity() <= 1
    return value.item(), gradients, [np.array(p.numpy()) for p in net.parameters()]


@pytest.mark.parametrize(
    ("name", "loss"),
    [("mnist_fc", "mse"), ("mnist_fc", "cross-entropy"), ("csnn", "mse"), ("cifar10_conv", "mse")],
)
def test_a_step_is_that_of_the_oracle(name: str, loss: str) -> None:
    found, expected = step(name, "cuda", loss), step(name, "reference", loss)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for mine, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
        assert np.abs(theirs).max() > 0
    for mine, theirs in zip(found[2], expected[2], strict=True):
        # Adam's first step is lr * g/|g|: where g is rounding, its sign is too
        apart = np.abs(mine - theirs) > 1e-5
        assert apart.mean() < 0.02


def test_the_gradients_of_a_network_are_those_of_differences() -> None:
    rng = np.random.default_rng(2)
    neuron = F.lif_neuron(detach_reset=False, smooth=True)

    def leaf(*shape: int) -> Tensor:
        return Tensor(rng.standard_normal(shape), device="cuda")

    def f(t: list[Tensor]) -> Tensor:
        x, w1, scale, shift, w2 = t
        statistics = F.RunningStatistics(np.zeros(2), np.ones(2))
        h = F.batch_norm(F.conv2d(x, w1, padding=1), scale, shift, statistics, True)
        spikes = F.spiking(h, neuron, T=3)
        rate = F.mean_time(F.spiking(F.linear(F.flatten(F.avg_pool2d(spikes)), w2), neuron))
        return F.mse_loss(rate, np.eye(2, 3))

    inputs = [leaf(2, 1, 4, 4), leaf(2, 1, 3, 3), leaf(2), leaf(2), leaf(3, 8)]
    assert gradcheck(f, inputs, rtol=1e-7, projections=1) < 1e-7


def test_a_network_moves_and_answers_the_same() -> None:
    net = NETWORKS["mnist_fc"][1]("cpu").eval()
    x = np.random.default_rng(5).standard_normal((3, 1, 6, 6)).astype(np.float32)
    with snnr.no_grad():
        before = net(x).numpy()
        there = net.to("cuda")(x)
        assert there.device == "cuda"
        with pytest.raises(snnr.DeviceError, match=r"\.numpy\(\)"):
            there.data  # noqa: B018
        np.testing.assert_array_equal(there.numpy(), before)
        np.testing.assert_array_equal(net.to("cpu")(x).numpy(), before)


def test_two_threads_get_what_one_gets() -> None:
    net = nn.Sequential(nn.Linear(6, 9, rng=0), nn.LIF(), T=3, device="cuda")
    x = 6 * np.random.default_rng(5).standard_normal((2, 6)).astype(np.float32)
    expected = net(x).numpy()
    assert expected.any()
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: net(x).numpy(), range(4)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["mnist_fc", "csnn"])
def test_a_loss_by_hand_is_that_of_the_oracle(name: str) -> None:
    """Operators, indexing, sums and means, there and back."""
    shape, make = NETWORKS[name]
    x = 2 * np.random.default_rng(0).standard_normal((IMAGES, *shape)).astype(np.float32)
    found = []
    for device in ("cuda", "reference"):
        net = make(device)
        for p in net.parameters():
            p.assign(6 * p.numpy() if p.role == "weight" else p.numpy())
        weight, *_ = net.parameters()
        spikes = net(x)
        rate = spikes.mean(axis=0)
        margin = (rate[:, 1:] - rate[:, :1]) / (1 + rate.sum(axis=1, keepdims=True))
        loss = (margin**2).mean() + 1e-3 * (weight**2).sum() - 0.1 * spikes[1:, :, 0].mean()
        loss.backward()
        found.append((loss.item(), np.array(weight.grad_numpy())))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=0, atol=2e-5 * abs(found[1][1]).max())
