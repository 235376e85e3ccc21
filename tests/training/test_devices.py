"""Trainings on other devices, one of which is no host."""

from pathlib import Path

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import optim
from snnr.training import Callback, Trainer

from ..opaque import NAME, register
from .runs import StopAt, network, state

register()


@pytest.mark.parametrize("device", ["reference", NAME])
def test_a_training_runs_stops_and_resumes_on_every_device(
    tiny: Dataset, tmp_path: Path, device: str
) -> None:
    """On a device that is no host, nothing is read from memory but through the backend."""

    def fresh(checkpoint: Path | None, callbacks: list[Callback]) -> Trainer:
        net = network().to(device)
        optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.3)
        return Trainer(
            net, optimizer, tiny, 64, 2, augment="affine", seed=5, checkpoint=checkpoint,
            callbacks=callbacks,
        )  # fmt: skip

    whole = fresh(None, [])
    history = whole.fit()
    with pytest.raises(snnr.Interrupted):
        fresh(tmp_path / "c.h5", [StopAt(4)]).fit()
    again = Trainer.resume(tmp_path / "c.h5", tiny, device=device)
    assert again.network.device == again.samples.train.device == device
    again.fit()
    assert list(state(again)) == list(state(whole))
    host = network().to("reference")
    on_host = Trainer(
        host, optim.GradR(host.parameters(), lr=0.01, prior=0.3), tiny, 64, 2, augment="affine",
        seed=5,
    )  # fmt: skip
    assert {k: v for k, v in on_host.fit().items() if k != "seconds"} == {
        k: v for k, v in history.items() if k != "seconds"
    }


def test_on_a_device_divergence_is_noticed_by_the_end_of_the_epoch(
    tiny: Dataset, tmp_path: Path
) -> None:
    class Poison(Callback):
        def gradients(self, trainer: Trainer) -> None:
            p = trainer.network[6].weight
            if trainer.epoch == 1 and trainer.position == 1:
                p.grad = np.full(p.shape, np.nan, np.float32)

    net = network().to(NAME)
    run = Trainer(net, optim.GradR(net.parameters()), tiny, 64, 3, checkpoint=tmp_path / "c.h5")
    run.callbacks.append(Poison())
    with np.errstate(all="ignore"), pytest.raises(snnr.DivergedError, match=r"\(epoch 2\).*c\.h5"):
        run.fit()
    assert run.position == 3
    assert snnr.load(tmp_path / "c.h5").epoch == 1
