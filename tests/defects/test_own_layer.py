"""A layer of the user's own: registered it saves, loads and trains; if not, that is told early."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.tensor import Parameter, Tensor
from snnr.training import Callback, Trainer


class Mixing(nn.Layer):
    """A map with a weight of its own and neurons inside: x @ weight.T, then spikes."""

    SETTINGS = ("inputs", "outputs")

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.outputs = outputs
        values = np.random.default_rng(0).normal(size=(outputs, inputs)) / inputs**0.5
        self.weight = Parameter(values.astype(np.float32), "weight", "weight")
        self.neuron = nn.LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(F.linear(x, self.weight))


class Unknown(Mixing):
    """The same, but registered nowhere."""


@pytest.fixture(scope="module")
def registered() -> Iterator[type[nn.Layer]]:
    found = nn.register(Mixing)
    assert found is Mixing
    yield found
    nn.LAYERS.pop("Mixing", None)


def network(kind: type[nn.Layer]) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), kind(64, 30), nn.Linear(30, 4, rng=0), nn.LIF(), T=3, device="reference"
    )  # type: ignore[call-arg]


class Steps(Callback):
    count = 0

    def step(self, trainer: Trainer) -> None:
        self.count += 1


def trainer(net: nn.Sequential, data: Dataset, checkpoint: Path | None, **more: object) -> Trainer:
    optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.1)
    return Trainer(net, optimizer, data, 40, 4, checkpoint=checkpoint, **more)  # type: ignore[arg-type]


def test_it_is_saved_and_loaded(registered: type[nn.Layer], tmp_path: Path) -> None:
    net = network(registered)
    net.parameters()[0].data[0] = 0
    net.parameters()[1].data[...] = 0.3
    net.eval()
    snnr.save(tmp_path / "c.h5", net)
    again = snnr.load(tmp_path / "c.h5", device="reference").network
    again.eval()
    assert type(again[1]) is Mixing
    assert again[1].settings() == {"inputs": 64, "outputs": 30}
    x = 3 * np.random.default_rng(1).normal(size=(5, 1, 8, 8)).astype(np.float32)
    assert net(x).numpy().any()
    np.testing.assert_array_equal(again(x).numpy(), net(x).numpy())
    for one, other in zip(net.parameters(), again.parameters(), strict=True):
        assert (one.name, one.role, one.shape) == (other.name, other.role, other.shape)
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_it_trains_is_pruned_and_resumes(
    registered: type[nn.Layer], tiny: Dataset, tmp_path: Path
) -> None:
    net = network(registered)
    weight = net.parameters()[0]
    assert weight.name == "1_mixing.weight"
    before = weight.numpy().copy()
    run = trainer(net, tiny, tmp_path / "c.h5")
    history = run.fit()
    assert (weight.numpy() != before).any()
    assert history["test_accuracy"][-1] > 0.5
    assert history["layer_connectivity"]["1_mixing"][-1] == (weight.numpy() != 0).mean() < 1
    again = Trainer.resume(tmp_path / "c.h5", tiny, epochs=5, device="reference")
    np.testing.assert_array_equal(again.network.parameters()[0].numpy(), weight.numpy())
    again.fit()
    assert again.epoch == 5


def test_it_is_built_by_its_name(registered: type[nn.Layer]) -> None:
    layer = nn.build("Mixing", {"inputs": 3, "outputs": 2})
    assert type(layer) is registered
    assert layer.parameters()[0].shape == (2, 3)


def test_register_decorates() -> None:
    @nn.register
    class Passing(nn.Layer):
        def forward(self, x: Tensor) -> Tensor:
            return x

    try:
        assert type(nn.build("Passing", {})) is Passing
    finally:
        nn.LAYERS.pop("Passing", None)


def test_a_name_that_is_taken_is_refused() -> None:
    class Linear(nn.Layer):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(snnr.ConfigError, match="Linear"):
        nn.register(Linear)
    assert type(nn.build("Linear", {"in_features": 2, "out_features": 3})) is nn.Linear


def test_one_that_cannot_be_saved_is_refused_before_the_first_step(
    tiny: Dataset, tmp_path: Path
) -> None:
    steps = Steps()
    with pytest.raises(snnr.SnnrError, match=r"Unknown.*register"):
        trainer(network(Unknown), tiny, tmp_path / "c.h5", callbacks=[steps]).fit()
    assert steps.count == 0
    assert not (tmp_path / "c.h5").exists()


def test_without_a_checkpoint_any_layer_trains(tiny: Dataset) -> None:
    steps = Steps()
    history = trainer(network(Unknown), tiny, None, callbacks=[steps]).fit()
    assert steps.count == 20
    assert history["test_accuracy"][-1] > 0.5
    assert "1_unknown" in history["layer_connectivity"]
