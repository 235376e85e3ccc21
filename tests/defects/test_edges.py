"""Values and shapes at the edge: zero, none, one pixel, NaN, an outlier."""

from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import nn
from snnr.tensor import Parameter, Tensor


@pytest.fixture(params=["cpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("share", [0.05, 0.9])
@pytest.mark.parametrize("spikes", [False, True])
def test_a_linear_layer_times_zero_is_its_bias(device: str, spikes: bool, share: float) -> None:
    """Sparse or dense, whichever way the kernels go."""
    mask = np.random.default_rng(0).random((6, 100)) < share
    values = mask.astype(np.uint8) if spikes else mask * normal(6, 100)
    x = Tensor(values, not spikes, device=device)
    w, b = Tensor(normal(40, 100), True, device=device), Tensor(normal(40), True, device=device)
    y = F.linear(x, w, b, factor=0)
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(b.numpy(), (6, 40)))
    y.backward(normal(6, 40, seed=1))
    assert not w.grad.any()
    assert spikes or not x.grad.any()
    np.testing.assert_allclose(b.grad, normal(6, 40, seed=1).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (0, 1, 4, 5), (0, 7)])
def test_flatten_of_no_images(device: str, shape: tuple[int, ...]) -> None:
    features = int(np.prod(shape[1:]))
    x = Tensor(np.zeros(shape, np.float32), True, device=device)
    y = F.flatten(x)
    assert y.shape == (0, features)
    y.backward(np.zeros((0, features), np.float32))
    assert x.grad.shape == shape
    sequence = Tensor(np.zeros((2, *shape), np.uint8), timesteps=2, device=device)
    assert F.flatten(sequence).shape == (2, 0, features)


def test_no_images_go_through_a_network(device: str) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm2d(2), nn.LIF(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8, 3, rng=0), nn.LIF(), T=2, device=device,
    )  # fmt: skip
    net.eval()
    assert net(np.zeros((0, 1, 6, 6), np.float32)).shape == (2, 0, 3)


@pytest.mark.parametrize("size", [(1, 6), (6, 1), (1, 1)])
def test_a_fused_pool_refuses_what_the_pool_alone_refuses(
    device: str, size: tuple[int, int]
) -> None:
    """An image of one row has no window of two."""
    net = nn.Sequential(nn.BatchNorm2d(2), nn.LIF(), nn.MaxPool2d(2), T=2, device=device)
    x = Tensor(normal(3, 2, *size), device=device)
    with pytest.raises(snnr.ShapeError, match="pool"):
        net(x)
    with pytest.raises(snnr.ShapeError, match="max_pool2d"):
        net[2](net[1](net[0](x)))


def test_a_maximum_with_a_nan_is_nan(device: str) -> None:
    """On every backend alike: a diverged network is not to look sane."""
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    for y, z in ((0, 0), (1, 0), (3, 3), (2, 1)):
        values = x.copy()
        values[0, 0, y, z] = np.nan
        out = F.max_pool2d(Tensor(values, device=device)).numpy()[0, 0]
        expected = np.array([[5, 7], [13, 15]], np.float32)
        expected[y // 2, z // 2] = np.nan
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_a_nan_weight_shows_where_its_input_fired(device: str, share: float) -> None:
    """Backends agree on which outputs it reaches, however many of the inputs fire."""
    spikes = (np.random.default_rng(0).random((4, 3, 40)) < share).astype(np.uint8)
    spikes[:, :, 7] = 0
    spikes[0, 1, 7] = 1
    w = normal(5, 40)
    w[2, 7] = np.nan
    found = [
        np.isnan(F.linear(Tensor(spikes, timesteps=4, device=name), Tensor(w, device=name)).numpy())
        for name in (device, "reference")
    ]
    assert found[0][0, 1, 2]
    assert not np.delete(found[0], 2, axis=2).any()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("connectivity", [1.0, 0.05])
@pytest.mark.parametrize("share", [0.05, 0.9])
def test_an_absent_spike_passes_over_a_weight_that_is_not_finite(
    device: str, share: float, connectivity: float
) -> None:
    """Whichever way the kernels go: over spikes, over survivors, dense or by Winograd."""
    rng = np.random.default_rng(1)
    spikes = (rng.random((2, 3, 40, 9, 9)) < share).astype(np.uint8)
    w = normal(36, 40, 3, 3) * (rng.random((36, 40, 3, 3)) < connectivity)
    w[:, 7] = 0
    w[3, 7, 1, 2], w[5, 7, 0, 0] = np.nan, np.inf
    spikes[:, :, 7] = 0
    spikes[1, 2, 7, 4, 4] = 1
    weight = Parameter(w.astype(np.float32), device=device)
    weight.assign(w)
    out = F.conv2d(Tensor(spikes, timesteps=2, device=device), weight, padding=1).numpy()
    odd = np.argwhere(~np.isfinite(out))
    np.testing.assert_array_equal(odd, [[1, 2, 3, 4, 3], [1, 2, 5, 5, 5]])
    matrix = Parameter(w[:, :, 1, 2].astype(np.float32), device=device)
    matrix.assign(w[:, :, 1, 2])
    rows = Tensor(spikes[:, :, :, 4, 4].copy(), timesteps=2, device=device)
    odd = np.argwhere(~np.isfinite(F.linear(rows, matrix).numpy()))
    np.testing.assert_array_equal(odd, [[1, 2, 3]])


@pytest.mark.parametrize("training", [True, False])
def test_the_variance_keeps_its_digits_when_the_first_row_is_far_out(
    device: str, training: bool
) -> None:
    x = normal(400, 3)
    x[0] = 3000
    layer = nn.BatchNorm1d(3, momentum=1.0)
    net = nn.Sequential(layer, device=device)
    net(Tensor(x, device=device))
    var: Any = layer.running_var
    expected = x.astype(float).var(axis=0, ddof=1)
    found = var.numpy() if isinstance(var, Tensor) else np.asarray(var)
    np.testing.assert_allclose(found, expected, rtol=4e-6)
    net.train(training)
    y = net(Tensor(x, device=device)).numpy()
    mean = x.astype(float).mean(axis=0)
    spread = np.sqrt(x.astype(float).var(axis=0, ddof=0 if training else 1) + 1e-5)
    np.testing.assert_allclose(y, (x - mean) / spread, rtol=2e-5, atol=2e-6)


def test_a_row_far_from_the_others_keeps_its_digits(device: str) -> None:
    """Most pixels of an image share one value; the rows that do not must not pay for it."""
    rng = np.random.default_rng(0)
    for background in (1e3, 1e5):
        x = np.full((16, 200), background, np.float32)
        x[3] = rng.normal(size=200)
        x[9, 50:] = rng.normal(size=150)
        w = normal(20, 200)
        y = F.linear(Tensor(x, device=device), Tensor(w, device=device)).numpy()
        exact = x.astype(float) @ w.astype(float).T
        scale = np.abs(x.astype(float)) @ np.abs(w.astype(float)).T
        assert (np.abs(y - exact) / scale).max() < 2e-6
