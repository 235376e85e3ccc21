"""What a trainer refuses before the first step, and what it takes."""

from pathlib import Path

import pytest
from snnr.data import Dataset

import snnr
from snnr import nn, optim
from snnr.input import Samples
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
