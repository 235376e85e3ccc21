"""Training, evaluation, checkpoint and resume on a backend whose memory is no NumPy array."""

from pathlib import Path

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import kernels, models, nn, optim
from snnr.tensor import Tensor

from .opaque import NAME, Memory, register

register()
IMAGES = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype(np.float32) * 2
LABELS = np.array([0, 1, 2, 3, 0, 1])


def build(device: str, kind: str) -> nn.Sequential:
    settings = {"T": 3, "input_shape": (1, 8, 8), "classes": 4, "seed": 1, "device": device}
    if kind == "csnn":
        return models.csnn(channels=3, **settings)  # type: ignore[arg-type]
    return models.mnist_fc(hidden=12, **settings)  # type: ignore[arg-type]


def steps(net: nn.Sequential, optimizer: optim.Optimizer, count: int, loss: str) -> list[float]:
    losses = []
    for _ in range(count):
        rate = F.mean_time(net(IMAGES))
        if loss == "mse":
            value = F.label_mse_loss(rate, LABELS)
        else:
            value = F.cross_entropy(rate, LABELS)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@pytest.mark.parametrize(("kind", "loss"), [("mnist_fc", "mse"), ("csnn", "cross-entropy")])
def test_steps_are_those_of_the_oracle(kind: str, loss: str, tmp_path: Path) -> None:
    nets = [build(device, kind) for device in ("reference", NAME)]
    optimizers = [optim.GradR(net.parameters(), lr=0.01, prior=0.5) for net in nets]
    found = [steps(net, one, 3, loss) for net, one in zip(nets, optimizers, strict=True)]
    assert found[0] == found[1]
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        assert isinstance(q.memory, Memory)
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert optimizers[0].connectivity() == optimizers[1].connectivity() < 1
    assert optimizers[0].take_changes() == optimizers[1].take_changes()

    path = snnr.save(tmp_path / "c.h5", nets[1], optimizers[1])
    again = snnr.load(path, NAME)
    assert again.optimizer is not None
    on_host = snnr.load(path, "reference")
    assert on_host.optimizer is not None
    for checkpoint in (again, on_host):
        checkpoint.network.train()
    assert steps(nets[1], optimizers[1], 2, loss) == steps(again.network, again.optimizer, 2, loss)
    assert steps(nets[0], optimizers[0], 2, loss) == steps(
        on_host.network, on_host.optimizer, 2, loss
    )
    np.testing.assert_array_equal(
        again.network.parameters()[0].numpy(), nets[1].parameters()[0].numpy()
    )


def test_activity_and_metrics() -> None:
    results = []
    for device in ("reference", NAME):
        net = build(device, "csnn").eval()
        counter = snnr.activity.ActivityCounter(net)
        with snnr.no_grad(), counter.watching():
            net(IMAGES)
        results.append((counter.result(), snnr.metrics.layer_connectivity(net)))
    assert results[0] == results[1]
    assert results[0][0].sops > 0


def test_every_other_operation_and_a_network_that_moves() -> None:
    x = Tensor(IMAGES, requires_grad=True, device=NAME)
    y = F.multiply(F.add(x, F.avg_pool2d(x, 1)), x)
    mask = F.dropout_mask(x.shape, 0.5, 3, device=NAME)
    spikes = F.spiking(y, F.lif_neuron(), T=2)
    F.total(F.mean_time(F.dropout(spikes, 0.5, mask))).backward()
    found = x.grad_numpy()
    assert found is not None
    assert found.shape == IMAGES.shape
    for attribute in ("data", "grad"):
        with pytest.raises(snnr.DeviceError, match=r"\.numpy\(\)"):
            getattr(x, attribute)
    with pytest.raises(snnr.DeviceError, match="numpy"):
        np.asarray(x)
    with pytest.raises(snnr.DeviceError, match="cannot be recorded"):
        kernels.backend(NAME).record(lambda: mask.numpy())
    draws = nn.Dropout(0.5, rng=1).to(NAME).draws
    draws.counter = 2**64 - 1
    assert isinstance(draws.memory, Memory)
    draws.to("cpu")
    assert draws.counter == 2**64 - 1
    net = build("reference", "mnist_fc")
    before = net.parameters()[0].numpy().copy()
    net.to(NAME)
    assert isinstance(net.parameters()[0].memory, Memory)
    np.testing.assert_array_equal(net.to("cpu").parameters()[0].numpy(), before)
