"""Layers inside of layers: names, device, time steps, mode, parameters; a residual block trains."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.tensor import Parameter, Tensor
from snnr.training import Trainer


class Residual(nn.Layer):
    """x + f(x), f a linear layer and neurons, held as attributes."""

    SETTINGS = ("width",)

    def __init__(self, width: int, rng: int | None = 0) -> None:
        super().__init__()
        self.width = width
        self.inner = nn.Linear(width, width, bias=False, rng=rng)
        self.neuron = nn.LIF()

    def forward(self, x: Tensor) -> Tensor:
        return F.add(x, self.neuron(self.inner(x)))


class Branches(nn.Layer):
    """The sum of several maps, held in a list."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.maps = [nn.Linear(width, width, bias=False, rng=i) for i in range(count)]

    def forward(self, x: Tensor) -> Tensor:
        total = self.maps[0](x)
        for branch in self.maps[1:]:
            total = F.add(total, branch(x))
        return total


def nested(device: str = "reference") -> nn.Sequential:
    """Two blocks of the same layers, one of them two deep."""

    def block(seed: int) -> list[nn.Layer]:
        norm = nn.BatchNorm1d(6)
        norm.scale.data[...], norm.shift.data[...] = 3, 1
        return [nn.Linear(6, 6, rng=seed), norm, nn.LIF(), nn.Dropout(0.5, rng=seed)]

    last = nn.Linear(6, 4, bias=False, rng=2)
    last.weight.data[...] *= 3
    return nn.Sequential(
        nn.Flatten(),
        nn.Sequential(*block(0)),
        nn.Sequential(nn.Sequential(*block(1)), last),
        nn.LIF(),
        T=3,
        device=device,
    )


def plain() -> nn.Sequential:
    """The same layers in a row."""
    net = nested()
    first, second = net[1], net[2]
    assert isinstance(first, nn.Sequential)
    assert isinstance(second, nn.Sequential)
    deep = second[0]
    assert isinstance(deep, nn.Sequential)
    return nn.Sequential(net[0], *first, *deep, second[1], net[3], T=3, device="reference")


def leaves(layer: nn.Layer) -> Iterator[nn.Layer]:
    return (found for found in layer.layers() if not isinstance(found, nn.Sequential))


def images(count: int = 5) -> np.ndarray:
    return 4 * np.random.default_rng(3).normal(size=(count, 1, 2, 3)).astype(np.float32)


def test_parameters_are_named_by_their_path() -> None:
    assert [p.name for p in nested().parameters()] == [
        "1_sequential.0_linear.weight", "1_sequential.0_linear.bias",
        "1_sequential.1_batchnorm1d.scale", "1_sequential.1_batchnorm1d.shift",
        "2_sequential.0_sequential.0_linear.weight", "2_sequential.0_sequential.0_linear.bias",
        "2_sequential.0_sequential.1_batchnorm1d.scale",
        "2_sequential.0_sequential.1_batchnorm1d.shift",
        "2_sequential.1_linear.weight",
    ]  # fmt: skip


def test_the_device_reaches_the_inside() -> None:
    net = nested("reference")
    assert {p.device for p in net.parameters()} == {"reference"}
    out = net(images())
    assert out.device == "reference"
    F.total(out).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_time_steps_and_mode_reach_the_inside() -> None:
    net = nested()
    assert [layer.settings()["T"] for layer in leaves(net) if layer.kind == "LIF"] == [3] * 3
    assert net(images()).shape == (3, 5, 4)
    net.eval()
    assert not any(layer.training for layer in net.layers())
    assert len(list(leaves(net))) == 11
    net.train()
    assert all(layer.training for layer in net.layers())


def test_a_nested_network_computes_what_the_layers_in_a_row_compute() -> None:
    one, other = nested(), plain()
    for mode in (True, False):
        results = []
        for net in (one, other):
            net.train(mode)
            out = net(images())
            assert 0.02 < out.numpy().mean() < 0.98
            out.backward(np.random.default_rng(1).normal(size=out.shape).astype(np.float32))
            results.append([out.numpy(), *(p.grad for p in net.parameters())])
        assert len(results[0]) == 10
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_changes_and_connectivity_are_told_weight_by_weight() -> None:
    net = nested()
    optimizer = optim.GradR(net.parameters(), lr=0.02, prior=0.5)
    for _ in range(5):
        F.total(net(images())).backward()
        optimizer.step()
        optimizer.zero_grad()
    weights = [p for p in net.parameters() if p.role == "weight"]
    changes = optimizer.take_changes()
    assert set(changes) == {p.name for p in weights}
    alive = sum(int(np.count_nonzero(p.numpy())) for p in weights)
    total = sum(p.numpy().size for p in weights)
    assert 0 < alive < total
    assert snnr.metrics.connectivity(net) == optimizer.connectivity() == alive / total
    assert [part.weights for part in snnr.metrics.layer_connectivity(net)] == [36, 36, 24]
    assert sum(pruned - regrown for pruned, regrown in changes.values()) == total - alive


def test_a_nested_network_is_saved_and_loaded(tmp_path: Path) -> None:
    net = nested()
    net(images())
    net.eval()
    snnr.save(tmp_path / "c.h5", net)
    again = snnr.load(tmp_path / "c.h5", device="reference").network
    again.eval()
    assert [p.name for p in again.parameters()] == [p.name for p in net.parameters()]
    assert net(images()).numpy().any()
    np.testing.assert_array_equal(again(images()).numpy(), net(images()).numpy())
    assert repr(again) == repr(net)


def test_a_nested_training_goes_on_with_the_same_bits(tiny: Dataset, tmp_path: Path) -> None:
    def trainer(name: str, epochs: int) -> Trainer:
        net = nn.Sequential(
            nn.Flatten(),
            nn.Sequential(
                nn.Linear(64, 20, rng=0), nn.BatchNorm1d(20), nn.LIF(), nn.Dropout(rng=1)
            ),
            nn.Sequential(nn.Linear(20, 4, rng=2), nn.LIF()),
            T=3, device="reference",
        )  # fmt: skip
        optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.3)
        return Trainer(net, optimizer, tiny, 50, epochs, checkpoint=tmp_path / name)

    whole = trainer("a.h5", 2)
    history = whole.fit()
    assert len(history["layer_connectivity"]) == len(history["pruned"]) == 2
    assert len(history["firing_rate"]) == 2
    trainer("b.h5", 1).fit()
    resumed = Trainer.resume(tmp_path / "b.h5", tiny, epochs=2, device="reference")
    resumed.fit()
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


# Layers of the user's own that hold layers


@pytest.mark.parametrize("block", [Residual(6), Branches(6, 3)], ids=["attributes", "list"])
def test_parameters_of_inner_layers_belong_to_the_network(block: nn.Layer) -> None:
    net = nn.Sequential(nn.Linear(6, 6, rng=0), block, nn.LIF(), T=2, device="reference")
    found = net.parameters()
    inner = 1 if isinstance(block, Residual) else 3
    assert [p.role for p in found] == ["weight", "bias"] + ["weight"] * inner
    names = [p.name for p in found]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"1_{block.kind.lower()}.") for name in names[2:])
    assert all(name.endswith(".weight") for name in names[2:])
    assert {p.device for p in found} == {"reference"}
    assert all(isinstance(p, Parameter) for p in found)
    net.eval()
    assert not any(layer.training for layer in net.layers())
    weights = sum(p.numpy().size for p in found if p.role == "weight")
    assert sum(part.weights for part in snnr.metrics.layer_connectivity(net)) == weights
    assert snnr.metrics.connectivity(net) == 1.0


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("spikes", [False, True])
def test_a_residual_block_trains(device: str, spikes: bool) -> None:
    """All weights move, inside of the block too; the sum of spikes is walked with its value."""
    net = nn.Sequential(
        nn.Linear(6, 6, rng=0), *([nn.LIF()] if spikes else []), Residual(6),
        nn.Linear(6, 3, rng=1), nn.LIF(), T=4, device=device,
    )  # fmt: skip
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    before = [p.numpy().copy() for p in net.parameters()]
    x = np.random.default_rng(0).normal(size=(30, 4, 6)).astype(np.float32)
    labels = (x.mean(axis=1)[:, :3]).argmax(axis=1)
    sequence = Tensor(np.ascontiguousarray(3 * x.transpose(1, 0, 2)), timesteps=4, device=device)
    losses = []
    for _ in range(30):
        loss = F.mse_loss(F.mean_time(net(sequence)), F.one_hot(labels, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert len(before) == 5
    for p, start in zip(net.parameters(), before, strict=True):
        assert (p.numpy() != start).any(), p.name
