"""Counts of spikes and operations against the obvious way to count them."""

import numpy as np
import pytest

import snnr
from snnr import metrics, nn
from snnr.activity import ActivityCounter, synaptic_operations


@pytest.mark.parametrize(
    ("stride", "padding", "taps"), [(1, 0, 3), (1, 1, 3), (2, 1, 3), (3, 2, 5)]
)
def test_operations_of_a_convolution(stride: int, padding: int, taps: int) -> None:
    rng = np.random.default_rng(1)
    layer = nn.Conv2d(2, 3, taps, stride, padding, bias=False, rng=2)
    layer.weight.data[rng.random(layer.weight.shape) < 0.6] = 0
    spikes = (rng.random((4, 2, 2, 7, 6)) < 0.4).astype(np.uint8)
    padded = np.pad(spikes, [(0, 0)] * 3 + [(padding, padding)] * 2)
    expected = 0
    for y in range(0, padded.shape[-2] - taps + 1, stride):
        for x in range(0, padded.shape[-1] - taps + 1, stride):
            window = padded[..., y : y + taps, x : x + taps].reshape(-1, 2 * taps * taps)
            alive = (layer.weight.data != 0).reshape(3, -1)
            expected += int((window.astype(int) @ alive.T.astype(int)).sum())
    assert synaptic_operations(layer, spikes.sum(axis=(0, 1), dtype=int)) == expected


def test_activity_of_a_network() -> None:
    rng = np.random.default_rng(3)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng),
        nn.LIF(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 6, rng=rng),
        nn.LIF(),
        nn.Linear(6, 3, rng=rng),
        nn.LIF(),
        T=5,
    )
    net[4].weight.data[rng.random((6, 64)) < 0.5] = 0
    net.eval()
    images = rng.normal(size=(10, 1, 8, 8)).astype(np.float32) * 3
    counter = ActivityCounter(net)
    seen: dict[str, np.ndarray] = {}
    for start in (0, 4):
        with snnr.no_grad(), counter.watching():
            net(images[start : start + 4 + 2 * (start > 0)])

    def keep(name: str, x: snnr.Tensor) -> None:
        seen[name] = x.numpy().copy()

    with snnr.no_grad(), net.observed(keep, spikes=True):
        net(images)
    result = counter.result()
    assert result.images == 10
    for name in ("1_lif", "5_lif", "7_lif"):
        neurons = result.neurons[name]
        assert neurons.firing_rate == pytest.approx(seen[name].mean())
        assert neurons.silent == (seen[name].sum(axis=(0, 1)) == 0).mean()
        assert neurons.neurons == seen[name][0, 0].size
    alive = (net[4].weight.data != 0).astype(int)
    sops = (seen["3_flatten"].reshape(-1, 64).astype(int) @ alive.T).sum() / 10
    assert result.synaptic_operations["4_linear"] == sops
    assert result.synaptic_operations["6_linear"] == seen["5_lif"].sum() * 3 / 10
    assert result.multiply_accumulates == {"0_conv2d": 36 * 64}
    assert result.sops == sops + seen["5_lif"].sum() * 3 / 10


def test_counts_of_several_processes_add_up() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=0), nn.LIF(), nn.Flatten(), nn.Linear(32, 3, rng=1), nn.LIF(), T=3
    )
    images = np.random.default_rng(2).normal(size=(7, 1, 6, 6)).astype(np.float32) * 3
    whole, first, second = (ActivityCounter(net) for _ in range(3))
    for counter, share in ((whole, images), (first, images[:2]), (second, images[2:])):
        with counter.watching():
            net(share)
    first.merge(second)
    assert first.result() == whole.result()
    assert whole.result().sops > 0


def test_spikes_as_input_are_operations_not_multiplications() -> None:
    net = nn.Sequential(nn.Linear(5, 4, bias=False, rng=0), nn.LIF())
    spikes = (np.random.default_rng(0).random((6, 3, 5)) < 0.5).astype(np.uint8)
    counter = ActivityCounter(net)
    with counter.watching():
        net(snnr.Tensor(spikes, timesteps=6))
    result = counter.result()
    assert result.synaptic_operations == {"0_linear": spikes.sum() * 4 / 3}
    assert result.multiply_accumulates == {}


def test_average_pooling_makes_the_input_analog_at_every_step() -> None:
    net = nn.Sequential(
        nn.LIF(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3, bias=False, rng=0), nn.LIF(), T=7
    )
    counter = ActivityCounter(net)
    with counter.watching():
        net(np.ones((2, 1, 4, 4), np.float32))
    assert counter.result().multiply_accumulates == {"3_linear": 4 * 3 * 7}


def test_steps_of_zeros_and_ones_are_accumulated_and_others_multiplied() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False, rng=0), nn.LIF())
    net[0].weight.data[1, 0, 0] = 0
    generator = np.random.default_rng(1)
    images = generator.integers(-1, 2, (3, 4, 1, 5, 6)).astype(np.float32)
    images[1, 2, 0, 0, 0] = 0.5
    counter = ActivityCounter(net)
    for part in (images[:, :2], images[:, 2:]):
        with counter.watching():
            net(snnr.Tensor(part, timesteps=3))
    alive = np.pad((net[0].weight.data != 0).astype(int), 0)
    padded = np.pad(images != 0, [(0, 0)] * 3 + [(1, 1)] * 2)[:, :, 0].astype(int)
    expected = np.zeros((3, 4))
    for y in range(3):
        for x in range(3):
            window = padded[:, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            expected += np.einsum("tnij,oij->tn", window, alive[:, 0])
    result = counter.result()
    # the odd value makes multiplications of what its batch has in its step
    assert result.effective_macs == {"0_conv2d": expected[1, 2:].sum() / 4}
    assert result.effective_acs == {"0_conv2d": (expected.sum() - expected[1, 2:].sum()) / 4}
    assert result.dense_operations == {"0_conv2d": 3 * 2 * (2 + 3 + 2) * (2 + 3 + 3)}
    picojoules = 4.6 * expected[1, 2:].sum() / 4 + 0.9 * result.effective_acs["0_conv2d"]
    assert result.energy == pytest.approx(1e-12 * picojoules)


def test_a_static_image_counts_at_every_step() -> None:
    net = nn.Sequential(nn.Linear(3, 2, bias=False, rng=0), nn.LIF(), T=5)
    net[0].weight.data[0, 1] = 0
    for kind, key in ((np.float32, "effective_macs"), (np.uint8, "effective_acs")):
        counter = ActivityCounter(net)
        with counter.watching():
            net(snnr.Tensor(np.array([[1, 1, 0]], kind) * kind(3 if kind is np.float32 else 1)))
        result = counter.result()
        assert getattr(result, key) == {"0_linear": 5 * 3}
        assert result.dense_operations == {"0_linear": 5 * 6}


def test_pruning_lowers_the_sparse_footprint_alone() -> None:
    net = nn.Sequential(nn.Linear(300, 4, rng=0), nn.BatchNorm1d(4), nn.LIF(), T=2)
    rest = 4 * 4 + 4 * 4 * 4 + 8  # bias; scale, shift, mean, variance; PyTorch's counter
    assert metrics.footprint(net) == 4 * 1200 + rest
    assert metrics.sparse_footprint(net) == 1200 * (4 + 2) + 5 * 2 + rest
    net[0].weight.data[:, 7:] = 0
    assert metrics.footprint(net) == 4 * 1200 + rest
    assert metrics.sparse_footprint(net) == 28 * (4 + 2) + 5 * 1 + rest


def test_connectivity_and_dead_neurons() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3, rng=0), nn.BatchNorm2d(3), nn.Flatten(), nn.LIF(), T=1)
    conv = net[0]
    conv.weight.data[1] = 0
    conv.weight.data[:, 1] = 0
    assert metrics.connectivity(net) == 18 / 54
    assert metrics.layer_connectivity(net)[0].shape == (3, 2, 3, 3)
    assert metrics.unreached_neurons(conv.weight) == 1
    assert metrics.unused_inputs(conv.weight) == 1
    assert metrics.driven_neurons(net) == {"0_conv2d": "3_lif"}
    conv.weight.data[0] = 0
    assert (metrics.unreached_neurons(conv.weight), metrics.unused_inputs(conv.weight)) == (2, 1)


class Doubled(nn.Layer):
    """A weight that activity does not know how to count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = snnr.Parameter(np.full((1, 3), 2, np.float32), "weight", "weight")

    def forward(self, x: snnr.Tensor) -> snnr.Tensor:
        return x


def test_layers_behind_one_that_cannot_be_counted_are_counted() -> None:
    net = nn.Sequential(Doubled(), nn.Linear(3, 2, bias=False, rng=0), nn.LIF(), T=2)
    counter = ActivityCounter(net)
    with counter.watching():
        net(np.full((1, 3), 0.5, np.float32))
    assert counter.result().dense_operations == {"1_linear": 2 * 6}


def test_a_network_without_neurons_has_operations() -> None:
    net = nn.Sequential(nn.Linear(3, 2, bias=False, rng=0), T=4)
    counter = ActivityCounter(net)
    with counter.watching():
        net(np.full((5, 3), 0.5, np.float32))
    result = counter.result()
    assert (result.images, result.neurons) == (5, {})
    assert result.dense_operations == {"0_linear": 6}
