"""What a trainer refuses before the first step, and what it takes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike
from snnr.data import Dataset

import snnr
from snnr import nn, optim
from snnr.input import Samples, Source
from snnr.tensor import Tensor
from snnr.training import Trainer

from .runs import network, state


def test_an_optimizer_of_another_network_is_refused(tiny: Dataset) -> None:
    net = network()
    stranger = optim.Adam(network().parameters())
    with pytest.raises(snnr.ConfigError, match=r"moves none of .*network\.parameters\(\)"):
        Trainer(net, stranger, tiny)
    # some of them is enough: the others are frozen
    run = Trainer(net, optim.Adam(net.parameters()[-1:]), tiny, 32, 1)
    before = [p.numpy().copy() for p in net.parameters()]
    run.fit()
    moved = [(p.numpy() != old).any() for p, old in zip(net.parameters(), before, strict=True)]
    assert moved == [False] * (len(moved) - 1) + [True]


def test_what_no_checkpoint_holds_is_refused(tiny: Dataset, tmp_path: Path) -> None:
    class Unknown(nn.Flatten):
        pass

    net = nn.Sequential(Unknown(), nn.Linear(64, 4, rng=0), nn.LIF(), T=2)
    optimizer = optim.Adam(net.parameters())
    with pytest.raises(snnr.CheckpointError, match="Unknown"):
        Trainer(net, optimizer, tiny, checkpoint=tmp_path / "c.h5")
    Trainer(net, optimizer, tiny, 100, 1).fit()


def test_samples_on_another_device_or_moved_from_outside_are_refused(tiny: Dataset) -> None:
    net = network()
    optimizer = optim.Adam(net.parameters())
    with pytest.raises(snnr.ConfigError, match="lie on reference, the network on cpu"):
        Trainer(net, optimizer, Samples.of(tiny, device="reference"))
    with pytest.raises(snnr.ConfigError, match=r"augment \(='affine'\) is for data sets"):
        Trainer(net, optimizer, Samples.of(tiny), augment="affine")
    with pytest.raises(snnr.ConfigError, match=r"batch_size \(=1.5\) must be a whole number"):
        Trainer(net, optimizer, tiny, batch_size=1.5)  # type: ignore[arg-type]


def test_samples_train_as_their_data_set(tiny: Dataset, uninterrupted: list[bytes]) -> None:
    net = network()
    optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.3)
    run = Trainer(net, optimizer, Samples.of(tiny, "crop-flip"), 32, 3, seed=5)
    assert run.augment == run.config["augment"] == "crop-flip"
    run.fit()
    assert list(state(run)) == uninterrupted


class Blobs(Source):
    """A source of one's own: samples that are made when they are asked for."""

    kind = "noisy"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.count = 60
        self.sample_shape = (4,)

    def batch(self, index: ArrayLike, rng: np.random.Generator | None = None) -> Tensor:
        places = self.checked(index)
        x = 3 * np.eye(4, dtype=np.float32)[places % 4]
        if rng is not None:
            x += rng.normal(0, 0.1, x.shape).astype(np.float32)
        return Tensor(x, device=self.device)


def test_a_source_of_ones_own_trains_and_resumes(tmp_path: Path) -> None:
    def samples() -> Samples:
        labels = np.arange(60) % 4
        return Samples("blobs", Blobs("reference"), labels, Blobs("reference"), labels, 4)

    def run(epochs: int, path: Path | None) -> Trainer:
        net = nn.Sequential(nn.Linear(4, 4, rng=0), nn.LIF(), T=4, device="reference")
        made = Trainer(
            net, optim.Adam(net.parameters(), lr=0.05), samples(), 20, epochs, checkpoint=path
        )
        made.fit()
        return made

    whole = run(12, None)
    assert whole.history["test_accuracy"][-1] == 1.0
    run(5, tmp_path / "c.h5")
    parts = Trainer.resume(tmp_path / "c.h5", samples(), epochs=12, device="reference")
    parts.fit()
    assert parts.augment == "noisy"
    for p, q in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
