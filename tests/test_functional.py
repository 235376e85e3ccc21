"""Operations against their definitions written out, and what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr.tensor import Tensor


@pytest.fixture(params=["cpu", "reference"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def spikes(*shape: int) -> np.ndarray:
    return (np.random.default_rng(sum(shape)).random(shape) < 0.4).astype(np.uint8)


def close(found: Tensor, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


# Values


def test_linear(device: str) -> None:
    x, w, b = normal(4, 3, 6), normal(5, 6), normal(5)
    tensors = [Tensor(array, device=device) for array in (w, b)]
    sequence = Tensor(x, timesteps=4, device=device)
    y = F.linear(sequence, *tensors)
    assert y.timesteps == 4
    close(y, x @ w.T + b)
    close(F.linear(Tensor(x[0], device=device), tensors[0]), x[0] @ w.T)
    mask = spikes(3, 6)
    close(F.linear(sequence, *tensors, mask=mask, factor=1.5), 1.5 * (x * mask) @ w.T + b)
    s = spikes(4, 3, 6)
    close(F.linear(Tensor(s, timesteps=4, device=device), *tensors), s @ w.T + b)


def convolved(x: np.ndarray, w: np.ndarray, stride: Any, padding: Any) -> np.ndarray:
    """Cross-correlation, tap by tap."""
    (sy, sx), (py, px) = stride, padding
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(py, py), (px, px)])
    rows = (padded.shape[-2] - w.shape[2]) // sy + 1
    columns = (padded.shape[-1] - w.shape[3]) // sx + 1
    out = np.zeros((*x.shape[:-3], w.shape[0], rows, columns))
    for y in range(rows):
        for z in range(columns):
            window = padded[..., y * sy : y * sy + w.shape[2], z * sx : z * sx + w.shape[3]]
            out[..., y, z] = np.einsum("...cij,ocij->...o", window, w)
    return out


@pytest.mark.parametrize(
    ("stride", "padding"), [((1, 1), (0, 0)), ((1, 1), (1, 1)), ((2, 2), (1, 1)), ((2, 3), (0, 2))]
)
def test_conv2d(device: str, stride: tuple[int, int], padding: tuple[int, int]) -> None:
    x, w, b = normal(2, 3, 2, 7, 8), normal(5, 2, 3, 3), normal(5)
    weight, bias = Tensor(w, device=device), Tensor(b, device=device)
    y = F.conv2d(Tensor(x, timesteps=2, device=device), weight, bias, stride, padding)
    assert y.timesteps == 2
    close(y, convolved(x, w, stride, padding) + b[:, None, None])
    close(
        F.conv2d(Tensor(x[0], device=device), weight, None, stride, padding),
        convolved(x[0], w, stride, padding),
    )


def test_one_number_means_both_directions() -> None:
    x, w = Tensor(normal(2, 3, 6, 6)), Tensor(normal(4, 3, 3, 3))
    np.testing.assert_array_equal(
        F.conv2d(x, w, stride=2, padding=1).data,
        F.conv2d(x, w, stride=(2, 2), padding=(1, 1)).data,
    )


@pytest.mark.parametrize(("size", "stride"), [(2, None), (2, 1), (3, 2), (1, 2)])
def test_pools(device: str, size: int, stride: int | None) -> None:
    x = normal(2, 3, 4, 7, 6)
    step = stride or size
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(-2, -1))
    windows = windows[..., ::step, ::step, :, :]
    sequence = Tensor(x, timesteps=2, device=device)
    close(F.max_pool2d(sequence, size, stride), windows.max(axis=(-2, -1)))
    close(F.avg_pool2d(sequence, size, stride), windows.mean(axis=(-2, -1)))


def test_pools_of_spikes(device: str) -> None:
    s = Tensor(spikes(2, 3, 4, 4, 4), timesteps=2, device=device)
    blocks = s.data.reshape(2, 3, 4, 2, 2, 2, 2)
    highest, mean = F.max_pool2d(s), F.avg_pool2d(s)
    assert (highest.dtype, mean.dtype) == (np.uint8, np.float32)
    close(highest, blocks.max(axis=(4, 6)))
    close(mean, blocks.mean(axis=(4, 6)))


@pytest.mark.parametrize("channels", [1, 3])
def test_flatten_goes_by_channel_row_and_column(device: str, channels: int) -> None:
    x = normal(2, 3, channels, 4, 5)
    close(F.flatten(Tensor(x, timesteps=2, device=device)), x.reshape(2, 3, -1))
    close(F.flatten(Tensor(x[0], device=device)), x[0].reshape(3, -1))


def test_voting_and_rates(device: str) -> None:
    s = spikes(4, 3, 6)
    sequence = Tensor(s, timesteps=4, device=device)
    votes, rate = F.voting(sequence, 2), F.mean_time(sequence)
    assert (votes.timesteps, rate.timesteps) == (4, None)
    assert (votes.dtype, rate.dtype) == (np.float32, np.float32)
    close(votes, s.reshape(4, 3, 3, 2).mean(axis=-1))
    close(rate, s.mean(axis=0))


def test_dropout_keeps_its_mask_over_time_and_the_mean(device: str) -> None:
    x, mask = normal(4, 3, 6), spikes(3, 6)
    close(F.dropout(Tensor(x, timesteps=4, device=device), 0.2, mask), x * mask / 0.8)
    close(F.dropout(Tensor(x[0], device=device), 0.75, mask), x[0] * mask * 4)


def test_losses(device: str) -> None:
    x, labels = normal(5, 3), np.array([2, 0, 1, 1, 2])
    target = F.one_hot(labels, 3)
    np.testing.assert_array_equal(target, np.eye(3)[labels])
    assert target.dtype == np.float32
    found = F.mse_loss(Tensor(x, device=device), target)
    assert found.item() == pytest.approx(np.mean((x - target) ** 2), rel=1e-6)
    probability = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    found = F.cross_entropy(Tensor(x, device=device), labels)
    expected = -np.log(probability[np.arange(5), labels]).mean()
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_labels_in_memory_are_labels(device: str) -> None:
    x, labels = normal(5, 4), np.array([0, 1, 2, 3, 1])
    there = F.Labels(labels[::-1], device)
    assert there.largest == 3
    there.assign(labels)
    for loss in (F.cross_entropy, F.label_mse_loss):
        found = [loss(Tensor(x, device=device), marks).item() for marks in (labels, there)]
        assert found[0] == found[1]
    with pytest.raises(snnr.ShapeError, match=r"\[4\] labels do not fit memory of \[5\]"):
        there.assign(labels[1:])
    with pytest.raises(snnr.ShapeError, match="from -2 to 3"):
        there.assign(labels - 2 * (labels == 0))
    with pytest.raises(snnr.ShapeError, match="integers"):
        F.Labels(labels / 2, device)
    with pytest.raises(snnr.ShapeError, match=r"0 to 3, expected 0\.\.2"):
        F.cross_entropy(Tensor(x[:, :3], device=device), there)
    other = "reference" if device == "cpu" else "cpu"
    with pytest.raises(snnr.DeviceError, match="labels lie on"):
        F.cross_entropy(Tensor(x, device=other), there)


def test_cross_entropy_of_large_values_is_finite() -> None:
    x = Tensor(np.array([[1e4, 0, -1e4]], np.float32), requires_grad=True)
    loss = F.cross_entropy(x, np.array([1]))
    loss.backward()
    assert loss.item() == 1e4
    np.testing.assert_array_equal(x.grad, [[1, -1, 0]])


def test_sums_and_products(device: str) -> None:
    a, b = normal(2, 3), normal(2, 3)
    x, y = Tensor(a, device=device), Tensor(b, device=device)
    close(F.add(x, y), a + b)
    close(F.multiply(x, y), a * b)
    assert F.total(x).item() == pytest.approx(a.sum(), rel=1e-6)


def statistics(channels: int, **settings: float) -> Any:
    return F.RunningStatistics(
        np.zeros(channels, np.float32), np.ones(channels, np.float32), **settings
    )


@pytest.mark.parametrize("momentum", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 3, 5, 2, 3)])
def test_batch_norm(device: str, shape: tuple[int, ...], momentum: float) -> None:
    x = 3 * normal(*shape) + 1
    g, b = normal(5) + 2, normal(5)
    axes = (0, 1) if len(shape) == 3 else (0, 1, 3, 4)
    wide = (slice(None), *[None] * (len(shape) - 3))
    running = statistics(5, momentum=momentum, eps=0.01)
    arguments = [Tensor(array, device=device) for array in (g, b)]
    sequence = Tensor(x, timesteps=4, device=device)
    y = F.batch_norm(sequence, *arguments, running, True)
    mean, var = x.mean(axis=axes, dtype=float), x.var(axis=axes, dtype=float)
    close(y, (x - mean[wide]) / np.sqrt(var[wide] + 0.01) * g[wide] + b[wide])
    rows = x.size // 5
    unbiased = var * rows / (rows - 1)
    after = momentum * mean, 1 - momentum + momentum * unbiased
    np.testing.assert_allclose(running.mean, after[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(running.var, after[1], rtol=1e-5)
    y = F.batch_norm(sequence, *arguments, running, False)
    close(y, (x - after[0][wide]) / np.sqrt(after[1][wide] + 0.01) * g[wide] + b[wide])
    np.testing.assert_allclose(running.mean, after[0], rtol=1e-5, atol=1e-6)


# What is refused

LIF = F.lif_neuron()
FLAT, SEQUENCE = Tensor(normal(3, 6)), Tensor(normal(2, 3, 6), timesteps=2)
IMAGES = Tensor(normal(2, 3, 4, 5, 5), timesteps=2)
STILL = Tensor(normal(3, 4, 5, 5))
SPIKES = Tensor(spikes(2, 3, 6), timesteps=2)
W, KERNEL, SIX, FOUR = (Tensor(normal(*s)) for s in ((5, 6), (7, 4, 3, 3), (6,), (4,)))
ONES = np.ones((3, 6), np.uint8)

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "add shapes": (lambda: F.add(FLAT, SIX), r"add: .*\[3, 6\].*\[6\].*one shape"),
    "add time": (lambda: F.add(Tensor(normal(2, 3, 6)), SEQUENCE), "one time axis"),
    "multiply": (lambda: F.multiply(FLAT, SIX), "multiply: .*one shape"),
    "linear features": (lambda: F.linear(SIX, W), r"\[6\] does not fit weight \[5, 6\]"),
    "linear weight": (lambda: F.linear(FLAT, SIX), r"does not fit weight \[6\]"),
    "linear rows": (lambda: F.linear(Tensor(normal(3, 5)), W), "with in=6"),
    "linear bias": (lambda: F.linear(FLAT, W, SIX), r"bias \[6\] must be \[5\]"),
    "linear mask": (lambda: F.linear(SEQUENCE, W, mask=ONES[:2]), r"mask \[2, 6\] .*\[3, 6\]"),
    "linear mask type": (
        lambda: F.linear(SEQUENCE, W, mask=ONES.astype(np.float32)),  # type: ignore[arg-type]
        "float32 must be uint8",
    ),
    "conv images": (lambda: F.conv2d(FLAT, KERNEL), r"must be \[T, N, C, H, W\]"),
    "conv time": (lambda: F.conv2d(Tensor(IMAGES.data), KERNEL), r"static \[N, C, H, W\]"),
    "conv weight": (lambda: F.conv2d(IMAGES, W), r"\[out, in, kh, kw\]"),
    "conv channels": (
        lambda: F.conv2d(Tensor(normal(2, 3, 5, 5)), KERNEL),
        r"3 channels, the weight \[7, 4, 3, 3\] expects in=4",
    ),
    "conv too small": (lambda: F.conv2d(Tensor(normal(1, 4, 2, 5)), KERNEL), "larger than the"),
    "conv stride": (lambda: F.conv2d(STILL, KERNEL, stride=0), r"stride \(=0\).*at least 1"),
    "conv strides": (lambda: F.conv2d(STILL, KERNEL, stride=(1, 0)), r"stride \(=\(1, 0\)\)"),
    "conv padding": (lambda: F.conv2d(STILL, KERNEL, padding=-1), r"padding \(=-1\).*at least 0"),
    "conv bias": (lambda: F.conv2d(STILL, KERNEL, FOUR), r"bias \[4\] must be \[7\]"),
    "norm channels": (
        lambda: F.batch_norm(STILL, SIX, SIX, statistics(6), True),
        r"4 channels, scale has \[6\]",
    ),
    "norm shift": (lambda: F.batch_norm(STILL, FOUR, SIX, statistics(4), True), r"shift \[6\]"),
    "norm statistics": (lambda: F.batch_norm(STILL, FOUR, FOUR, statistics(6), True), "channels"),
    "norm spikes": (
        lambda: F.batch_norm(SPIKES, SIX, SIX, statistics(6), True),
        "float, not uint8",
    ),
    "norm one value": (
        lambda: F.batch_norm(Tensor(normal(1, 6)), SIX, SIX, statistics(6), True),
        "variance needs two",
    ),
    "spiking spikes": (lambda: F.spiking(SPIKES, LIF), "not uint8 spikes"),
    "spiking one axis": (lambda: F.spiking(SIX, LIF, T=2), r"\[T, N, ...\]"),
    "spiking no T": (lambda: F.spiking(FLAT, LIF), r"needs the number of time steps.*None"),
    "spiking T of 0": (lambda: F.spiking(FLAT, LIF, T=0), r"T >= 1 \(got 0\)"),
    "spiking other T": (lambda: F.spiking(SEQUENCE, LIF, T=3), "has 2 time steps, T=3"),
    "norm spiking no T": (
        lambda: F.norm_spiking(STILL, FOUR, FOUR, statistics(4), LIF, True),
        "norm_spiking: .*needs the number",
    ),
    "norm spiking smooth": (
        lambda: F.norm_spiking(IMAGES, FOUR, FOUR, statistics(4), F.lif_neuron(smooth=True), True),
        "smooth",
    ),
    "norm spiking pool": (
        lambda: F.norm_spiking(SEQUENCE, SIX, SIX, statistics(6), LIF, True, pool=True),
        "needs images",
    ),
    "max pool rows": (lambda: F.max_pool2d(SEQUENCE), r"max_pool2d: .*must be \[T, N, C, H, W\]"),
    "max pool size": (lambda: F.max_pool2d(IMAGES, 6), r"size \(=6\)"),
    "max pool huge": (lambda: F.max_pool2d(Tensor(normal(1, 1, 20, 20)), 16), r"size \(=16\)"),
    "max pool nothing": (lambda: F.max_pool2d(IMAGES, 0), r"size \(=0\)"),
    "max pool stride": (lambda: F.max_pool2d(IMAGES, 2, 0), r"stride \(=0\)"),
    "average pool rows": (lambda: F.avg_pool2d(FLAT), "avg_pool2d: .*must be"),
    "average pool size": (lambda: F.avg_pool2d(IMAGES, 6), r"avg_pool2d: size \(=6\)"),
    "dropout p": (lambda: F.dropout(FLAT, 1.0, ONES), r"p \(=1.0\) must lie in \[0, 1\)"),
    "dropout below": (lambda: F.dropout(FLAT, -0.1, ONES), r"p \(=-0.1\)"),
    "dropout mask": (lambda: F.dropout(SEQUENCE, 0.5, np.ones((2, 3, 6), np.uint8)), r"\[3, 6\]"),
    "voting": (lambda: F.voting(SEQUENCE, 4), r"\[2, 3, 6\] must .* multiple of group \(=4\)"),
    "voting none": (lambda: F.voting(SEQUENCE, 0), r"group \(=0\)"),
    "mean time": (lambda: F.mean_time(FLAT), r"\[3, 6\] is static"),
    "mse": (lambda: F.mse_loss(FLAT, normal(6, 3)), r"\[3, 6\] and target \[6, 3\]"),
    "mse labels": (lambda: F.mse_loss(FLAT, np.arange(3)), "int64|differ"),
    "cross entropy": (lambda: F.cross_entropy(SEQUENCE, np.arange(3)), r"must be \[N, classes\]"),
    "cross entropy batch": (lambda: F.cross_entropy(FLAT, np.arange(2)), r"labels \[2\]"),
    "cross entropy high": (lambda: F.cross_entropy(FLAT, np.array([0, 6, 1])), r"0 to 6.*0\.\.5"),
    "cross entropy low": (lambda: F.cross_entropy(FLAT, np.array([0, -1, 1])), "from -1 to 1"),
    "one hot high": (lambda: F.one_hot(np.array([0, 3]), 3), r"0 to 3, expected 0\.\.2"),
    "one hot low": (lambda: F.one_hot(np.array([-1]), 3), "from -1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(snnr.ShapeError, match=message):
        call()
    with pytest.raises(ValueError, match=message):
        call()
